import type { Clock } from '../../lib/base/clock.ts';
import type { Backend, Target } from './table.ts';

/** Clients whose backend is remembered, per target; the one that came back longest ago is forgotten first. */
const mostClients = 65_536;

/** Picks backends for one target: each in its turn, or the client's own where the service wants that. */
export class Balancer {
  readonly #clock: Clock;
  #target: Target;
  #next = 0;
  readonly #clients = new Map<string, { readonly backend: Backend; readonly seenMs: number }>();

  constructor(target: Target, clock: Clock) {
    this.#target = target;
    this.#clock = clock;
  }

  get target(): Target {
    return this.#target;
  }

  update(target: Target): void {
    this.#target = target;
    if (target.affinitySeconds === 0) return this.#clients.clear();
    const left = new Set(target.backends);
    for (const [client, { backend }] of this.#clients) if (!left.has(backend)) this.#clients.delete(client);
  }

  /** The backends to try for a new connection, best first; empty when there are none. */
  candidates(client: string): readonly Backend[] {
    const { backends, affinitySeconds } = this.#target;
    if (backends.length === 0) return [];
    const known = affinitySeconds === 0 ? undefined : this.#clients.get(client);
    const fresh = known !== undefined && this.#clock.monotonic() - known.seenMs < affinitySeconds * 1000;
    const at = fresh ? backends.indexOf(known.backend) : -1;
    const first = at >= 0 ? at : this.#next++ % backends.length;
    this.#next %= backends.length;
    return [...backends.slice(first), ...backends.slice(0, first)];
  }

  /** The client has got this backend. */
  chose(client: string, backend: Backend): void {
    if (this.#target.affinitySeconds === 0) return;
    this.#clients.delete(client);
    this.#clients.set(client, { backend, seenMs: this.#clock.monotonic() });
    if (this.#clients.size <= mostClients) return;
    const oldest = this.#clients.keys().next();
    if (oldest.done !== true) this.#clients.delete(oldest.value);
  }
}
