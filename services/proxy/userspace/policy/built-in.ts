import type { Clock } from '../../../../lib/base/clock.ts';
import type { Choice, ChoosingPolicy, PolicyBackend } from './policy.ts';

/** Clients whose backend is remembered, per target; the one that came back longest ago is forgotten first. */
const mostClients = 65_536;

/** Each backend in its turn: k times n choices among n backends that stay are k each. */
export class RoundRobin implements ChoosingPolicy {
  #last = '';
  #at = -1;

  choose(_what: Choice, backends: readonly PolicyBackend[]): PolicyBackend | undefined {
    this.#at = this.#after(backends);
    const chosen = backends[this.#at];
    if (chosen !== undefined) this.#last = chosen.address;
    return chosen;
  }

  /** The place behind the last one chosen, also when others have come or gone since. */
  #after(backends: readonly PolicyBackend[]): number {
    const next =
      backends[this.#at]?.address === this.#last
        ? this.#at + 1
        : backends.findIndex(({ address }) => address > this.#last);
    return next < 0 || next >= backends.length ? 0 : next;
  }
}

/** The backend with the fewest connections and requests of this proxy; among equals, each in its turn. */
export class LeastConnections implements ChoosingPolicy {
  readonly #turns = new RoundRobin();

  choose(what: Choice, backends: readonly PolicyBackend[]): PolicyBackend | undefined {
    const least = backends.reduce((least, { active }) => Math.min(least, active), Infinity);
    return this.#turns.choose(
      what,
      backends.filter(({ active }) => active === least),
    );
  }
}

/** A client keeps its backend while it comes back within the time; newcomers go by `others`. */
export class ClientAffinity implements ChoosingPolicy {
  readonly #clients = new Map<string, { readonly address: string; readonly seenMs: number }>();
  readonly #others: ChoosingPolicy;
  readonly #seconds: number;
  readonly #clock: Clock;

  constructor(seconds: number, clock: Clock, others: ChoosingPolicy = new RoundRobin()) {
    this.#seconds = seconds;
    this.#clock = clock;
    this.#others = others;
  }

  choose(what: Choice, backends: readonly PolicyBackend[]): PolicyBackend | undefined {
    const known = this.#clients.get(what.client);
    const fresh = known !== undefined && this.#clock.monotonic() - known.seenMs < this.#seconds * 1000;
    const own = fresh ? backends.find(({ address }) => address === known.address) : undefined;
    return own ?? this.#others.choose(what, backends);
  }

  chosen({ client }: Choice, { address }: PolicyBackend): void {
    this.#clients.delete(client);
    this.#clients.set(client, { address, seenMs: this.#clock.monotonic() });
    if (this.#clients.size <= mostClients) return;
    const oldest = this.#clients.keys().next();
    if (oldest.done !== true) this.#clients.delete(oldest.value);
  }
}
