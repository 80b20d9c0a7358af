import { typeNumbers, type DnsRecord } from './records.ts';

/** A question as it came, with what the answer must repeat. */
export interface Query {
  readonly id: number;
  /** As it was asked, for comparison in lower case. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  /** The bytes of the question section: an answer repeats them, spelling included. */
  readonly question: Buffer;
  /** Undefined when the asker knows nothing of EDNS (RFC 6891). */
  readonly edns: { readonly udpSize: number; readonly dnssecOk: boolean; readonly version: number } | undefined;
}

/** What we can take, and nothing more: asked for on behalf of whoever knows nothing of EDNS. */
export const plainEdns = { udpSize: 1232, dnssecOk: false, version: 0 };

export const headerSize = 12;
export const flag = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
};
/** The bytes at the beginning of a message that could not be read, or is not a question: undefined when there is nothing to answer. */
export type Unreadable = { readonly id: number; readonly opcode: number } | undefined;

/** Reads a request: one question, perhaps an OPT record. */
export function readQuery(message: Buffer): Query | { readonly bad: Unreadable } {
  if (message.length < headerSize) return { bad: undefined };
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & flag.response) !== 0) return { bad: undefined };
  const opcode = (flags >> 11) & 15;
  const bad = { bad: { id, opcode } };
  try {
    if (message.readUInt16BE(4) !== 1 || message.readUInt16BE(6) !== 0) return bad;
    const end = skipName(message, headerSize);
    const name = readName(message, headerSize);
    const question = message.subarray(headerSize, end + 4);
    if (question.length !== end + 4 - headerSize) return bad;
    const opt = [...recordsOf(message, end + 4)].find((record) => record.type === typeNumbers.OPT);
    return {
      id,
      name: name.toLowerCase(),
      type: message.readUInt16BE(end),
      class: message.readUInt16BE(end + 2),
      opcode,
      recursionDesired: (flags & flag.recursionDesired) !== 0,
      question,
      edns: opt && {
        udpSize: opt.class,
        dnssecOk: (opt.ttl & 0x8000) !== 0,
        version: (opt.ttl >> 16) & 255,
      },
    };
  } catch {
    return bad; // ran past its end
  }
}

/** The name at `at`, without the dot at the end. Throws RangeError when it is not well formed. */
export function readName(message: Buffer, at: number): string {
  const labels: string[] = [];
  for (let hops = 0; ;) {
    const length = message.readUInt8(at);
    if (length === 0) return labels.join('.');
    if (length >= 0xc0) {
      if (++hops > 16) throw new RangeError('a name that points in a circle');
      at = message.readUInt16BE(at) & 0x3fff;
      continue;
    }
    if (length > 63 || at + 1 + length > message.length) throw new RangeError('a label that is too long');
    const label = message.toString('latin1', at + 1, at + 1 + length);
    if (label.includes('.')) throw new RangeError('a label with a dot, which no host name has');
    labels.push(label);
    at += 1 + length;
  }
}

/** Where the bytes after the name at `at` begin. */
function skipName(message: Buffer, at: number): number {
  for (;;) {
    const length = message.readUInt8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new RangeError('a label that is too long');
    at += 1 + length;
  }
}

export interface RawRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly start: number;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly ttlAt: number;
  readonly dataAt: number;
  readonly dataLength: number;
}

/** The records of a message, in order, from the end of its question on. Throws RangeError where it is cut off. */
export function* recordsOf(message: Buffer, from = questionEnd(message)): Generator<RawRecord> {
  let at = from;
  const sections = [
    ['answer', 6],
    ['authority', 8],
    ['additional', 10],
  ] as const;
  for (const [section, countAt] of sections) {
    for (let left = message.readUInt16BE(countAt); left > 0; left--) {
      const start = at;
      const fixed = skipName(message, at);
      const dataLength = message.readUInt16BE(fixed + 8);
      at = fixed + 10 + dataLength;
      if (at > message.length) throw new RangeError('a record that is cut off');
      yield {
        section,
        start,
        type: message.readUInt16BE(fixed),
        class: message.readUInt16BE(fixed + 2),
        ttl: message.readUInt32BE(fixed + 4),
        ttlAt: fixed + 4,
        dataAt: fixed + 10,
        dataLength,
      };
    }
  }
}

/** The addresses of an answer, and the names that lead to them; other types are left out. */
export function addressRecords(message: Buffer): DnsRecord[] {
  const records: DnsRecord[] = [];
  for (const { section, start, type, ttl, dataAt, dataLength } of recordsOf(message)) {
    if (section !== 'answer') break;
    const name = readName(message, start).toLowerCase();
    const bytes = message.subarray(dataAt, dataAt + dataLength);
    if (type === typeNumbers.A) records.push({ type: 'A', name, ttl, address: bytes.join('.') });
    if (type === typeNumbers.AAAA) records.push({ type: 'AAAA', name, ttl, bytes: Buffer.from(bytes) });
    if (type === typeNumbers.CNAME) {
      records.push({ type: 'CNAME', name, ttl, target: readName(message, dataAt).toLowerCase() });
    }
  }
  return records;
}

export const questionEnd = (message: Buffer): number =>
  message.readUInt16BE(4) === 0 ? headerSize : skipName(message, headerSize) + 4;

export const rcodeOf = (message: Buffer): number => message.readUInt16BE(2) & 15;
export const isTruncated = (message: Buffer): boolean => (message.readUInt16BE(2) & flag.truncated) !== 0;
