import { createNoopMeter, type Meter } from '@opentelemetry/api';
import { systemClock, type Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { PendingBatch } from './batch.ts';
import { Disk, spaceNeeded, type DiskState } from './disk.ts';
import { checkOps } from './expectations.ts';
import { compactionTarget, type HistoryBounds } from './history.ts';
import { revisionOf } from './log-record.ts';
import { RecentChanges } from './recent.ts';
import type { Store, StoreChange, StoreEntry, StoreList, StoreListOptions, StoreOp } from './store.ts';
import { closedError, compactedError, futureRevision, Wakeups, watchLog } from './watching.ts';

export interface LmdbStoreOptions {
  /** Created when missing; used by this process alone. */
  readonly folder: string;
  readonly clock?: Clock;
  readonly meter?: Meter;
  /** Current values and history together may take so many bytes; then only deletions are accepted. */
  readonly maxBytes?: number;
  readonly history?: HistoryBounds;
  /** How often history is measured against its bounds. */
  readonly historyEveryMs?: number;
}

export const defaultMaxBytes = 8 * 2 ** 30;
export const defaultHistory: HistoryBounds = { maxAgeMs: 6 * 3_600_000, maxBytes: 256 * 2 ** 20 };

/** Bounds of one transaction, so that no caller waits for a very long one. */
const maxBatchOps = 2_000;
const maxBatchBytes = 8 * 2 ** 20;
/** Callers that wait for the disk; more are refused rather than kept. */
const maxQueuedCommits = 100_000;
/** Superseded records that one transaction of compaction looks at. */
const sweepSlice = 500;

interface Job {
  readonly ops: readonly StoreOp[];
  readonly bytes: number;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: unknown) => void;
  readonly queuedMs: number;
}

/**
 * The state in one LMDB file on this machine. Commits that arrive while a transaction is being written wait and go
 * into the next one together, so that they share its fsync; they are judged one after the other, each seeing those
 * before it. If the transaction fails, all of them fail and nothing has happened.
 *
 *     idle --commit--> writing --on disk, queue empty--> idle
 *                      writing --on disk, more queued--> writing
 *                      any     --close--> closed (after the transaction under way)
 */
export class LmdbStore implements Store {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #history: HistoryBounds;
  readonly #historyEveryMs: number;
  readonly #recent: RecentChanges;
  readonly #wakeups = new Wakeups();
  #state: DiskState;
  /** What readers may no longer see; the removal follows in slices, `#state.swept` says how far it is. */
  #compacted: number;
  #queue: Job[] = [];
  #writing: Promise<void> | undefined;
  #sweepers: { readonly upTo: number; readonly done: () => void; readonly failed: (error: unknown) => void }[] = [];
  #closed = false;
  #cancelTimer: () => void = () => undefined;
  #oldestMs: number | undefined;
  readonly #batchMs;
  readonly #batchCommits;

  /** Throws Conflict when the folder is in use, ServiceUnavailable when it cannot be read. */
  constructor(options: LmdbStoreOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#maxBytes = options.maxBytes ?? defaultMaxBytes;
    this.#history = options.history ?? defaultHistory;
    this.#historyEveryMs = options.historyEveryMs ?? 5_000;
    this.#disk = new Disk(options.folder, this.#maxBytes * 2);
    this.#state = this.#disk.state();
    this.#compacted = this.#state.swept;
    this.#recent = new RecentChanges(this.#state.revision);
    this.#scheduleHistory();
    const meter = options.meter ?? createNoopMeter();
    this.#batchMs = meter.createHistogram('troupe_store_transaction_seconds', {
      description: 'Time to write one transaction to the disk',
    });
    this.#batchCommits = meter.createHistogram('troupe_store_transaction_commits', {
      description: 'Commits that shared one transaction',
      advice: { explicitBucketBoundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] },
    });
    meter
      .createObservableGauge('troupe_store_bytes', { description: 'Bytes of current values and of history' })
      .addCallback((result) => {
        result.observe(this.#state.liveBytes, { part: 'live' });
        result.observe(this.#state.historyBytes, { part: 'history' });
      });
    meter
      .createObservableGauge('troupe_store_revision', { description: 'The revision of the last commit' })
      .addCallback((result) => {
        result.observe(this.#state.revision);
      });
  }

  commit(ops: readonly StoreOp[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#open();
      checkOps(ops);
      if (this.#queue.length >= maxQueuedCommits) {
        throw new ApiError('ServiceUnavailable', `${maxQueuedCommits} commits wait for the disk already`, {
          retryAfterSeconds: 1,
        });
      }
      let bytes = 0;
      for (const op of ops) bytes += op.value?.length ?? 0;
      this.#queue.push({ ops, bytes, resolve, reject, queuedMs: this.#clock.monotonic() });
      this.#write();
    });
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#open();
    return this.#entryAt(key, this.#disk.latest(key), this.#state.revision);
  }

  async list(prefix: string, options: StoreListOptions = {}): Promise<StoreList> {
    this.#open();
    const { atRevision = this.#state.revision, afterKey = '', limit = Infinity } = options;
    if (atRevision > this.#state.revision) throw futureRevision(atRevision, this.#state.revision);
    if (atRevision < this.#compacted) throw compactedError(atRevision, this.#compacted);
    const entries: StoreEntry[] = [];
    for (const { key, position } of this.#disk.keysFrom(afterKey > prefix ? afterKey : prefix)) {
      if (!key.startsWith(prefix)) break;
      if (key === afterKey) continue;
      const entry = this.#entryAt(key, position, atRevision);
      if (entry === undefined) continue;
      if (entries.length >= limit) return { entries, revision: atRevision, more: true };
      entries.push(entry);
    }
    return { entries, revision: atRevision, more: false };
  }

  async revision(): Promise<number> {
    this.#open();
    return this.#state.revision;
  }

  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<readonly StoreChange[]> {
    return watchLog(this.#source, prefix, afterRevision, signal);
  }

  async compact(revision: number): Promise<void> {
    this.#open();
    if (revision > this.#state.revision) throw futureRevision(revision, this.#state.revision);
    if (revision <= this.#state.swept) return;
    this.#compacted = Math.max(this.#compacted, revision);
    await new Promise<void>((done, failed) => {
      this.#sweepers.push({ upTo: revision, done, failed });
      this.#write();
    });
  }

  async history(): Promise<{ readonly compactedRevision: number; readonly bytes: number }> {
    this.#open();
    return { compactedRevision: this.#compacted, bytes: this.#state.historyBytes };
  }

  /** How long the oldest commit under way has been waiting, in milliseconds; 0 when none is. Large: the disk hangs. */
  waitingMs(): number {
    return this.#oldestMs === undefined ? 0 : this.#clock.monotonic() - this.#oldestMs;
  }

  async close(): Promise<void> {
    if (this.#closed) return this.#writing;
    this.#closed = true;
    this.#cancelTimer();
    while (this.#writing !== undefined) await this.#writing;
    this.#wakeups.fire();
    await this.#disk.close();
  }

  readonly #source = ((store: LmdbStore) => ({
    get revision() {
      return store.#state.revision;
    },
    get compactedRevision() {
      return store.#compacted;
    },
    get closed() {
      return store.#closed;
    },
    read: (afterRevision: number, limit: number) =>
      store.#recent.after(afterRevision, limit) ?? store.#readDisk(afterRevision, limit),
    wakeups: store.#wakeups,
  }))(this);

  #open(): void {
    if (this.#closed) throw closedError();
  }

  /**
   * The key's entry as of a revision, walking back from `position`. Every read goes through here with the last
   * acknowledged revision, since the file may be one transaction ahead of what has been acknowledged.
   */
  #entryAt(key: string, position: number, revision: number): StoreEntry | undefined {
    let at = position;
    while (at !== 0 && revisionOf(Math.abs(at)) > revision) {
      const record = this.#disk.record(Math.abs(at));
      at = record?.previousPosition ?? 0;
    }
    if (at <= 0) return undefined;
    const value = this.#disk.value(at);
    return value === undefined ? undefined : { key, value, revision: revisionOf(at) };
  }

  #readDisk(afterRevision: number, limit: number): readonly StoreChange[] {
    const changes: StoreChange[] = [];
    for (const record of this.#disk.recordsBetween(afterRevision, this.#state.revision)) {
      const { key, revision, timeMs, deletion, previousPosition } = record;
      if (changes.length >= limit && changes.at(-1)?.revision !== revision) break;
      const previous = previousPosition === 0 ? undefined : this.#disk.value(previousPosition);
      changes.push({ key, revision, timeMs, value: deletion ? undefined : record.value, previous });
    }
    return changes;
  }

  /** Starts writing in this turn of the loop, after what runs now has had its chance to commit too. */
  #write(): void {
    this.#writing ??= Promise.resolve().then(async () => {
      while (this.#queue.length > 0 || this.#sweepers.length > 0) {
        const jobs = this.#nextJobs();
        this.#oldestMs = jobs[0]?.queuedMs;
        await this.#writeBatch(jobs);
        this.#oldestMs = undefined;
      }
      this.#writing = undefined;
    });
  }

  #nextJobs(): readonly Job[] {
    let ops = 0;
    let bytes = 0;
    let count = 0;
    for (const job of this.#queue) {
      if (count > 0 && (ops + job.ops.length > maxBatchOps || bytes + job.bytes > maxBatchBytes)) break;
      ops += job.ops.length;
      bytes += job.bytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #writeBatch(jobs: readonly Job[]): Promise<void> {
    const startedMs = this.#clock.monotonic();
    const batch = new PendingBatch(this.#disk, this.#state, this.#clock.now());
    const settled: (() => void)[] = [];
    const room = new Room(this.#disk, this.#maxBytes);
    for (const job of jobs) {
      try {
        room.take(job, batch.state);
        const revision = batch.add(job.ops);
        settled.push(() => {
          job.resolve(revision);
        });
      } catch (error) {
        settled.push(() => {
          job.reject(error);
        });
      }
    }
    const sweeper = this.#sweepers[0];
    if (sweeper !== undefined) batch.sweep(sweeper.upTo, sweepSlice);
    try {
      if (batch.changed) await this.#disk.write(batch.writes());
    } catch (error) {
      for (const job of jobs) job.reject(error);
      for (const { failed } of this.#sweepers.splice(0)) failed(error);
      this.#afterFailure();
      return;
    }
    this.#state = batch.state;
    if (batch.changes.length > 0) this.#recent.add(batch.changes, batch.state.revision);
    for (const settle of settled) settle();
    if (batch.changes.length > 0) this.#wakeups.fire();
    if (jobs.length > 0) {
      this.#batchMs.record((this.#clock.monotonic() - startedMs) / 1000);
      this.#batchCommits.record(jobs.length);
    }
    this.#sweepers = this.#sweepers.filter(({ upTo, done }) => {
      if (upTo > this.#state.swept) return true;
      done();
      return false;
    });
  }

  /** A transaction that failed left nothing, but the disk has the last word on what it holds. */
  #afterFailure(): void {
    try {
      const state = this.#disk.state();
      if (state.revision === this.#state.revision) return;
      this.#state = state;
      this.#recent.restart(state.revision);
      this.#wakeups.fire();
    } catch {
      // Cannot even be read: the next commit will say so to its caller.
    }
  }

  #scheduleHistory(): void {
    this.#cancelTimer = this.#clock.after(this.#historyEveryMs, () => {
      void this.#keepHistory().finally(() => {
        if (!this.#closed) this.#scheduleHistory();
      });
    });
  }

  /** A failure is left to the next round: it concerns no caller, and commits will tell of a broken disk. */
  async #keepHistory(): Promise<void> {
    const target = compactionTarget({
      compacted: this.#compacted,
      revision: this.#state.revision,
      bytes: this.#state.historyBytes,
      bounds: this.#history,
      nowMs: this.#clock.now(),
      timeOf: (revision) => this.#timeOf(revision),
    });
    if (target > this.#state.swept) await this.compact(target).catch(() => undefined);
  }

  #timeOf(revision: number): number | undefined {
    for (const { timeMs } of this.#disk.recordsBetween(revision - 1, revision)) return timeMs;
    return undefined;
  }
}

/** What one transaction may still add: to the disk, and to the bound of the store itself. */
class Room {
  readonly #disk: Disk;
  readonly #maxBytes: number;
  #freeBytes: number | undefined;
  #ops = 0;
  #bytes = 0;

  constructor(disk: Disk, maxBytes: number) {
    this.#disk = disk;
    this.#maxBytes = maxBytes;
  }

  /** Throws ServiceUnavailable when the commit has no room. Deletions always have: they make some. */
  take(job: Job, state: DiskState): void {
    if (job.bytes === 0) return;
    const used = state.liveBytes + state.historyBytes;
    if (used + job.bytes > this.#maxBytes) {
      throw new ApiError(
        'ServiceUnavailable',
        `the store is full: it holds ${used} of at most ${this.#maxBytes} bytes; delete objects or raise --store-max-bytes`,
      );
    }
    this.#freeBytes ??= this.#disk.freeBytes();
    const needed = spaceNeeded(this.#ops + job.ops.length, this.#bytes + job.bytes);
    if (needed > this.#freeBytes) throw this.#disk.fullError(this.#freeBytes, needed);
    this.#ops += job.ops.length;
    this.#bytes += job.bytes;
  }
}
