/**
 * The protocol of Redis (RESP 2 and 3), as far as a relay needs it: where a command or a reply ends, and the first words of a command.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */

const maxLine = 65_536;
const maxWords = 1_048_576;
const maxBulk = 512 * 2 ** 20;

/** What arrives is not the protocol. */
export class ProtocolError extends Error {}

export interface Command {
  /** The first words, the name in upper case. */
  readonly words: readonly string[];
  /** All of it, as it came. */
  readonly bytes: Buffer;
}

/** A piece that ends at `end`, or how many bytes are needed before it is worth another look. */
export type Found<T> = { readonly end: number; readonly value: T } | { readonly needed: number };

/** Cuts a stream of bytes into pieces: commands or replies. Keeps what is not whole yet, and looks at it again when enough has come. */
export class Cutter {
  #parts: Buffer[] = [];
  #length = 0;
  #needed = 1;

  get waiting(): number {
    return this.#length;
  }

  add(data: Buffer): void {
    this.#parts.push(data);
    this.#length += data.length;
  }

  /** The next piece whose end `find` knows; undefined when it is not all there. */
  next<T>(find: (data: Buffer) => Found<T>): T | undefined {
    if (this.#length < this.#needed) return undefined;
    const data = this.#parts.length === 1 && this.#parts[0] !== undefined ? this.#parts[0] : Buffer.concat(this.#parts);
    const found = find(data);
    if ('needed' in found) {
      this.#parts = [data];
      this.#needed = Math.max(found.needed, data.length + 1);
      return undefined;
    }
    this.#needed = 1;
    this.#length = data.length - found.end;
    this.#parts = this.#length === 0 ? [] : [data.subarray(found.end)];
    return found.value;
  }

  /** All that has come and is no piece yet. */
  rest(): Buffer {
    const data = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    return data;
  }
}

export function findCommand(data: Buffer): Found<Command> {
  const line = lineEnd(data, 0);
  if (line < 0) return { needed: data.length + 1 };
  if (data[0] !== 42 /* * */) {
    const words = data.toString('latin1', 0, line).trim().split(/\s+/).slice(0, 4);
    return {
      end: line + 2,
      value: { words: [(words[0] ?? '').toUpperCase(), ...words.slice(1)], bytes: data.subarray(0, line + 2) },
    };
  }
  const count = numberIn(data, 1, line);
  if (count > maxWords) throw new ProtocolError('too many words in a command');
  const words: string[] = [];
  let at = line + 2;
  for (let i = 0; i < count; i++) {
    const end = lineEnd(data, at);
    if (end < 0) return { needed: data.length + 1 };
    if (data[at] !== 36 /* $ */) throw new ProtocolError('a word of a command must be a bulk string');
    const length = numberIn(data, at + 1, end);
    if (length < 0 || length > maxBulk) throw new ProtocolError('a word of a command is too long');
    const next = end + 2 + length + 2;
    if (data.length < next) return { needed: next };
    if (i < 4) words.push(data.toString('latin1', end + 2, Math.min(next - 2, end + 2 + 64)));
    at = next;
  }
  const [name = '', ...others] = words;
  return { end: at, value: { words: [name.toUpperCase(), ...others], bytes: data.subarray(0, at) } };
}

export function findReply(data: Buffer): Found<Buffer> {
  let at = 0;
  // Values still to come: a list of n is n more.
  for (let left = 1; left > 0; left--) {
    const end = lineEnd(data, at);
    if (end < 0) return { needed: data.length + 1 };
    const next = end + 2;
    switch (String.fromCharCode(data[at] ?? 0)) {
      case '+':
      case '-':
      case ':':
      case '_':
      case '#':
      case ',':
      case '(':
        at = next;
        break;
      case '$':
      case '!':
      case '=': {
        const length = numberIn(data, at + 1, end);
        at = length < 0 ? next : next + length + 2;
        if (data.length < at) return { needed: at };
        break;
      }
      case '*':
      case '~':
      case '>':
        left += Math.max(0, numberIn(data, at + 1, end));
        at = next;
        break;
      case '%':
        left += 2 * Math.max(0, numberIn(data, at + 1, end));
        at = next;
        break;
      case '|': // what is said about the value that follows
        left += 2 * Math.max(0, numberIn(data, at + 1, end)) + 1;
        at = next;
        break;
      default:
        throw new ProtocolError(`not a reply of Redis: ${data.toString('latin1', at, Math.min(end, at + 40))}`);
    }
  }
  return { end: at, value: data.subarray(0, at) };
}

function lineEnd(data: Buffer, from: number): number {
  const at = data.indexOf('\r\n', from, 'latin1');
  if (at < 0 && data.length - from > maxLine) throw new ProtocolError('a line is too long');
  return at;
}

function numberIn(data: Buffer, from: number, to: number): number {
  const text = data.toString('latin1', from, to);
  if (!/^-?[0-9]{1,10}$/.test(text)) throw new ProtocolError(`not a length: ${text.slice(0, 20)}`);
  return Number(text);
}
