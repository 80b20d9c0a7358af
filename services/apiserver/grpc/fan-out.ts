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
      const reader = watch.enter(fromRevision);
      try {
        let told = fromRevision;
        // What the shared watch no longer has, or never had, comes by a watch of one's own until both meet.
        if (told < watch.floor) {
          for await (const batch of registry.watch(topic.resource, topic.selection, told, signal)) {
            yield topic.encode(batch);
            told = batch.revision;
            if (told >= watch.floor) break;
          }
          if (signal.aborted) return;
          if (told < watch.floor) throw new ApiError('ServiceUnavailable', 'the watch ended; watch again');
        }
        watch.seek(reader, told);
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

interface Frame {
  readonly batch: WatchBatch;
  /** The revision up to which everything was told before this frame. */
  readonly after: number;
  readonly size: number;
  /** Encoded when the first reader needs it. */
  bytes: Buffer | undefined;
}

interface Reader {
  /** Told up to here. */
  revision: number;
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
  #bytes = 0;
  #floor: number;
  #head: number;
  #end: Error | undefined;

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

  /** Everything after this revision is still here, or still to come. */
  get floor(): number {
    return this.#floor;
  }

  enter(revision: number): Reader {
    const reader = { revision, wake: undefined };
    this.#readers.add(reader);
    return reader;
  }

  seek(reader: Reader, revision: number): void {
    reader.revision = revision;
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#aborting.abort();
    this.#onEnd();
  }

  /** The next frame for a reader; undefined once aborted. */
  async next(reader: Reader, signal: AbortSignal): Promise<Buffer | undefined> {
    for (;;) {
      if (signal.aborted) return undefined;
      if (reader.revision < this.#floor) {
        throw new ApiError('Expired', `the reader is more than ${this.#maxBytes} bytes of changes behind; list again`);
      }
      const frame = this.#frames[this.#firstAfter(reader.revision)];
      if (frame !== undefined) return this.#take(frame, reader);
      if (this.#end !== undefined) throw this.#end;
      await this.#somethingNew(reader, signal);
    }
  }

  #take(frame: Frame, reader: Reader): Buffer {
    const known = reader.revision;
    reader.revision = frame.batch.revision;
    if (known <= frame.after) return (frame.bytes ??= this.#topic.encode(frame.batch));
    // The reader starts in the middle of a batch: it gets the rest of it.
    return this.#topic.encode({
      revision: frame.batch.revision,
      changes: frame.batch.changes.filter((change) => change.served.revision > known),
    });
  }

  /** The index of the first frame that tells something after a revision. */
  #firstAfter(revision: number): number {
    let low = 0;
    let high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#frames[middle]?.batch.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #somethingNew(reader: Reader, signal: AbortSignal): Promise<void> {
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

  async #pump(registry: Registry, fromRevision: number): Promise<void> {
    const { resource, selection } = this.#topic;
    try {
      for await (const batch of registry.watch(resource, selection, fromRevision, this.#aborting.signal)) {
        if (batch.revision > this.#head) this.#append(batch);
      }
      this.#end = new ApiError('ServiceUnavailable', 'the watch ended; watch again');
    } catch (error) {
      this.#end = error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error));
    }
    this.#onEnd();
    this.#wakeAll();
  }

  #append(batch: WatchBatch): void {
    const size = batch.changes.reduce((sum, change) => sum + change.served.json.length + 32, 64);
    this.#frames.push({ batch, after: this.#head, size, bytes: undefined });
    this.#bytes += size;
    this.#head = batch.revision;
    this.#forget();
    this.#wakeAll();
  }

  /** Drops what every reader has, and what the bound forces. */
  #forget(): void {
    let needed = this.#head;
    for (const reader of this.#readers) needed = Math.min(needed, reader.revision);
    let count = 0;
    for (const frame of this.#frames) {
      if (frame.batch.revision > needed && this.#bytes <= this.#maxBytes) break;
      if (count === this.#frames.length - 1) break; // the newest stays, for readers who just listed
      this.#bytes -= frame.size;
      this.#floor = frame.batch.revision;
      count++;
    }
    if (count > 0) this.#frames = this.#frames.slice(count);
  }

  #wakeAll(): void {
    for (const reader of this.#readers) reader.wake?.();
  }
}
