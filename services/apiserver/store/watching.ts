import { ApiError } from '../../../lib/base/errors.ts';
import type { StoreChange } from './store.ts';

/** What a watch reads from: the store's own log. */
export interface ChangeSource {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Rejects every call once the store is closed. */
  readonly closed: boolean;
  /**
   * Changes after a revision in order, about `limit` of them, whole commits only; empty when there are none.
   * `afterRevision` is at least `compactedRevision`.
   */
  read(afterRevision: number, limit: number): readonly StoreChange[];
  readonly wakeups: Wakeups;
}

/** Those who wait for the next commit. */
export class Wakeups {
  #waiting: (() => void)[] = [];

  /** Resolves at the next `fire`. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  fire(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

const batchSize = 512;

/**
 * `Store.watch` over a log that is pulled, not pushed: a reader that is slow keeps nothing in memory, it only
 * finds the history gone when it comes back too late.
 */
export async function* watchLog(
  source: ChangeSource,
  prefix: string,
  afterRevision: number,
  signal: AbortSignal,
): AsyncGenerator<readonly StoreChange[], void, undefined> {
  const onAbort = (): void => source.wakeups.fire();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    let position = afterRevision;
    if (position > source.revision) throw futureRevision(position, source.revision);
    while (!signal.aborted) {
      if (source.closed) throw closedError();
      if (position < source.compactedRevision) throw compactedError(position, source.compactedRevision);
      const changes = source.read(position, batchSize);
      const last = changes.at(-1);
      if (last === undefined) {
        await source.wakeups.next();
        continue;
      }
      position = last.revision;
      const wanted = prefix === '' ? changes : changes.filter((change) => change.key.startsWith(prefix));
      if (wanted.length > 0) yield wanted;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The part of an ordered log after a revision, about `limit` long, cut only between commits. */
export function sliceAfter<C extends { readonly revision: number }>(
  log: readonly C[],
  afterRevision: number,
  limit: number,
): readonly C[] {
  const start = firstAfter(log, afterRevision);
  let end = Math.min(log.length, start + limit);
  while (end > start && end < log.length && log[end]?.revision === log[end - 1]?.revision) end++;
  return log.slice(start, end);
}

/** The index of the first entry whose revision is greater. */
export function firstAfter(log: readonly { readonly revision: number }[], revision: number): number {
  let low = 0;
  let high = log.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((log[middle]?.revision ?? 0) <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const closedError = (): ApiError => new ApiError('ServiceUnavailable', 'the store is closed');

export const compactedError = (revision: number, compacted: number): ApiError =>
  new ApiError(
    'Expired',
    `revision ${revision} is gone: history reaches back to revision ${compacted}; list again and watch from there`,
  );

export const futureRevision = (revision: number, latest: number): ApiError =>
  new ApiError('BadRequest', `revision ${revision} is yet to come: the latest is ${latest}`);
