import { chmodSync, closeSync, fsyncSync, openSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { ApiError, isApiError, messageOf } from '../../../lib/base/errors.ts';
import { lockFolder, type FolderLock } from './folder-lock.ts';
import { copyOfValue, decodeRecord, encodeRecord, positionOf, revisionOf, type LogRecord } from './log-record.ts';

/** What the store as a whole has come to; written with every batch, so that it is true at every moment. */
export interface DiskState {
  readonly revision: number;
  /** Up to here superseded records have been removed. */
  readonly swept: number;
  /** Bytes of superseded values and of deletions. */
  readonly historyBytes: number;
  /** Bytes of current values. */
  readonly liveBytes: number;
}

export interface PlacedRecord extends LogRecord {
  readonly position: number;
  readonly revision: number;
}

/** The changes of one batch, applied whole or not at all. */
export interface DiskWrites {
  readonly records: readonly PlacedRecord[];
  /** Log records that compaction removes, and keys whose deletion nobody can see any more. */
  readonly forgottenPositions: readonly number[];
  readonly forgottenKeys: readonly string[];
  readonly state: DiskState;
}

const format = 1;
const fresh: DiskState = { revision: 0, swept: 0, historyBytes: 0, liveBytes: 0 };

/**
 * The LMDB file of one store: the log of changes by position, the latest position of each key (negative when that
 * was a deletion) and the state. One writer; a batch is one transaction and on disk before its promise resolves.
 */
export class Disk {
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #env: RootDatabase<unknown, string>;
  readonly #log: Database<Buffer, number>;
  readonly #keys: Database<number, string>;

  /** Throws Conflict when another process uses the folder, ServiceUnavailable when it cannot be read. */
  constructor(folder: string, mapBytes: number) {
    this.#folder = folder;
    this.#lock = lockFolder(folder);
    try {
      this.#env = open<unknown, string>({
        path: join(folder, 'state.mdb'),
        maxDbs: 2,
        mapSize: mapBytes,
        overlappingSync: false, // a batch that has resolved is on the disk
        eventTurnBatching: false, // batches are ours; its own leave a rejection unhandled when the disk is full
        cache: false,
        encoding: 'json',
      });
      this.#log = this.#env.openDB<Buffer, number>({ name: 'log', encoding: 'binary', cache: false });
      this.#keys = this.#env.openDB<number, string>({ name: 'keys', encoding: 'ordered-binary', cache: false });
      chmodSync(join(folder, 'state.mdb'), 0o600); // Secrets are in it
      makeNameDurable(folder);
    } catch (error) {
      this.#lock.release();
      throw new ApiError('ServiceUnavailable', `cannot open the state in ${folder}: ${messageOf(error)}`);
    }
  }

  /** Throws ServiceUnavailable when the file was written by a later version of this format. */
  state(): DiskState {
    this.#env.resetReadTxn();
    const stored = this.#env.get('state') as (DiskState & { readonly format: number }) | undefined;
    if (stored === undefined) return fresh;
    if (stored.format !== format) {
      throw new ApiError(
        'ServiceUnavailable',
        `the state in ${this.#folder} has format ${stored.format}, this apiserver knows format ${format}`,
      );
    }
    return stored;
  }

  /** The position of the key's last change, negative for a deletion, 0 when there is none. */
  latest(key: string): number {
    return this.#keys.get(key) ?? 0;
  }

  record(position: number): LogRecord | undefined {
    const bytes = this.#log.getBinary(position);
    return bytes === undefined ? undefined : decodeRecord(bytes);
  }

  /** The value in a record; undefined when there is none, or a deletion. */
  value(position: number): Uint8Array | undefined {
    const bytes = this.#log.getBinaryFast(position); // valid until the next read: what is kept is copied
    return bytes === undefined ? undefined : copyOfValue(bytes);
  }

  /** Keys from `from` on in key order, with their latest positions. */
  *keysFrom(from: string): Iterable<{ readonly key: string; readonly position: number }> {
    for (const { key, value } of this.#keys.getRange({ start: from })) yield { key, position: value };
  }

  /** Records after one revision up to and including another, in order. */
  *recordsBetween(afterRevision: number, upToRevision: number): Iterable<PlacedRecord> {
    const start = positionOf(afterRevision + 1, 0);
    const end = positionOf(upToRevision + 1, 0);
    for (const { key: position, value } of this.#log.getRange({ start, end })) {
      yield { ...decodeRecord(value), position, revision: revisionOf(position) };
    }
  }

  /** Resolves once all of it is on the disk. Rejects with ServiceUnavailable; then nothing of it is. */
  async write(writes: DiskWrites): Promise<void> {
    try {
      await this.#env.batch(() => {
        for (const record of writes.records) {
          void this.#log.put(record.position, encodeRecord(record));
          void this.#keys.put(record.key, record.deletion ? -record.position : record.position);
        }
        for (const position of writes.forgottenPositions) void this.#log.remove(position);
        for (const key of writes.forgottenKeys) void this.#keys.remove(key);
        void this.#env.put('state', { format, ...writes.state });
      });
    } catch (error) {
      throw await this.#explain(error);
    }
    this.#env.resetReadTxn(); // what is read from here on sees it
  }

  /** Bytes that the disk has left for us. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#folder);
    return bavail * bsize;
  }

  fullError(freeBytes: number, neededBytes: number): ApiError {
    return new ApiError(
      'ServiceUnavailable',
      `the disk of ${this.#folder} is full: ${freeBytes} bytes are free and a write needs ${neededBytes}; nothing was written; free some space`,
      { retryAfterSeconds: 5 },
    );
  }

  async close(): Promise<void> {
    await this.#env.close();
    this.#lock.release();
  }

  async #explain(error: unknown): Promise<ApiError> {
    if (isApiError(error)) return error;
    // The library rejects each write with a general error whose commitError, itself a promise, rejects with the cause.
    const cause: unknown = await Promise.resolve((error as { commitError?: unknown }).commitError).catch(
      (why: unknown) => why,
    );
    return new ApiError(
      'ServiceUnavailable',
      `cannot write to the state in ${this.#folder}: ${messageOf(cause ?? error)}; nothing was written`,
      { retryAfterSeconds: 5 },
      { cause: error },
    );
  }
}

/**
 * What must be free before a write, so that it does not fail half-way and deletions and compaction still work on a disk
 * that is full for everything else: LMDB copies the pages it changes before it frees any.
 */
export const spaceNeeded = (ops: number, bytes: number): number => 2 * bytes + ops * 16_384 + 2 ** 20;

/** A new file is safe from a power cut only when the folder that names it is on the disk too. */
function makeNameDurable(folder: string): void {
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
