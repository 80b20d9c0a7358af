/**
 * Where in the output of a container somebody is: which of its lives, the time of the last entry that is complete (an entry is a line, or a
 * part of a long one), how many complete entries have that very time, and how many bytes came after them.
 */
export interface LogPosition {
  readonly attempt: number;
  readonly time: string;
  readonly count: number;
  readonly bytes: number;
}

/** `attempt/time/count+bytes`; more `+bytes` may be appended by whoever has received more since. */
export const positionText = ({ attempt, time, count, bytes }: LogPosition): string =>
  `${attempt}/${time}/${count}+${bytes}`;

/** Undefined for what is none. */
export function parsePosition(text: string): LogPosition | undefined {
  const [, attempt, time = '', count, more = ''] = /^(\d+)\/([\dTZ:.-]*)\/(\d+)((?:\+\d+)*)$/.exec(text) ?? [];
  if (attempt === undefined || (time !== '' && !isStamp.test(time))) return undefined;
  const bytes = more.split('+').reduce((sum, part) => sum + Number(part), 0);
  return Number.isSafeInteger(bytes) ? { attempt: Number(attempt), time, count: Number(count), bytes } : undefined;
}

const isStamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const newline = 10;
const blank = 32;
/** The engine cuts longer lines into entries of so many bytes, each with a time before it. */
const entryBytes = 16 * 1024;
const longestStamp = 40;

/**
 * Takes the times off the output of an engine that was asked for them, and counts entries, so that a reader who is cut off can go on
 * with the very next byte. What does not begin with a time is given on as it is. `from` is where to begin: what was read before is left out.
 */
export class LogEntries {
  readonly #attempt: number;
  readonly #withTimes: boolean;
  /** Entries of the time at which to begin that are to be left out, and bytes after them. */
  #skipEntries: number;
  #skipBytes: number;
  readonly #from: LogPosition | undefined;
  #stamp: Buffer = Buffer.alloc(0);
  #isInContent = false;
  #isSkipped = false;
  #isLineStart = true;
  #left = entryBytes;
  #entryTime = '';
  #time: string;
  #count: number;
  #bytes = 0;

  constructor(attempt: number, withTimes: boolean, from?: LogPosition) {
    this.#attempt = attempt;
    this.#withTimes = withTimes;
    this.#from = from;
    this.#skipEntries = from?.count ?? 0;
    this.#skipBytes = from?.bytes ?? 0;
    this.#time = from?.time ?? '';
    this.#count = 0;
  }

  /** After everything that `push` has returned. */
  get position(): LogPosition {
    const isBehind = this.#isSkipped || this.#skipEntries + this.#skipBytes > 0;
    if (this.#from !== undefined && isBehind) return this.#from;
    return { attempt: this.#attempt, time: this.#time, count: this.#count, bytes: this.#bytes };
  }

  push(chunk: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < chunk.length;) {
      if (!this.#isInContent) {
        at = this.#takeStamp(chunk, at, parts);
        continue;
      }
      const rest = chunk.subarray(at, at + this.#left);
      const end = rest.indexOf(newline);
      const text = end === -1 ? rest : rest.subarray(0, end + 1);
      at += text.length;
      this.#left -= text.length;
      this.#give(text, parts);
      if (end !== -1 || this.#left === 0) this.#entryOver(end !== -1);
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  #takeStamp(chunk: Uint8Array, at: number, parts: Uint8Array[]): number {
    const end = chunk.subarray(at, at + longestStamp).indexOf(blank);
    const taken = chunk.subarray(at, end === -1 ? at + longestStamp : at + end + 1);
    this.#stamp = Buffer.concat([this.#stamp, taken]);
    if (end === -1 && this.#stamp.length < longestStamp) return at + taken.length;
    const stamp = this.#stamp;
    this.#stamp = Buffer.alloc(0);
    this.#isInContent = true;
    const time = stamp.subarray(0, -1).toString('latin1');
    if (end === -1 || !isStamp.test(time)) {
      this.#entryTime = this.#time;
      this.#left = Math.max(1, entryBytes - stamp.length);
      this.#give(stamp, parts);
      return at + taken.length;
    }
    this.#entryTime = time;
    this.#begin(time);
    if (this.#withTimes && this.#isLineStart) this.#give(stamp, parts);
    return at + taken.length;
  }

  #begin(time: string): void {
    this.#isSkipped = time === this.#from?.time && this.#skipEntries > 0;
    if (this.#isSkipped) this.#skipEntries--;
    // What was to be left out is not there any more: nothing is.
    else if (this.#skipEntries > 0) this.#skipEntries = this.#skipBytes = 0;
  }

  #give(text: Uint8Array, parts: Uint8Array[]): void {
    if (this.#isSkipped) return;
    this.#bytes += text.length;
    const skipped = Math.min(this.#skipBytes, text.length);
    this.#skipBytes -= skipped;
    if (skipped < text.length) parts.push(text.subarray(skipped));
  }

  #entryOver(isLineEnd: boolean): void {
    this.#count = this.#entryTime === this.#time ? this.#count + 1 : 1;
    this.#time = this.#entryTime;
    this.#bytes = 0;
    this.#isInContent = false;
    this.#isSkipped = false;
    this.#isLineStart = isLineEnd;
    this.#left = entryBytes;
  }
}
