import type { Disk, DiskState, DiskWrites, PlacedRecord } from './disk.ts';
import { checkExpectations } from './expectations.ts';
import { positionOf, revisionOf } from './log-record.ts';
import type { StoreChange, StoreEntry, StoreOp } from './store.ts';

interface Present {
  /** Of the key's last change, a deletion included; 0 when there is none. */
  readonly position: number;
  readonly value: Uint8Array | undefined;
}

/** What `batch.ts` reads of the disk: all of it is as the last transaction left it. */
export type BatchGround = Pick<Disk, 'latest' | 'value' | 'recordsBetween'>;

/**
 * Commits that will share one transaction, judged one after the other against the disk and those before them.
 * Nothing here writes; an instance is used for one transaction and thrown away.
 */
export class PendingBatch {
  readonly #disk: BatchGround;
  readonly #timeMs: number;
  readonly #present = new Map<string, Present>();
  readonly #records: PlacedRecord[] = [];
  readonly #forgottenPositions: number[] = [];
  readonly #forgottenKeys: string[] = [];
  readonly #changes: StoreChange[] = [];
  #state: DiskState;
  #changed = false;

  constructor(disk: BatchGround, state: DiskState, timeMs: number) {
    this.#disk = disk;
    this.#state = state;
    this.#timeMs = timeMs;
  }

  get state(): DiskState {
    return this.#state;
  }
  get changed(): boolean {
    return this.#changed;
  }
  get changes(): readonly StoreChange[] {
    return this.#changes;
  }

  writes(): DiskWrites {
    return {
      records: this.#records,
      forgottenPositions: this.#forgottenPositions,
      forgottenKeys: this.#forgottenKeys,
      state: this.#state,
    };
  }

  /** The revision that the commit gets once the batch is written. Throws StoreConflict, and then has added nothing. */
  add(ops: readonly StoreOp[]): number {
    checkExpectations(
      ops,
      (key) => revisionOfPresent(this.#lookup(key)),
      (key) => entryOf(key, this.#lookup(key)),
    );
    const effective = ops.filter((op) => op.value !== undefined || this.#lookup(op.key).value !== undefined);
    if (effective.length === 0) return this.#state.revision;
    this.#changed = true;
    const revision = this.#state.revision + 1;
    let { historyBytes, liveBytes } = this.#state;
    effective.forEach(({ key, value }, index) => {
      const before = this.#lookup(key);
      const position = positionOf(revision, index);
      const previousSize = before.value === undefined ? 0 : sizeOf(key, before.value);
      const size = sizeOf(key, value);
      historyBytes += previousSize + (value === undefined ? size : 0);
      liveBytes += (value === undefined ? 0 : size) - previousSize;
      this.#records.push({
        key,
        position,
        revision,
        deletion: value === undefined,
        timeMs: this.#timeMs,
        previousPosition: before.position,
        previousSize,
        value: value ?? nothing,
      });
      this.#changes.push({ key, revision, timeMs: this.#timeMs, value, previous: before.value });
      this.#present.set(key, { position, value });
    });
    this.#state = { ...this.#state, revision, historyBytes, liveBytes };
    return revision;
  }

  /**
   * Removes from the log what was superseded by records up to `upTo`, and deletions up to there, about `limit`
   * records further than the last time. A record that superseded another knows where that lies.
   */
  sweep(upTo: number, limit: number): void {
    let { swept, historyBytes } = this.#state;
    let seen = 0;
    let finished = true;
    for (const record of this.#disk.recordsBetween(swept, upTo)) {
      if (seen >= limit && record.revision !== swept) {
        finished = false;
        break;
      }
      seen++;
      swept = record.revision;
      if (record.previousPosition !== 0) this.#forgottenPositions.push(record.previousPosition);
      historyBytes -= record.previousSize;
      if (!record.deletion) continue;
      historyBytes -= sizeOf(record.key, undefined);
      this.#forgottenPositions.push(record.position);
      if (this.#isLatest(record)) this.#forgottenKeys.push(record.key);
    }
    if (finished) swept = upTo;
    this.#changed = true;
    this.#state = { ...this.#state, swept, historyBytes };
  }

  #isLatest(record: PlacedRecord): boolean {
    const known = this.#present.get(record.key);
    return known === undefined
      ? this.#disk.latest(record.key) === -record.position
      : known.position === record.position;
  }

  #lookup(key: string): Present {
    const known = this.#present.get(key);
    if (known !== undefined) return known;
    const latest = this.#disk.latest(key);
    const value = latest > 0 ? this.#disk.value(latest) : undefined;
    const present = { position: Math.abs(latest), value };
    this.#present.set(key, present);
    return present;
  }
}

const nothing = new Uint8Array(0);
/** What a record takes, near enough: a bound needs no more. */
const sizeOf = (key: string, value: Uint8Array | undefined): number => key.length + (value?.length ?? 0) + 40;
const revisionOfPresent = ({ position, value }: Present): number => (value === undefined ? 0 : revisionOf(position));
const entryOf = (key: string, { position, value }: Present): StoreEntry | undefined =>
  value === undefined ? undefined : { key, value, revision: revisionOf(position) };
