import type { Duplex } from 'node:stream';
import type { Clock } from '../../../../lib/base/clock.ts';
import { ApiError, messageOf } from '../../../../lib/base/errors.ts';
import { FrameReader, FrameWriter, resetStatus, type Frame } from './frames.ts';
import type { Headers } from './header-block.ts';
import { SpdyStream } from './stream.ts';

export interface SpdyOptions {
  readonly clock: Clock;
  /** A stream that the other side has opened. It is accepted or reset by whoever takes it. */
  onStream(stream: SpdyStream): void;
}

/** Streams that are open at one time; a client forwards each connection by two. */
const maxStreams = 512;
/** Answers to control frames that have not left: a client that asks and does not read has no more of them. */
const maxUnsentAnswers = 1024;
/** What lies between us and a quiet client may forget a connection that is not used. */
const pingMs = 30_000;
/** How long the last bytes may take to leave. */
const lingerMs = 5_000;

/**
 * The serving side of SPDY/3.1 over any connection. Bytes are read for as long as all streams have room, and no stream is sent more than
 * the connection takes. Windows: we tell ours, for clients that keep to them; theirs are not awaited, since the clients of Kubernetes speak
 * of none and would wait for ever.
 */
export class SpdyConnection {
  readonly #link: Duplex;
  readonly #options: SpdyOptions;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<number>();
  readonly #over = new AbortController();
  #lastStream = 0;
  #unsentAnswers = 0;
  #pingId = 0;
  #cancelPing: () => void = () => undefined;

  constructor(link: Duplex, options: SpdyOptions) {
    this.#link = link;
    this.#options = options;
    const over = (): void => {
      if (this.signal.aborted) return;
      this.#end(new ApiError('Timeout', 'the caller has gone'));
      link.destroy(); // half of a connection is of no use to anybody
    };
    link.on('error', over);
    link.on('end', over);
    link.on('close', over);
    link.on('data', (bytes: Buffer) => {
      this.#received(bytes);
    });
    this.#pingLater();
  }

  /** Aborted when the connection is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Says that no more comes and ends the connection after all that was sent; resolves when that has left, or after 5 s. */
  async close(): Promise<void> {
    if (this.signal.aborted) return;
    await this.#write({ type: 'goaway', lastStream: this.#lastStream, status: 0 });
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(lingerMs, resolve);
      this.#link.end(() => {
        cancel();
        resolve();
      });
    });
    this.#end(new ApiError('Timeout', 'the connection was closed'));
    // The other side closes when it has read all; a connection that is cut may take bytes away from it.
    const cancel = this.#options.clock.after(lingerMs, () => this.#link.destroy());
    this.#link.once('close', cancel);
    this.#link.resume();
  }

  #received(bytes: Buffer): void {
    if (this.signal.aborted) return; // it is being closed: what still comes concerns nobody
    try {
      for (const frame of this.#reader.frames(bytes)) this.#take(frame);
    } catch (error) {
      this.#break(messageOf(error));
    }
    if (this.#full.size > 0) this.#link.pause();
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case 'open':
        return this.#opened(frame.stream, frame.headers, frame.isLast);
      case 'data': {
        const stream = this.#streams.get(frame.stream);
        // After a reset there may be data on its way.
        if (stream === undefined && frame.stream > this.#lastStream)
          this.#answer({ type: 'reset', stream: frame.stream, status: resetStatus.protocolError });
        return stream?.take(frame.data, frame.isLast);
      }
      case 'headers':
        if (frame.isLast) this.#streams.get(frame.stream)?.take(Buffer.alloc(0), true);
        return;
      case 'reset':
        return this.#streams.get(frame.stream)?.gone();
      case 'ping':
        // Its ids are odd; an even one is the answer to ours.
        if (frame.id % 2 === 1) this.#answer(frame);
        return;
      case 'goaway': // it opens no more, and ends the connection when its streams have ended
      case 'reply':
      case 'settings':
      case 'window':
        return;
    }
  }

  #opened(id: number, headers: Headers, isLast: boolean): void {
    if (id % 2 === 0 || id <= this.#lastStream)
      return this.#answer({ type: 'reset', stream: id, status: resetStatus.protocolError });
    this.#lastStream = id;
    if (this.#streams.size >= maxStreams)
      return this.#answer({ type: 'reset', stream: id, status: resetStatus.refused });
    const stream = new SpdyStream(id, headers, {
      write: (frame) => this.#write(frame),
      onFull: (isFull) => {
        this.#fullChanged(id, isFull);
      },
      onOver: () => {
        this.#streams.delete(id);
        this.#fullChanged(id, false);
      },
    });
    this.#streams.set(id, stream);
    if (isLast) stream.take(Buffer.alloc(0), true);
    this.#options.onStream(stream);
  }

  #fullChanged(id: number, isFull: boolean): void {
    if (isFull) this.#full.add(id);
    else if (this.#full.delete(id) && this.#full.size === 0) this.#link.resume();
  }

  /** Resolves when the bytes have left; also when the connection is over, since nobody will miss them. */
  #write(frame: Frame): Promise<void> {
    return new Promise((resolve) => {
      if (this.signal.aborted || !this.#link.writable) return resolve();
      this.#link.write(this.#writer.bytes(frame), () => {
        resolve();
      });
    });
  }

  #answer(frame: Frame): void {
    if (++this.#unsentAnswers > maxUnsentAnswers) return this.#break('the client asks and does not read the answers');
    void this.#write(frame).then(() => this.#unsentAnswers--);
  }

  #pingLater(): void {
    this.#cancelPing = this.#options.clock.after(pingMs, () => {
      this.#pingId += 2;
      this.#answer({ type: 'ping', id: this.#pingId });
      this.#pingLater();
    });
  }

  #break(why: string): void {
    this.#end(new ApiError('BadRequest', why));
    this.#link.destroy();
  }

  #end(error: ApiError): void {
    if (this.signal.aborted) return;
    this.#cancelPing();
    this.#over.abort(error);
    for (const stream of this.#streams.values()) stream.gone();
  }
}
