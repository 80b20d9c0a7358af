import type { Clock } from '../../../lib/base/clock.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { checkExpectations, checkOps } from './expectations.ts';
import type { Store, StoreChange, StoreEntry, StoreList, StoreListOptions, StoreOp } from './store.ts';
import { closedError, compactedError, firstAfter, futureRevision, sliceAfter, Wakeups, watchLog } from './watching.ts';

interface LogRecord extends StoreChange {
  /** The revision of `previous`, 0 when there was none. */
  readonly previousRevision: number;
}

export interface MemoryStoreOptions {
  readonly clock?: Clock;
  /** How many changes history keeps; older ones are compacted away. */
  readonly maxHistory?: number;
}

/** The state in this process's memory, for tests and for trying things out: gone when the process ends. */
export class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #maxHistory: number;
  readonly #entries = new Map<string, StoreEntry>();
  #sortedKeys: string[] | undefined = [];
  #log: LogRecord[] = [];
  #revision = 0;
  #compacted = 0;
  #closed = false;
  readonly #wakeups = new Wakeups();

  constructor(options: MemoryStoreOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#maxHistory = options.maxHistory ?? 100_000;
  }

  async commit(ops: readonly StoreOp[]): Promise<number> {
    this.#open();
    checkOps(ops);
    const revisions = checkExpectations(
      ops,
      (key) => this.#entries.get(key)?.revision ?? 0,
      (key) => this.#entries.get(key),
    );
    const effective = ops.filter((op, i) => op.value !== undefined || revisions[i] !== 0);
    if (effective.length === 0) return this.#revision;
    const revision = ++this.#revision;
    const timeMs = this.#clock.now();
    for (const { key, value } of effective) {
      const before = this.#entries.get(key);
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { key, value, revision });
      if ((before === undefined) !== (value === undefined)) this.#sortedKeys = undefined;
      const previousRevision = before?.revision ?? 0;
      this.#log.push({ key, revision, timeMs, value, previous: before?.value, previousRevision });
    }
    if (this.#log.length > this.#maxHistory * 1.25) this.#trim();
    this.#wakeups.fire();
    return revision;
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#open();
    return this.#entries.get(key);
  }

  async list(prefix: string, options: StoreListOptions = {}): Promise<StoreList> {
    this.#open();
    const { atRevision = this.#revision, afterKey = '', limit = Infinity } = options;
    if (atRevision > this.#revision) throw futureRevision(atRevision, this.#revision);
    if (atRevision < this.#compacted) throw compactedError(atRevision, this.#compacted);
    const entries = atRevision === this.#revision ? this.#entries : this.#asOf(atRevision);
    const keys = entries === this.#entries ? this.#keys() : [...entries.keys()].sort();
    const found: StoreEntry[] = [];
    for (let i = firstKeyFrom(keys, prefix); i < keys.length; i++) {
      const key = keys[i] ?? '';
      if (!key.startsWith(prefix)) break;
      if (key <= afterKey) continue;
      if (found.length >= limit) return { entries: found, revision: atRevision, more: true };
      const entry = entries.get(key);
      if (entry !== undefined) found.push(entry);
    }
    return { entries: found, revision: atRevision, more: false };
  }

  async revision(): Promise<number> {
    this.#open();
    return this.#revision;
  }

  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<readonly StoreChange[]> {
    return watchLog(this.#source, prefix, afterRevision, signal);
  }

  async compact(revision: number): Promise<void> {
    this.#open();
    if (revision > this.#revision) throw futureRevision(revision, this.#revision);
    if (revision <= this.#compacted) return;
    this.#compacted = revision;
    this.#log = this.#log.slice(firstAfter(this.#log, revision));
  }

  async history(): Promise<{ readonly compactedRevision: number; readonly bytes: number }> {
    this.#open();
    const bytes = this.#log.reduce((sum, record) => sum + (record.previous?.length ?? 0), 0);
    return { compactedRevision: this.#compacted, bytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wakeups.fire();
  }

  readonly #source = ((store: MemoryStore) => ({
    get revision() {
      return store.#revision;
    },
    get compactedRevision() {
      return store.#compacted;
    },
    get closed() {
      return store.#closed;
    },
    read: (afterRevision: number, limit: number) => sliceAfter(store.#log, afterRevision, limit),
    wakeups: store.#wakeups,
  }))(this);

  #open(): void {
    if (this.#closed) throw closedError();
  }

  #keys(): readonly string[] {
    this.#sortedKeys ??= [...this.#entries.keys()].sort();
    return this.#sortedKeys;
  }

  /** The state at an earlier revision: the present one with the later changes undone, newest first. */
  #asOf(revision: number): ReadonlyMap<string, StoreEntry> {
    const entries = new Map(this.#entries);
    for (let i = this.#log.length - 1; i >= 0; i--) {
      const record = this.#log[i];
      if (record === undefined || record.revision <= revision) break;
      const { key, previous, previousRevision } = record;
      if (previous === undefined) entries.delete(key);
      else entries.set(key, { key, value: previous, revision: previousRevision });
    }
    return entries;
  }

  #trim(): void {
    const last = this.#log[this.#log.length - this.#maxHistory - 1];
    if (last === undefined) return;
    this.#compacted = last.revision;
    this.#log = this.#log.slice(firstAfter(this.#log, last.revision));
  }
}

function firstKeyFrom(keys: readonly string[], prefix: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}
