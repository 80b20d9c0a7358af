import { ApiError } from '../../../../lib/base/errors.ts';
import { resetStatus, type Frame } from './frames.ts';
import type { Headers } from './header-block.ts';

export interface StreamOptions {
  /** Resolves when the frame has left. */
  write(frame: Frame): Promise<void>;
  /** Whether more is held here than should be; told when it changes. */
  onFull(isFull: boolean): void;
  /** Both sides have ended, or one has broken it off. */
  onOver(): void;
}

/** More than this waiting for its reader, and the connection is not read on. */
const maxHeldBytes = 256 * 1024;
/** Data leaves in frames of so much, so that streams take turns. */
const frameBytes = 32 * 1024;
/** The window is told to be open again in steps of half of what it is at first (SPDY/3.1, 2.6.8). */
const windowStepBytes = 32 * 1024;

/** One stream of a SPDY connection, opened by the other side: bytes both ways, each way ended by itself. */
export class SpdyStream {
  readonly id: number;
  readonly headers: Headers;
  readonly #options: StreamOptions;
  readonly #gone = new AbortController();
  #held: Buffer[] = [];
  #heldBytes = 0;
  #untoldBytes = 0;
  #hasAllCome = false;
  #hasAllGone = false;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(id: number, headers: Headers, options: StreamOptions) {
    this.id = id;
    this.headers = headers;
    this.#options = options;
  }

  /** Aborted when the other side has broken the stream off, or the connection is over. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  accept(): void {
    void this.#options.write({ type: 'reply', stream: this.id, headers: new Map(), isLast: false });
  }

  /** Resolves when the bytes have left; also when the stream is over, since nobody will miss them. */
  async send(data: Uint8Array): Promise<void> {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes.length && !this.#hasAllGone; at += frameBytes) {
      const part = bytes.subarray(at, at + frameBytes);
      await this.#options.write({ type: 'data', stream: this.id, data: part, isLast: false });
    }
  }

  /** Says that nothing more is sent. Ending what has ended does nothing. */
  end(): void {
    if (this.#hasAllGone) return;
    this.#hasAllGone = true;
    void this.#options.write({ type: 'data', stream: this.id, data: Buffer.alloc(0), isLast: true });
    this.#maybeOver();
  }

  /** Breaks the stream off. */
  reset(status: number = resetStatus.cancel): void {
    if (this.#isOver) return;
    void this.#options.write({ type: 'reset', stream: this.id, status });
    this.gone();
  }

  /** What comes, until the other side has ended; also until the stream is over. One reader. */
  async *data(): AsyncGenerator<Buffer> {
    for (;;) {
      const next = this.#held.shift();
      if (next !== undefined) {
        yield next;
        this.#taken(next.length);
      } else if (this.#hasAllCome || this.#gone.signal.aborted) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** From the connection: bytes that came. */
  take(data: Buffer, isLast: boolean): void {
    if (this.#hasAllCome || this.#isOver) return; // what comes after the end is nothing
    if (data.length > 0) {
      this.#held.push(data);
      this.#heldBytes += data.length;
      if (this.#heldBytes > maxHeldBytes) this.#options.onFull(true);
    }
    this.#hasAllCome = isLast;
    this.#wake?.();
    this.#maybeOver();
  }

  /** From the connection: the stream is over. */
  gone(): void {
    if (this.#isOver) return;
    this.#isOver = this.#hasAllGone = true;
    this.#held = [];
    this.#gone.abort(new ApiError('Timeout', 'the caller has gone'));
    this.#wake?.();
    this.#options.onOver();
  }

  #taken(bytes: number): void {
    if (this.#isOver) return;
    const wasFull = this.#heldBytes > maxHeldBytes;
    this.#heldBytes -= bytes;
    if (wasFull && this.#heldBytes <= maxHeldBytes) this.#options.onFull(false);
    this.#untoldBytes += bytes;
    if (this.#untoldBytes < windowStepBytes || this.#hasAllCome) return;
    void this.#options.write({ type: 'window', stream: this.id, bytes: this.#untoldBytes });
    this.#untoldBytes = 0;
  }

  #maybeOver(): void {
    if (this.#isOver || !this.#hasAllCome || !this.#hasAllGone) return;
    this.#isOver = true;
    this.#options.onOver();
  }
}
