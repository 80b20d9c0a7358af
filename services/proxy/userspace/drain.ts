import type { CarrierOptions } from './carried.ts';
import type { Member, Upstream, Use } from './upstream.ts';

/** An open connection of a protocol that cannot be told to come to rest: when its backend leaves it has the drain time, unless the backend comes back. */
export class Drain implements Use {
  readonly #upstream: Upstream;
  readonly #member: Member;
  readonly #options: Pick<CarrierOptions, 'clock' | 'drainMs'> & { readonly reset: () => void };
  #cancel: (() => void) | undefined;

  constructor(
    upstream: Upstream,
    member: Member,
    options: Pick<CarrierOptions, 'clock' | 'drainMs'> & { readonly reset: () => void },
  ) {
    this.#upstream = upstream;
    this.#member = member;
    this.#options = options;
  }

  left(): void {
    const { clock, drainMs, reset } = this.#options;
    this.#cancel = clock.after(drainMs, () => {
      const back = this.#upstream.members.some(({ address }) => address === this.#member.address);
      if (!back) reset();
    });
  }

  /** The connection has ended. */
  over(): void {
    this.#cancel?.();
  }

  cut(): void {
    this.#options.reset();
  }
}
