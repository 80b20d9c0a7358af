import { HeaderPacker, HeaderUnpacker, type Headers } from './header-block.ts';

/** The frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy, version 3.1), as far as streams need them. */
export type Frame =
  | { readonly type: 'data'; readonly stream: number; readonly data: Buffer; readonly isLast: boolean }
  | { readonly type: 'open'; readonly stream: number; readonly headers: Headers; readonly isLast: boolean }
  | { readonly type: 'reply'; readonly stream: number; readonly headers: Headers; readonly isLast: boolean }
  | { readonly type: 'headers'; readonly stream: number; readonly headers: Headers; readonly isLast: boolean }
  | { readonly type: 'reset'; readonly stream: number; readonly status: number }
  | { readonly type: 'settings'; readonly settings: ReadonlyMap<number, number> }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goaway'; readonly lastStream: number; readonly status: number }
  | { readonly type: 'window'; readonly stream: number; readonly bytes: number };

/** Why a stream is refused or broken off (2.6.3). */
export const resetStatus = { protocolError: 1, refused: 3, cancel: 5, internalError: 6 } as const;

const version = 3;
const numbers = { open: 1, reply: 2, reset: 3, settings: 4, ping: 6, goaway: 7, headers: 8, window: 9 } as const;
const headBytes = 8;
const lastFlag = 1;
/** Of frames that are not data; honest ones have some hundred bytes. */
const maxControlBytes = 64 * 1024;
const streamMask = 0x7fffffff;

/** Frames as bytes, in the order in which they are sent. */
export class FrameWriter {
  readonly #packer = new HeaderPacker();

  bytes(frame: Frame): Buffer {
    switch (frame.type) {
      case 'data': {
        const head = Buffer.alloc(headBytes);
        head.writeUInt32BE(frame.stream);
        head.writeUInt32BE(frame.data.length, 4);
        head[4] = frame.isLast ? lastFlag : 0;
        return Buffer.concat([head, frame.data]);
      }
      case 'open': {
        const rest = Buffer.alloc(2); // the priority and the slot of a credential: none
        return control('open', flagsOf(frame), [words(frame.stream, 0), rest, this.#packer.pack(frame.headers)]);
      }
      case 'reply':
      case 'headers':
        return control(frame.type, flagsOf(frame), [words(frame.stream), this.#packer.pack(frame.headers)]);
      case 'reset':
        return control('reset', 0, [words(frame.stream, frame.status)]);
      case 'settings':
        return control('settings', 0, [words(frame.settings.size, ...[...frame.settings].flat())]);
      case 'ping':
        return control('ping', 0, [words(frame.id)]);
      case 'goaway':
        return control('goaway', 0, [words(frame.lastStream, frame.status)]);
      case 'window':
        return control('window', 0, [words(frame.stream, frame.bytes)]);
    }
  }
}

const flagsOf = ({ isLast }: { readonly isLast: boolean }): number => (isLast ? lastFlag : 0);

function control(type: keyof typeof numbers, flags: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(headBytes);
  head.writeUInt16BE(0x8000 | version);
  head.writeUInt16BE(numbers[type], 2);
  head.writeUInt32BE(body.length, 4);
  head[4] = flags;
  return Buffer.concat([head, body]);
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

const none = Buffer.alloc(0);

/**
 * Frames in bytes that come in pieces of any size. Data is handed out as it comes, in more frames than were sent, so that no more than a
 * short control frame is ever held here.
 */
export class FrameReader {
  readonly #unpacker = new HeaderUnpacker();
  #held: Buffer = none;
  /** What is still to come of a data frame. */
  #data: { readonly stream: number; readonly isLast: boolean; left: number } | undefined;

  /** Throws where the bytes are not SPDY/3.1; the connection is of no use then. */
  *frames(bytes: Buffer): Generator<Frame> {
    let rest = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = none;
    for (;;) {
      if (this.#data !== undefined) {
        const { stream, isLast, left } = this.#data;
        const data = rest.subarray(0, left);
        const isWhole = data.length === left;
        if (data.length > 0 || isWhole) yield { type: 'data', stream, data, isLast: isLast && isWhole };
        if (!isWhole) {
          this.#data.left -= data.length;
          return;
        }
        this.#data = undefined;
        rest = rest.subarray(data.length);
      }
      if (rest.length < headBytes) break;
      const length = rest.readUIntBE(5, 3);
      const flags = rest[4] ?? 0;
      const isControl = ((rest[0] ?? 0) & 0x80) !== 0;
      if (!isControl) {
        this.#data = { stream: rest.readUInt32BE(0), isLast: (flags & lastFlag) !== 0, left: length };
        rest = rest.subarray(headBytes);
        continue;
      }
      if (length > maxControlBytes)
        throw new Error(`a control frame of ${length} bytes, at most ${maxControlBytes} are taken`);
      if (rest.length < headBytes + length) break;
      const frame = this.#control(rest.subarray(0, headBytes + length), flags);
      rest = rest.subarray(headBytes + length);
      if (frame !== undefined) yield frame;
    }
    this.#held = Buffer.from(rest); // a copy: what came with it need not be kept
  }

  /** Undefined for a kind of frame that nobody needs. */
  #control(whole: Buffer, flags: number): Frame | undefined {
    const spoken = whole.readUInt16BE(0) & 0x7fff;
    if (spoken !== version) throw new Error(`a frame of SPDY version ${spoken}; only ${version} is spoken here`);
    const body = whole.subarray(headBytes);
    const isLast = (flags & lastFlag) !== 0;
    const word = (index: number): number => {
      if (body.length < index * 4 + 4) throw new Error('a control frame is too short');
      return body.readUInt32BE(index * 4);
    };
    const stream = (): number => word(0) & streamMask;
    const headers = (from: number): Headers => this.#unpacker.unpack(body.subarray(from));
    switch (whole.readUInt16BE(2)) {
      case numbers.open:
        return { type: 'open', stream: stream(), headers: headers(10), isLast };
      case numbers.reply:
        return { type: 'reply', stream: stream(), headers: headers(4), isLast };
      case numbers.headers:
        return { type: 'headers', stream: stream(), headers: headers(4), isLast };
      case numbers.reset:
        return { type: 'reset', stream: stream(), status: word(1) };
      case numbers.settings: {
        const count = Math.min(word(0), body.length / 8);
        const entries = Array.from(
          { length: count },
          (_, at) => [word(1 + at * 2) & 0xffffff, word(2 + at * 2)] as const,
        );
        return { type: 'settings', settings: new Map(entries) };
      }
      case numbers.ping:
        return { type: 'ping', id: word(0) };
      case numbers.goaway:
        return { type: 'goaway', lastStream: stream(), status: word(1) };
      case numbers.window:
        return { type: 'window', stream: stream(), bytes: word(1) & streamMask };
      default:
        return undefined;
    }
  }
}
