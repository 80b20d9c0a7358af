import type { Key } from '../../../lib/api/keys.ts';
import type { Event } from '../../../lib/api/objects.ts';
import type { Log } from '../../../lib/base/log.ts';
import { storeKeyOf } from '../cache/cache.ts';
import { objectOf, type Entry } from '../cache/filing.ts';
import { StoreConflict } from '../store/store.ts';
import type { Core } from './core.ts';

export interface EventBounds {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

const batchSize = 500;
/** Room made at one time, so that not every new Event costs an old one's deletion. */
const keptShare = 0.9;
const ageCheckMs = 10 * 60_000;

/**
 * Keeps all Events together within a size and an age; the ones that happened last stay. Every deletion is an ordinary
 * one, so that watchers hear of it. Ends with the returned function.
 */
export function boundEvents(core: Core, bounds: EventBounds, log?: Log): () => void {
  const filing = core.cache.filing('events');
  let busy = false;
  let stopped = false;
  let cancel = (): void => undefined;

  const drop = async (choose: (entries: Entry[]) => readonly Entry[]): Promise<void> => {
    if (busy || stopped) return;
    busy = true;
    try {
      const chosen = choose([...filing.entries()]);
      for (let i = 0; i < chosen.length && !stopped; i += batchSize) await remove(core, chosen.slice(i, i + batchSize));
    } catch (error) {
      log?.warn({ error }, 'could not remove old Events; trying again later');
    } finally {
      busy = false;
    }
  };
  const bySize = (entries: Entry[]): readonly Entry[] => {
    const oldestFirst = entries.sort((a, b) => a.revision - b.revision);
    let excess = filing.bytes - bounds.maxBytes * keptShare;
    return oldestFirst.filter((entry) => {
      const goes = excess > 0;
      if (goes) excess -= entry.size;
      return goes;
    });
  };
  const byAge = (entries: Entry[]): readonly Entry[] => {
    const before = core.clock.now() - bounds.maxAgeMs;
    return entries.filter((entry) => happenedMs(objectOf<Event>(entry)) < before);
  };
  const checkAge = (): void => {
    cancel = core.clock.after(ageCheckMs, () => {
      void drop(byAge).finally(checkAge);
    });
  };
  core.cache.onChange('events', () => {
    if (!busy && filing.bytes > bounds.maxBytes) void drop(bySize);
  });
  checkAge();
  return () => {
    stopped = true;
    cancel();
  };
}

function happenedMs(event: Event): number {
  const time = event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
  return Date.parse(time);
}

/**
 * Each in a commit of its own (they share a transaction all the same): a revision stands for one object of a resource, on which
 * the chain of messages on the bus relies. Those that changed meanwhile happened again just now: they stay.
 */
async function remove(core: Core, entries: readonly Entry[]): Promise<void> {
  const deletions = entries
    .filter((entry) => !entry.gone)
    .map(({ key, revision }) => core.store.commit([{ key: keyIn(key), value: undefined, ifRevision: revision }]));
  for (const result of await Promise.allSettled(deletions)) {
    if (result.status === 'rejected' && !(result.reason instanceof StoreConflict)) throw result.reason;
  }
}
const keyIn = (key: Key): string => storeKeyOf('events', key);
