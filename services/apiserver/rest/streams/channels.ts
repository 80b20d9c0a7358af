import type { RawData, WebSocket } from 'ws';
import type { Clock } from '../../../../lib/base/clock.ts';
import { ApiError } from '../../../../lib/base/errors.ts';

/** One message of the channel protocols: its first byte says what it is for. */
export interface ChannelMessage {
  readonly channel: number;
  readonly data: Buffer;
}

/** What waits to be taken by us before the connection is told to wait. */
const maxWaiting = 16;
/** What lies between us and a quiet client may forget a connection that is not used. */
const pingMs = 30_000;

/**
 * A WebSocket that carries numbered channels (`v4.channel.k8s.io`, `v5.channel.k8s.io`). Neither side is read faster than the
 * other takes: `send` resolves when the bytes have left, and reading pauses while messages wait here.
 */
export class Channels {
  readonly #socket: WebSocket;
  readonly #waiting: ChannelMessage[] = [];
  #wake: (() => void) | undefined;
  #isOver = false;
  readonly #gone = new AbortController();
  readonly #clock: Clock;
  #cancelPing: () => void = () => undefined;

  constructor(socket: WebSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.#pingLater();
    socket.on('message', (data: RawData) => {
      this.#received(data);
    });
    const over = (): void => {
      this.#isOver = true;
      this.#cancelPing();
      this.#gone.abort(new ApiError('Timeout', 'the caller has gone'));
      this.#wake?.();
    };
    socket.on('close', over);
    socket.on('error', over);
  }

  /** Aborted when the connection is over. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when the bytes have left; also when the connection is over, since nobody will miss them. */
  send(channel: number, data: Uint8Array): Promise<void> {
    const message = Buffer.allocUnsafe(data.length + 1);
    message[0] = channel;
    message.set(data, 1);
    return new Promise((resolve) => {
      if (this.#isOver) return resolve();
      this.#socket.send(message, { binary: true }, () => {
        resolve();
      });
    });
  }

  /** What comes, until the connection is over. One reader. */
  async *messages(): AsyncGenerator<ChannelMessage> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        if (this.#waiting.length === 0) this.#socket.resume();
        yield next;
      } else if (this.#isOver) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  close(): void {
    this.#socket.close(1000);
  }

  #pingLater(): void {
    this.#cancelPing = this.#clock.after(pingMs, () => {
      this.#socket.ping();
      this.#pingLater();
    });
  }

  #received(data: RawData): void {
    const bytes = Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? Buffer.from(data) : data;
    const [channel] = bytes;
    if (channel === undefined) return; // an empty message: some clients begin with one
    this.#waiting.push({ channel, data: bytes.subarray(1) });
    if (this.#waiting.length >= maxWaiting) this.#socket.pause();
    this.#wake?.();
  }
}
