import { ApiError, messageOf } from '../../../lib/base/errors.ts';
import type { Registry, Selection, WatchBatch } from '../registry/registry.ts';

/** What is watched, and in which form it is sent: readers who want the same get the same bytes. */
export interface Topic {
  readonly resource: string;
  readonly selection: Selection;
  /** Names the encoding. */
  readonly form: string;
  encode(batch: WatchBatch): Buffer;
}

export interface FanOutOptions {
  /** Bytes of changes kept for the slowest reader of a topic; one that falls behind further is ended with Expired. */
  readonly maxBytes?: number;
}

/** Sends each change of the registry to any number of readers, encoded once for all that watch the same. */
export interface FanOut {
  /**
   * The encoded batches after `fromRevision`, in order, until aborted (then it ends). Rejects with Expired when history is too short or
   * the reader too slow, with what the registry rejects with, and with ServiceUnavailable when its watch just ends.
   */
  read(topic: Topic, fromRevision: number, signal: AbortSignal): AsyncGenerator<Buffer, void>;
  /** Watches now held with the registry. */
  readonly topics: number;
}

export function newFanOut(registry: Registry, options: FanOutOptions = {}): FanOut {
  const { maxBytes = 16 * 1024 * 1024 } = options;
  const shared = new Map<string, SharedWatch>();

  function join(topic: Topic, fromRevision: number): SharedWatch {
    const { namespace = '', labelSelector = '', fieldSelector = '' } = topic.selection;
    const key = JSON.stringify([topic.form, topic.resource, namespace, labelSelector, fieldSelector]);
    const known = shared.get(key);
    if (known !== undefined) return known;
    const created = new SharedWatch(topic, registry, { fromRevision, maxBytes }, () => {
      if (shared.get(key) === created) shared.delete(key);
    });
    shared.set(key, created);
    return created;
  }

  return {
    async *read(topic, fromRevision, signal) {
      if (signal.aborted) return;
      const watch = join(topic, fromRevision);
      const reader = watch.enter();
      try {
        let hasStarted = watch.start(reader, fromRevision);
        if (!hasStarted) {
          // What the shared watch no longer has, or never had, comes by a watch of one's own until both meet.
          for await (const batch of registry.watch(topic.resource, topic.selection, fromRevision, signal)) {
            for (const part of portions(batch)) yield topic.encode(part);
            hasStarted = watch.start(reader, batch.revision);
            if (hasStarted) break;
          }
          if (signal.aborted) return;
          if (!hasStarted) throw new ApiError('ServiceUnavailable', 'the watch ended; watch again');
        }
        for (;;) {
          const bytes = await watch.next(reader, signal);
          if (bytes === undefined) return;
          yield bytes;
        }
      } finally {
        watch.leave(reader);
      }
    },
    get topics() {
      return shared.size;
    },
  };
}

/** JSON bytes of changes in one message: below what clients take by default (4 MiB). */
const messageBytes = 1024 * 1024;

/** A batch in messages of a sane size. Each part but the last tells everything up to just before the next one's first change. */
export function* portions(batch: WatchBatch): Generator<WatchBatch> {
  let start = 0;
  let bytes = 0;
  for (const [index, { served }] of batch.changes.entries()) {
    if (index > start && bytes + served.json.length > messageBytes) {
      yield { revision: served.revision - 1, changes: batch.changes.slice(start, index) };
      start = index;
      bytes = 0;
    }
    bytes += served.json.length;
  }
  yield start === 0 ? batch : { revision: batch.revision, changes: batch.changes.slice(start) };
}

interface Frame {
  readonly batch: WatchBatch;
  /** The revision up to which everything was told before this frame. */
  readonly after: number;
  /** The last revision that it tells something of. */
  readonly last: number;
  readonly size: number;
  /** Encoded when the first reader needs it. */
  bytes: Buffer | undefined;
}

interface Reader {
  /** The number of its next frame. */
  next: number;
  /** It needs nothing up to this revision. */
  after: number;
  wake: (() => void) | undefined;
}

/**
 * One watch of the registry and the frames that some reader has still to take. A reader is a position, not a queue: a
 * slow one costs the frames in between, which `maxBytes` bounds. Ends with its last reader, or when the registry's watch does.
 */
class SharedWatch {
  readonly #topic: Topic;
  readonly #maxBytes: number;
  readonly #aborting = new AbortController();
  readonly #onEnd: () => void;
  readonly #readers = new Set<Reader>();
  #frames: Frame[] = [];
  /** The number of the first frame held: frames are numbered from 0 in the order they came. */
  #first = 0;
  #bytes = 0;
  /** Who has seen everything up to this revision misses nothing here. */
  #floor: number;
  #head: number;
  #end: Error | undefined;
  #proceed: (() => void) | undefined;

  constructor(
    topic: Topic,
    registry: Registry,
    options: { readonly fromRevision: number; readonly maxBytes: number },
    onEnd: () => void,
  ) {
    this.#topic = topic;
    this.#maxBytes = options.maxBytes;
    this.#floor = options.fromRevision;
    this.#head = options.fromRevision;
    this.#onEnd = onEnd;
    void this.#pump(registry, options.fromRevision);
  }

  /** A reader for which the frames held now are kept, within the bound, until it says where it starts. */
  enter(): Reader {
    const reader = { next: this.#first, after: 0, wake: undefined };
    this.#readers.add(reader);
    return reader;
  }

  /** The reader needs what comes after a revision from here on. False, and nothing done, when some of that is no longer here. */
  start(reader: Reader, revision: number): boolean {
    if (revision < this.#floor) return false;
    reader.after = revision;
    const index = this.#frames.findIndex((frame) => frame.last > revision);
    reader.next = this.#first + (index < 0 ? this.#frames.length : index);
    return true;
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#aborting.abort();
    this.#proceed?.();
    this.#onEnd();
  }

  /** The next frame for a reader; undefined once aborted. */
  async next(reader: Reader, signal: AbortSignal): Promise<Buffer | undefined> {
    while (!signal.aborted) {
      if (reader.next < this.#first) {
        throw new ApiError('Expired', `the reader is more than ${this.#maxBytes} bytes of changes behind; list again`);
      }
      const frame = this.#frames[reader.next - this.#first];
      if (frame !== undefined) {
        reader.next++;
        this.#proceed?.();
        if (frame.last > reader.after) return this.#encoded(frame, reader.after);
      } else if (this.#end !== undefined) throw this.#end;
      else await somethingNew(reader, signal);
    }
    return undefined;
  }

  #encoded(frame: Frame, after: number): Buffer {
    if (after <= frame.after) return (frame.bytes ??= this.#topic.encode(frame.batch));
    // The reader starts in the middle of a batch: it gets the rest of it.
    const changes = frame.batch.changes.filter((change) => change.served.revision > after);
    return this.#topic.encode({ revision: frame.batch.revision, changes });
  }

  async #pump(registry: Registry, fromRevision: number): Promise<void> {
    const { resource, selection } = this.#topic;
    try {
      for await (const batch of registry.watch(resource, selection, fromRevision, this.#aborting.signal)) {
        if (batch.revision <= this.#head) continue;
        for (const part of portions(batch)) this.#append(part);
        this.#head = batch.revision;
        this.#forget();
        this.#wakeAll();
        await this.#someReaderKeepsUp();
      }
      this.#end = new ApiError('ServiceUnavailable', 'the watch ended; watch again');
    } catch (error) {
      this.#end = error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error));
    }
    this.#onEnd();
    this.#wakeAll();
  }

  /**
   * A reader is slow by comparison with others, not with a history that comes as fast as the store can read: with half the bound in use,
   * wait until somebody has everything. When nobody gets on, the registry ends its watch by its own bound.
   */
  async #someReaderKeepsUp(): Promise<void> {
    const isWaiting = (): boolean => {
      const end = this.#first + this.#frames.length;
      for (const reader of this.#readers) if (reader.next >= end) return false;
      return this.#bytes > this.#maxBytes / 2 && !this.#aborting.signal.aborted;
    };
    while (isWaiting()) {
      await new Promise<void>((resolve) => (this.#proceed = resolve));
      this.#forget();
    }
    this.#proceed = undefined;
  }

  #append(batch: WatchBatch): void {
    const size = batch.changes.reduce((sum, change) => sum + change.served.json.length + 32, 64);
    const last = Math.max(batch.revision, batch.changes.at(-1)?.served.revision ?? 0);
    this.#frames.push({ batch, after: this.#head, last, size, bytes: undefined });
    this.#bytes += size;
  }

  /** Drops what every reader has, and what the bound forces; the newest stays for readers who just listed. */
  #forget(): void {
    let needed = this.#first + this.#frames.length - 1;
    for (const reader of this.#readers) needed = Math.min(needed, reader.next);
    let count = 0;
    for (const frame of this.#frames.slice(0, -1)) {
      if (this.#first + count >= needed && this.#bytes <= this.#maxBytes) break;
      this.#bytes -= frame.size;
      this.#floor = frame.last;
      count++;
    }
    if (count === 0) return;
    this.#frames = this.#frames.slice(count);
    this.#first += count;
  }

  #wakeAll(): void {
    for (const reader of this.#readers) reader.wake?.();
  }
}

function somethingNew(reader: Reader, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      signal.removeEventListener('abort', wake);
      reader.wake = undefined;
      resolve();
    };
    reader.wake = wake;
    signal.addEventListener('abort', wake, { once: true });
  });
}
