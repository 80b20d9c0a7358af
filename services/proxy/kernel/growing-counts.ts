import { LRUCache } from 'lru-cache';
import type { Key } from '../../../lib/api/keys.ts';

/** Services remembered; one that nobody asked for in a long time begins anew. */
const most = 10_000;

/**
 * Totals that only grow, from counters of the kernel that begin anew when rules are written anew, and come and go with the addresses and
 * ports of their Service. What was counted between the last reading and such a beginning is lost.
 */
export class GrowingCounts {
  readonly #known = new LRUCache<Key, { readonly total: number; readonly counts: ReadonlyMap<string, number> }>({
    max: most,
  });

  /** The total of a Service, from all its counters of now. */
  read(service: Key, counts: ReadonlyMap<string, number>): number {
    const before = this.#known.get(service);
    let total = before?.total ?? 0;
    for (const [name, count] of counts) {
      const last = before?.counts.get(name) ?? 0;
      total += count >= last ? count - last : count;
    }
    this.#known.set(service, { total, counts });
    return total;
  }
}
