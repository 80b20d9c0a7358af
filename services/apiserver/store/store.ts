/**
 * The state of the cluster: bytes under keys, each stamped with the revision of its last change.
 *
 * Revisions are one growing sequence over all keys, starting at 1 with the first commit; they never
 * repeat and survive restarts. A commit is durable (fsync) before its promise resolves: kill -9 at any
 * point loses no acknowledged commit and leaves no half of one. Many commits may share one fsync.
 * Keys are UTF-8 paths such as `pods/default/web-1`, at most 700 bytes; a prefix ends with `/`.
 *
 * Methods reject with ApiError only: `ServiceUnavailable` when the medium fails or the store is closed
 * (a full disk says so in its message), and the codes named below. Returned bytes must not be changed.
 */
export interface Store {
  /**
   * Applies all operations or none and resolves to the commit's revision, which every key in it gets.
   * Rejects with a `StoreConflict` naming the first operation whose expectation did not hold, and with `BadRequest`
   * for what can never be committed: no operation or more than 1,000, two for one key, an empty or too long key.
   * What changes nothing (deletions of absent keys without an expectation) makes no revision: it resolves to the present one.
   */
  commit(ops: readonly StoreOp[]): Promise<number>;

  /** The entry, or undefined: absence is an answer, not an error. Reads see every resolved commit. */
  get(key: string): Promise<StoreEntry | undefined>;

  /**
   * Entries under `prefix` (empty: all) in key order, all as they stood at one revision.
   * `Expired` when `atRevision` is compacted, `BadRequest` when it is yet to come.
   */
  list(prefix: string, options?: StoreListOptions): Promise<StoreList>;

  /** The revision of the last commit; reads started after it resolves see at least this. */
  revision(): Promise<number>;

  /**
   * Every change after `afterRevision` under `prefix` (empty: all), in revision order, each once, in batches that never
   * split a commit, until aborted (the iterator then ends). `Expired` when history does not or no longer reach back so
   * far: list again. A slow reader costs the store nothing but history, and is ended with `Expired` when that runs out.
   */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<readonly StoreChange[]>;

  /** Forgets superseded values and deletions of revisions up to and including `revision`. Current values stay. */
  compact(revision: number): Promise<void>;

  /** The oldest revision from which `watch` can still start, and the bytes that history takes. */
  history(): Promise<{ readonly compactedRevision: number; readonly bytes: number }>;

  /** Finishes the commits under way and frees the medium. Later calls reject. Closing twice is harmless. */
  close(): Promise<void>;
}

export interface StoreOp {
  readonly key: string;
  /** The new value; undefined deletes. */
  readonly value: Uint8Array | undefined;
  /** The revision the key must have now; 0: it must not exist; undefined: whatever it has. Deleting an absent key is a conflict unless `undefined`. */
  readonly ifRevision?: number;
}

export interface StoreEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

export interface StoreListOptions {
  /** At most so many entries; more are announced by `more`. */
  readonly limit?: number;
  /** Only keys strictly after this one (a continuation). */
  readonly afterKey?: string;
  /** The state as it was at this revision; the latest when absent. */
  readonly atRevision?: number;
}

export interface StoreList {
  readonly entries: readonly StoreEntry[];
  readonly revision: number;
  readonly more: boolean;
}

export interface StoreChange {
  readonly key: string;
  readonly revision: number;
  /** When the commit was made, in milliseconds since 1970. */
  readonly timeMs: number;
  /** The new value; undefined: the key was deleted. */
  readonly value: Uint8Array | undefined;
  /** What it replaced; undefined: the key was new. For a deletion, the last value. */
  readonly previous: Uint8Array | undefined;
}

/** An expectation did not hold: the operation's index, and what is there now. */
export class StoreConflict extends Error {
  readonly index: number;
  readonly current: StoreEntry | undefined;
  constructor(index: number, key: string, current: StoreEntry | undefined) {
    super(current === undefined ? `${key} does not exist` : `${key} is at revision ${current.revision}`);
    this.name = 'StoreConflict';
    this.index = index;
    this.current = current;
  }
}
