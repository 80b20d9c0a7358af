import type { StoreChange } from './store.ts';
import { firstAfter, sliceAfter } from './watching.ts';

const maxChanges = 4_096;
const maxBytes = 16 * 2 ** 20;

/** The last changes in memory, for watchers that are up to date: they get the very buffers that were committed. */
export class RecentChanges {
  #changes: StoreChange[] = [];
  #bytes = 0;
  /** Every change after this revision is here. */
  #floor: number;

  constructor(revision: number) {
    this.#floor = revision;
  }

  add(changes: readonly StoreChange[], revision: number): void {
    for (const change of changes) {
      this.#changes.push(change);
      this.#bytes += sizeOf(change);
    }
    if (this.#changes.length > 2 * maxChanges || this.#bytes > 2 * maxBytes) this.#trim(revision);
  }

  /** About `limit` changes after a revision; undefined when some of them are only on the disk. */
  after(revision: number, limit: number): readonly StoreChange[] | undefined {
    return revision < this.#floor ? undefined : sliceAfter(this.#changes, revision, limit);
  }

  /** Forgets all: everything up to `revision` is on the disk. */
  restart(revision: number): void {
    this.#changes = [];
    this.#bytes = 0;
    this.#floor = revision;
  }

  #trim(revision: number): void {
    let drop = Math.max(0, this.#changes.length - maxChanges);
    let kept = 0;
    for (let i = this.#changes.length - 1; i >= drop; i--) {
      const change = this.#changes[i];
      if (change === undefined) break;
      kept += sizeOf(change);
      if (kept > maxBytes) drop = i + 1;
    }
    const last = this.#changes[drop - 1];
    if (last === undefined) return;
    this.#floor = Math.min(last.revision, revision);
    this.#changes = this.#changes.slice(firstAfter(this.#changes, this.#floor));
    this.#bytes = this.#changes.reduce((sum, change) => sum + sizeOf(change), 0);
  }
}

const sizeOf = (change: StoreChange): number => (change.value?.length ?? 0) + (change.previous?.length ?? 0) + 200;
