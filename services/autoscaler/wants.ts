import { LRUCache } from 'lru-cache';
import type { Key } from '../../lib/api/keys.ts';
import type { Clock } from '../../lib/base/clock.ts';

/** A word holds so long: proxies say it every second, and one may be lost. */
const holdsMs = 3_000;
/** Services remembered; the one that was told of longest ago is forgotten first, and told of again. */
const most = 10_000;

/** The Services that clients wait for, as far as proxies have said so lately. */
export class Wants {
  readonly #clock: Clock;
  readonly #saidAtMs = new LRUCache<Key, number>({ max: most });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(services: readonly Key[]): void {
    for (const service of services) this.#saidAtMs.set(service, this.#clock.monotonic());
  }

  isWanted(service: Key): boolean {
    const atMs = this.#saidAtMs.get(service);
    return atMs !== undefined && this.#clock.monotonic() - atMs < holdsMs;
  }
}
