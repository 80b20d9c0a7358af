import type { Socket } from 'node:net';
import type { Carried, CarrierOptions } from './carried.ts';
import { dial, ignore, reset } from './dial.ts';
import type { PolicyBackend, PolicyConnection, PolicyDial, ServingPolicy } from './policy/policy.ts';
import { Member, type Upstream, type Use } from './upstream.ts';

/** Finds the backends of another Service of the same namespace, for policies that need several. */
export type Siblings = (namespace: string, service: string, port: number | undefined) => Upstream | undefined;

/** Gives a client's connection to a policy that speaks the protocol itself, and holds what it opens to what the proxy knows of backends. */
export class PolicyCarried implements Carried {
  readonly #client: Socket;
  readonly #upstream: Upstream;
  readonly #siblings: Siblings;
  readonly #closing = new AbortController();
  /** Upstreams by the backends that were handed out. */
  readonly #known = new Map<Member, Upstream>();

  constructor(client: Socket, upstream: Upstream, siblings: Siblings) {
    this.#client = client;
    this.#upstream = upstream;
    this.#siblings = siblings;
    client.on('error', ignore);
    const onPortGone = (): void => this.rest();
    upstream.closing.addEventListener('abort', onPortGone);
    client.on('close', () => {
      upstream.closing.removeEventListener('abort', onPortGone);
      this.#known.clear();
    });
  }

  begin(policy: ServingPolicy, { log }: CarrierOptions): this {
    const connection: PolicyConnection = {
      client: this.#client,
      clientAddress: this.#client.remoteAddress ?? '',
      backends: (service, port) => this.#backends(service, port),
      dial: (backend) => this.#open(backend),
      count: (backend, outcome) => {
        if (backend instanceof Member) backend.tally.request(outcome);
      },
      closing: this.#closing.signal,
    };
    Promise.resolve()
      .then(() => policy.serve(connection))
      .catch((error: unknown) => {
        log.warn({ error, target: this.#upstream.target.id }, 'the policy failed; its client is cut off');
        this.reset();
      });
    return this;
  }

  rest(): void {
    this.#closing.abort(new Error('the service port is going'));
  }

  reset(): void {
    this.rest();
    reset(this.#client);
  }

  #backends(service: string | undefined, port: number | undefined): readonly PolicyBackend[] {
    const [namespace = ''] = this.#upstream.target.id.split('/');
    const upstream = service === undefined ? this.#upstream : this.#siblings(namespace, service, port);
    if (upstream === undefined) return [];
    for (const member of upstream.members) this.#known.set(member, upstream);
    return upstream.members;
  }

  async #open(backend: PolicyBackend): Promise<PolicyDial | undefined> {
    const upstream = backend instanceof Member && backend.here ? this.#known.get(backend) : undefined;
    if (upstream === undefined || !(backend instanceof Member) || this.#client.destroyed) return undefined;
    const leaving = new AbortController();
    const dialled = dial(upstream, backend, this.#client);
    let open = undefined as Socket | undefined;
    const use: Use = {
      left: () => {
        if (open === undefined) dialled.giveUp();
        leaving.abort(new Error(`${backend.address} leaves the service`));
      },
      cut: () => {
        if (open === undefined) dialled.giveUp();
        else reset(open);
      },
    };
    backend.uses.add(use);
    backend.active++;
    const over = (): void => {
      backend.uses.delete(use);
      backend.active--;
      this.#client.off('close', onClientGone);
    };
    const onClientGone = (): void => void (open === undefined ? dialled.giveUp() : open.destroy());
    this.#client.on('close', onClientGone);
    open = await dialled.done;
    backend.tally.connection(open === undefined ? 'failed' : 'ok');
    if (open === undefined || this.#client.destroyed) {
      over();
      open?.destroy();
      return undefined;
    }
    open.once('close', over);
    return { socket: open, backend, leaving: leaving.signal };
  }
}
