import type { Key } from '../../lib/api/keys.ts';
import { sameJson } from '../../lib/api/json.ts';
import type { Endpoints, LoadBalancerIngress, Service } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { compile, heldBy, wantsBalancer } from './balancer.ts';
import type { AddressPool } from './pool.ts';
import { Refusal, type LoadBalancerProvider } from './provider.ts';

export interface Parts {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  readonly client: Pick<Client, 'updateStatus'>;
  readonly recorder: Pick<Recorder, 'event'>;
  readonly providers: readonly LoadBalancerProvider[];
  /** The provider of Services that name no class; undefined: they wait for somebody else's. */
  readonly byDefault: LoadBalancerProvider | undefined;
  readonly pool: AddressPool;
}

/** What is refused for want of an address or a port is tried again so often: what it waits for may not be ours to notice. */
const againMs = 30_000;
/** Trying a port costs nothing worth naming, and who has it may be about to end. */
const portAgainMs = 2_000;

/** Gives each Service of type LoadBalancer its balancer (F150). Writes the load balancer status of Services. */
export class LoadBalancerController implements Controller {
  readonly name = 'load-balancer-controller';
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key): Promise<SyncResult | void> {
    const { services, endpoints, providers } = this.#parts;
    const service = services.get(key);
    const provider = service === undefined ? undefined : this.#providerOf(service);
    for (const each of providers) if (each !== provider && each.list().includes(key)) await each.remove(key);
    if (service === undefined || provider === undefined) return;
    try {
      refuseRestricted(service);
      const ingress = await provider.ensure(compile(service, endpoints.get(key)));
      await this.#tell(service, ingress);
      if (ingress.some(({ ports }) => ports !== undefined)) return { requeueAfterMs: portAgainMs };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await provider.remove(key);
      this.#parts.recorder.event(service, 'Warning', error.reason, error.message);
      await this.#write(service, []);
      return { requeueAfterMs: againMs };
    }
  }

  #providerOf(service: Service): LoadBalancerProvider | undefined {
    if (!wantsBalancer(service)) return undefined;
    const asked = service.spec.loadBalancerClass ?? '';
    const { providers, byDefault } = this.#parts;
    return asked === '' ? byDefault : providers.find(({ name }) => name === asked);
  }

  async #tell(service: Service, ingress: readonly LoadBalancerIngress[]): Promise<void> {
    const { recorder } = this.#parts;
    const ip = ingress[0]?.ip;
    for (const { port, error } of ingress[0]?.ports ?? [])
      if (error !== undefined)
        recorder.event(
          service,
          'Warning',
          error,
          `port ${port} of ${ip} is taken by another program on the balancer's machine; end that, or choose another port`,
        );
    if (!(await this.#write(service, ingress))) return;
    if (heldBy(service) !== ip) recorder.event(service, 'Normal', 'AddressGiven', `reachable from outside at ${ip}`);
  }

  /** Whether there was anything to write. A Conflict goes up: the loop comes back with a later view. */
  async #write(service: Service, ingress: readonly LoadBalancerIngress[]): Promise<boolean> {
    const { services, client } = this.#parts;
    const loadBalancer = ingress.length === 0 ? {} : { ingress };
    if (sameJson(service.status.loadBalancer ?? {}, loadBalancer)) return false;
    services.wrote(await client.updateStatus('services', { ...service, status: { ...service.status, loadBalancer } }));
    return true;
  }
}

function refuseRestricted({ spec }: Service): void {
  if ((spec.allowedClients ?? []).length === 0) return;
  throw new Refusal(
    'AccessDeclared',
    'allowedClients says which pods may reach this Service, and nobody outside is among them; leave it out, or make the Service of type ClusterIP',
  );
}
