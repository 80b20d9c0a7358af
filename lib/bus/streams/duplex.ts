import { ApiError, isApiError, messageOf, type Reason } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { costOf, isNumbered, messageChannels, type Frame, type FrameKind } from './frame.ts';

/** How a stream ended well, or what the far end says went wrong. */
export interface Ending {
  /** Of a command. */
  readonly exitCode?: number;
  readonly failure?: Failure;
}
export interface Failure {
  readonly reason: Reason;
  readonly message: string;
}

/** Bytes that came on a channel; `data` is undefined when the channel has ended. */
export interface Piece {
  readonly channel: string;
  readonly data: Uint8Array | undefined;
}

export interface DuplexOptions {
  /** Hands a frame to the bus. It may throw, and what it took may be lost. */
  transmit(frame: Frame): void;
  readonly clock: Clock;
  /** The cost of what may have been received and not yet been taken: the most that this end holds for reading. */
  readonly windowBytes: number;
  /** The same of the other end: the most that this end holds for sending again. */
  readonly peerWindowBytes: number;
  /** Data is cut into frames of at most so many bytes. */
  readonly frameBytes: number;
  /** What the other end is, for errors: `the agent of node "n1"`. */
  readonly peer: string;
  /** Ended when neither end has sent data for so long; default never. */
  readonly idleMs?: number;
}

interface Delivered {
  readonly piece: Piece;
  readonly cost: number;
}

/** A frame that was not acknowledged is sent again after this, then after twice as long, up to `maxRetryMs`. */
const firstRetryMs = 500;
const maxRetryMs = 4_000;
/** An end that has heard nothing for so long asks whether the other is there. */
const pingMs = 5_000;
/** An end that hears nothing for so long takes the other for gone. */
const silentMs = 30_000;
/** How long `close` waits for its acknowledgement. */
const lingerMs = 5_000;
/** Acknowledgements wait this long for company, or for this part of the window. */
const ackDelayMs = 10;
const ackPart = 1 / 8;
/** Small pieces that wait for the reader are handed over together, up to so many bytes. */
const mergedBytes = 64 * 1024;

/**
 * One end of a stream over a bus that may lose, repeat and reorder messages: bytes on named channels, both ways, in order and each
 * once. Neither end holds more than a window: a sender waits until the reader has taken what came before.
 * Both ends run this same code.
 */
export class Duplex implements AsyncIterable<Piece> {
  /** How the stream ended; rejects with ApiError when it broke, was given up, or the far end says that it failed. */
  readonly ending: Promise<Ending>;
  readonly #options: DuplexOptions;
  readonly #over = new AbortController();
  #settle: (ending: Ending | ApiError) => void = () => undefined;

  // Sending
  #unacked: Frame[] = [];
  #nextNumber = 0;
  #sentCost = 0;
  #peerRoom: number;
  #blocked = new Set<() => void>();
  #closing: (() => void) | undefined;
  #retries = 0;
  #cancelRetry: (() => void) | undefined;

  // Receiving
  #expected = 0;
  #early = new Map<number, Frame>();
  #receivedCost = 0;
  #takenCost = 0;
  #toldRoom: number;
  #askedFor = -1;
  #unacknowledged = 0;
  #cancelAck: (() => void) | undefined;
  #inbox: Delivered[] = [];
  #wake: (() => void) | undefined;
  #isFinished = false;

  #heardMs: number;
  #usedMs: number;
  #cancelPing: () => void = () => undefined;

  constructor(options: DuplexOptions) {
    this.#options = options;
    this.#peerRoom = options.peerWindowBytes;
    this.#toldRoom = options.windowBytes;
    this.#heardMs = this.#usedMs = options.clock.monotonic();
    this.ending = new Promise((resolve, reject) => {
      this.#settle = (ending) => {
        if (ending instanceof ApiError) reject(ending);
        else if (ending.failure === undefined) resolve(ending);
        else reject(new ApiError(ending.failure.reason, ending.failure.message));
      };
    });
    this.ending.catch(() => undefined); // whoever reads the stream hears of it too
    this.#pingLater();
  }

  /** Aborted when the stream is over, however it ended; the reason is an ApiError. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }
  /** The most that was held for sending again or for reading, in cost: for tests and for looking at. */
  get held(): { readonly unacked: number; readonly unread: number } {
    return {
      unacked: this.#unacked.reduce((sum, frame) => sum + costOf(frame), 0),
      unread: this.#receivedCost - this.#takenCost,
    };
  }

  /**
   * Sends bytes. Resolves when they are on their way, which waits until the other end has room for them. Calls for one channel must
   * follow one another. Rejects with the stream's error once it is over. The bytes must not be changed afterwards.
   */
  async send(channel: string, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) {
      const part = data.subarray(at, at + this.#options.frameBytes);
      const cost = costOf({ kind: 'data', data: part });
      while (this.#sentCost + cost > this.#peerRoom) await this.#untilRoom();
      this.#usedMs = this.#options.clock.monotonic();
      this.#sendNumbered('data', channel, part);
      at += part.length;
    }
  }

  /** Says that nothing more comes on a channel. */
  end(channel: string): void {
    if (!this.#isOver) this.#sendNumbered('end', channel, nothing);
  }

  /**
   * Ends the stream after everything that was sent, and tells how it ended. Resolves when the other end has it, or after 5 s. What
   * comes meanwhile is dropped. Closing what is over does nothing.
   */
  close(ending: Ending): Promise<void> {
    if (this.#isOver || this.#closing !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        this.#finish(ending);
        resolve();
      };
      const cancel = this.#options.clock.after(lingerMs, finish);
      this.#closing = finish;
      this.signal.addEventListener('abort', () => {
        cancel();
        resolve();
      });
      this.#dropInbox();
      this.#sendNumbered('close', '', Buffer.from(JSON.stringify(ending)));
    });
  }

  /** Ends the stream at once and tells the other end why, if that can be reached. Resetting what is over does nothing. */
  reset(error: ApiError): void {
    if (this.#isOver) return;
    const failure: Failure = { reason: error.reason, message: error.message };
    this.#transmit('reset', Buffer.from(JSON.stringify(failure)));
    this.#finish(error);
  }

  /** The bus was away and is back: what was on its way is sent again at once. */
  nudge(): void {
    if (!this.#isOver) this.#retryNow();
  }

  /** What comes, in order. Ends when the stream is closed, throws when it breaks. Taking a piece makes room for more. One reader. */
  async *[Symbol.asyncIterator](): AsyncIterator<Piece> {
    for (;;) {
      const entry = this.#nextPiece();
      if (entry !== undefined) {
        yield entry.piece;
        this.#taken(entry.cost);
        continue;
      }
      if (this.#isOver) {
        if (this.#isFinished) return;
        throw this.#error();
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Takes what the bus brought. */
  receive(frame: Frame): void {
    if (this.#isOver) return;
    this.#heardMs = this.#options.clock.monotonic();
    if (frame.kind === 'reset') {
      this.#finish(apiErrorFrom(frame.data, `${this.#options.peer} ended the stream`));
      return;
    }
    this.#acknowledged(frame);
    if (this.#isOver) return;
    if (frame.kind === 'ping') this.#acknowledge();
    else if (frame.kind === 'missing') this.#sendAgain(frame.next);
    else if (isNumbered(frame.kind)) this.#take(frame);
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  // ---- Sending ---------------------------------------------------------------------------------

  #untilRoom(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(this.#error());
      const wake = (): void => {
        this.#blocked.delete(wake);
        if (this.#isOver) reject(this.#error());
        else resolve();
      };
      this.#blocked.add(wake);
      this.#retryLater(); // the word of new room may be lost: then ask
    });
  }

  #sendNumbered(kind: FrameKind, channel: string, data: Uint8Array): void {
    if (this.#isOver) throw this.#error();
    const frame = { kind, channel, data, number: this.#nextNumber++, ...this.#standing() };
    this.#sentCost += costOf(frame);
    this.#unacked.push(frame);
    this.#hand(frame);
    this.#retryLater();
  }

  #transmit(kind: FrameKind, data: Uint8Array = nothing): void {
    this.#hand({ kind, channel: '', data, number: 0, ...this.#standing() });
  }

  /** What the bus does not take counts as lost, and is sent again later. */
  #hand(frame: Frame): void {
    try {
      this.#options.transmit(frame);
      this.#toldRoom = Math.max(this.#toldRoom, frame.room);
      this.#unacknowledged = 0;
      this.#cancelAck?.();
      this.#cancelAck = undefined;
    } catch {
      // the timer of sending again is running
    }
  }

  #standing(): { readonly next: number; readonly room: number } {
    return { next: this.#expected, room: this.#takenCost + this.#options.windowBytes };
  }

  #acknowledged({ next, room }: Frame): void {
    this.#peerRoom = Math.max(this.#peerRoom, room);
    const done = this.#unacked.findIndex((frame) => frame.number >= next);
    const count = done < 0 ? (next >= this.#nextNumber ? this.#unacked.length : 0) : done;
    if (count > 0) {
      this.#unacked = this.#unacked.slice(count);
      this.#retries = 0;
      this.#cancelRetry?.();
      this.#cancelRetry = undefined;
    }
    if (this.#closing !== undefined && this.#unacked.length === 0) return this.#closing();
    for (const wake of [...this.#blocked]) wake();
    if (this.#unacked.length > 0) this.#retryLater();
  }

  #sendAgain(number: number): void {
    const frame = this.#unacked.find((candidate) => candidate.number === number);
    if (frame !== undefined) this.#hand({ ...frame, ...this.#standing() });
  }

  #retryLater(): void {
    if (this.#cancelRetry !== undefined) return;
    const ms = Math.min(maxRetryMs, firstRetryMs * 2 ** this.#retries);
    this.#cancelRetry = this.#options.clock.after(ms, () => {
      this.#cancelRetry = undefined;
      this.#retries++;
      this.#retryNow();
    });
  }

  #retryNow(): void {
    if (this.#isOver) return;
    if (this.#unacked.length === 0) this.#transmit('ping');
    for (const frame of this.#unacked) this.#hand({ ...frame, ...this.#standing() });
    if (this.#unacked.length > 0 || this.#blocked.size > 0) this.#retryLater();
  }

  // ---- Receiving -------------------------------------------------------------------------------

  #take(frame: Frame): void {
    if (frame.number < this.#expected || this.#early.has(frame.number)) return this.#acknowledge(); // a repetition
    const cost = costOf(frame);
    if (this.#receivedCost + cost > this.#takenCost + this.#options.windowBytes) return; // more than it was told to send
    this.#receivedCost += cost;
    this.#early.set(frame.number, frame);
    if (frame.number > this.#expected) return this.#askForMissing();
    for (let due = this.#early.get(this.#expected); due !== undefined; due = this.#early.get(this.#expected)) {
      this.#early.delete(this.#expected++);
      if (due.kind === 'close') {
        this.#transmit('ack');
        this.#finish(endingFrom(due.data));
        return;
      }
      this.#deliver(due);
    }
    if (this.#early.size > 0) this.#askForMissing();
    else if ((this.#unacknowledged += cost) >= this.#options.windowBytes * ackPart) this.#acknowledge();
    else this.#acknowledgeSoon();
  }

  #deliver(frame: Frame): void {
    this.#usedMs = this.#heardMs;
    const cost = costOf(frame);
    if (this.#closing !== undefined) {
      this.#takenCost += cost; // we are leaving: read and forgotten
      return;
    }
    this.#inbox.push({ piece: { channel: frame.channel, data: frame.kind === 'end' ? undefined : frame.data }, cost });
    this.#wakeReader();
  }

  #nextPiece(): Delivered | undefined {
    const first = this.#inbox.shift();
    if (first?.piece.data === undefined || messageChannels.has(first.piece.channel)) return first;
    const { channel } = first.piece;
    const parts = [first.piece.data];
    let { cost } = first;
    let size = first.piece.data.length;
    for (let next = this.#inbox[0]; next?.piece.data !== undefined; next = this.#inbox[0]) {
      size += next.piece.data.length;
      if (next.piece.channel !== channel || size > mergedBytes) break;
      parts.push(next.piece.data);
      cost += next.cost;
      this.#inbox.shift();
    }
    return parts.length === 1 ? first : { piece: { channel, data: Buffer.concat(parts) }, cost };
  }

  #taken(cost: number): void {
    this.#takenCost += cost;
    const room = this.#takenCost + this.#options.windowBytes;
    if (!this.#isOver && room - this.#toldRoom >= this.#options.windowBytes / 4) this.#acknowledge();
  }

  #dropInbox(): void {
    for (const { cost } of this.#inbox) this.#takenCost += cost;
    this.#inbox = [];
  }

  #askForMissing(): void {
    if (this.#askedFor === this.#expected) return; // asked already; if that was lost, the sender's timer helps
    this.#askedFor = this.#expected;
    this.#transmit('missing');
  }

  #acknowledge(): void {
    this.#transmit('ack');
  }

  #acknowledgeSoon(): void {
    this.#cancelAck ??= this.#options.clock.after(ackDelayMs, () => {
      this.#cancelAck = undefined;
      if (!this.#isOver) this.#acknowledge();
    });
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  // ---- Living and ending -----------------------------------------------------------------------

  #pingLater(): void {
    this.#cancelPing = this.#options.clock.after(pingMs, () => {
      if (this.#isOver) return;
      const { clock, peer, idleMs = Infinity } = this.#options;
      const silent = clock.monotonic() - this.#heardMs;
      if (silent >= silentMs) {
        this.reset(new ApiError('ServiceUnavailable', `${peer} has not answered for ${silentMs / 1000} s`));
        return;
      }
      if (clock.monotonic() - this.#usedMs >= idleMs) {
        this.reset(new ApiError('Timeout', `nothing was sent either way for ${Math.round(idleMs / 1000)} s`));
        return;
      }
      if (silent >= pingMs) this.#transmit('ping');
      this.#pingLater();
    });
  }

  #finish(how: Ending | ApiError): void {
    if (this.#isOver) return;
    this.#cancelPing();
    this.#cancelRetry?.();
    this.#cancelAck?.();
    this.#isFinished = !isApiError(how);
    this.#settle(how);
    this.#over.abort(isApiError(how) ? how : new ApiError('Expired', 'the stream has ended'));
    this.#unacked = [];
    this.#early.clear();
    for (const wake of [...this.#blocked]) wake();
    this.#wakeReader();
  }

  #error(): ApiError {
    return this.signal.reason as ApiError;
  }
}

const nothing = new Uint8Array(0);

function endingFrom(data: Uint8Array): Ending | ApiError {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8')) as Ending;
  } catch (error) {
    return new ApiError('InternalError', `the end of the stream is not JSON: ${messageOf(error)}`);
  }
}

function apiErrorFrom(data: Uint8Array, fallback: string): ApiError {
  try {
    const { reason, message } = JSON.parse(Buffer.from(data).toString('utf8')) as Failure;
    return new ApiError(reason, message);
  } catch {
    return new ApiError('ServiceUnavailable', fallback);
  }
}
