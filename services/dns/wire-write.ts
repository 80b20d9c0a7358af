import { rcodes, typeNumbers, type DnsRecord, type Rcode } from './records.ts';
import { flag, headerSize, recordsOf, type Query, type RawRecord, type Unreadable } from './wire.ts';

/** What this server can take by UDP: it passes every network unfragmented. */
const ownUdpSize = 1232;

/** A question to another server, with recursion asked for. */
export function writeQuery(id: number, question: Buffer, edns: Query['edns']): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(flag.recursionDesired, 2);
  header.writeUInt16BE(1, 4);
  if (edns === undefined) return Buffer.concat([header, question]);
  header.writeUInt16BE(1, 10);
  return Buffer.concat([header, question, optRecord(edns.dnssecOk, 0)]);
}

/** The bytes of a question for `name`. */
export function writeQuestion(name: string, type: number): Buffer {
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(type, 0);
  tail.writeUInt16BE(1, 2);
  return Buffer.concat([plainName(name), tail]);
}

export interface Response {
  readonly rcode: Rcode;
  readonly authoritative?: boolean;
  readonly answers?: readonly DnsRecord[];
  readonly authorities?: readonly DnsRecord[];
  readonly additionals?: readonly DnsRecord[];
}

/** The answer to a query, names compressed. It may be longer than the asker takes: see `fit`. */
export function writeResponse(query: Query, response: Response): Buffer {
  const { answers = [], authorities = [], additionals = [] } = response;
  const badVersion = query.edns !== undefined && query.edns.version > 0;
  const writer = new Writer(query);
  for (const record of [...answers, ...authorities, ...additionals]) writer.record(record);
  const counts = [answers.length, authorities.length, additionals.length + (query.edns === undefined ? 0 : 1)];
  const flags =
    flag.response |
    flag.recursionAvailable |
    (query.opcode << 11) |
    (response.authoritative === true ? flag.authoritative : 0) |
    (query.recursionDesired ? flag.recursionDesired : 0) |
    (badVersion ? 0 : rcodes[response.rcode]);
  // RFC 6891: an unknown version is answered with BADVERS, whose upper bits stand in the OPT record.
  return writer.finish(flags, counts, query.edns && optRecord(query.edns.dnssecOk, badVersion ? 1 : 0));
}

/** The header alone, for what could not be read. */
export function writeError(unreadable: NonNullable<Unreadable>, rcode: Rcode): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt16BE(unreadable.id, 0);
  header.writeUInt16BE(flag.response | (unreadable.opcode << 11) | rcodes[rcode], 2);
  return header;
}

/** The answer as it can be sent by UDP: itself, or nothing but the word that there is more by TCP (RFC 2181, 9). */
export function fit(query: Query, response: Buffer): Buffer {
  const most = Math.max(512, Math.min(query.edns?.udpSize ?? 512, ownUdpSize));
  if (response.length <= most) return response;
  const short = Buffer.from(response.subarray(0, headerSize + query.question.length));
  short.writeUInt16BE(short.readUInt16BE(2) | flag.truncated, 2);
  short.fill(0, 6, headerSize);
  return short;
}

const additionalCountAt = 10;

/** A message without its OPT record, which speaks of one hop only (RFC 6891 6.1.1). One that is not the last record stays: names may point behind it. */
export function withoutOpt(message: Buffer): Buffer {
  const last = lastRecord(message);
  if (last?.type !== typeNumbers.OPT || last.dataAt + last.dataLength !== message.length) return message;
  const rest = Buffer.from(message.subarray(0, last.start));
  rest.writeUInt16BE(rest.readUInt16BE(additionalCountAt) - 1, additionalCountAt);
  return rest;
}

function lastRecord(message: Buffer): RawRecord | undefined {
  try {
    return [...recordsOf(message)].at(-1);
  } catch {
    return undefined; // what cannot be read is passed on as it is
  }
}

/**
 * A response to somebody else's same question made into one to `query`: its id and spelling, what is left of each time to live, and an OPT
 * record where the asker sent one.
 */
export function readdress(stored: Buffer, query: Query, ageSeconds: number, ttlAts: readonly number[]): Buffer {
  const opt = query.edns === undefined ? Buffer.alloc(0) : optRecord(query.edns.dnssecOk, 0);
  const message = Buffer.concat([stored, opt]);
  if (opt.length > 0) message.writeUInt16BE(message.readUInt16BE(additionalCountAt) + 1, additionalCountAt);
  message.writeUInt16BE(query.id, 0);
  query.question.copy(message, headerSize);
  const flags = message.readUInt16BE(2) & ~(flag.authoritative | flag.recursionDesired);
  message.writeUInt16BE(flags | flag.recursionAvailable | (query.recursionDesired ? flag.recursionDesired : 0), 2);
  for (const at of ttlAts) message.writeUInt32BE(Math.max(0, message.readUInt32BE(at) - ageSeconds), at);
  return message;
}

function optRecord(dnssecOk: boolean, extendedRcode: number): Buffer {
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(typeNumbers.OPT, 1);
  opt.writeUInt16BE(ownUdpSize, 3);
  opt.writeUInt32BE(((extendedRcode << 24) | (dnssecOk ? 0x8000 : 0)) >>> 0, 5);
  return opt;
}

function plainName(name: string): Buffer {
  const parts = name === '' ? [] : name.split('.');
  return Buffer.concat([
    ...parts.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.of(0),
  ]);
}

/** Writes one message. Names that occurred before are pointed to, which keeps sets of a hundred addresses within one datagram's reach. */
class Writer {
  #buffer = Buffer.allocUnsafe(1024);
  #at = headerSize;
  readonly #seen = new Map<string, number>();

  constructor(query: Query) {
    query.question.copy(this.#buffer, headerSize);
    this.#remember(query.name);
    this.#at = headerSize + query.question.length;
    this.#buffer.writeUInt16BE(query.id, 0);
    this.#buffer.writeUInt16BE(1, 4);
  }

  record(record: DnsRecord): void {
    this.#name(record.name);
    this.#uint16(typeNumbers[record.type]);
    this.#uint16(1);
    this.#uint32(record.ttl);
    const lengthAt = this.#at;
    this.#uint16(0);
    this.#data(record);
    this.#buffer.writeUInt16BE(this.#at - lengthAt - 2, lengthAt);
  }

  finish(flags: number, counts: readonly number[], opt: Buffer | undefined): Buffer {
    this.#buffer.writeUInt16BE(flags, 2);
    counts.forEach((count, i) => this.#buffer.writeUInt16BE(count, 6 + 2 * i));
    if (opt !== undefined) this.#bytes(opt);
    return this.#buffer.subarray(0, this.#at);
  }

  #data(record: DnsRecord): void {
    switch (record.type) {
      case 'A':
        return this.#bytes(Uint8Array.from(record.address.split('.'), Number));
      case 'AAAA':
        return this.#bytes(record.bytes);
      case 'CNAME':
      case 'PTR':
      case 'NS':
        return this.#name(record.target);
      case 'SRV':
        for (const value of [record.priority, record.weight, record.port]) this.#uint16(value);
        return this.#bytes(plainName(record.target)); // RFC 2782: not compressed
      case 'TXT':
        return this.#bytes(Buffer.from(`${String.fromCharCode(record.text.length)}${record.text}`, 'latin1'));
      case 'SOA':
        this.#name(record.mname);
        this.#name(record.rname);
        for (const value of [record.serial, record.refresh, record.retry, record.expire, record.minimum]) {
          this.#uint32(value);
        }
    }
  }

  /** The labels up to the longest ending that has occurred, then a pointer to that. */
  #name(name: string): void {
    let rest = name;
    while (rest !== '') {
      const known = this.#seen.get(rest);
      if (known !== undefined) return this.#uint16(0xc000 | known);
      if (this.#at < 0x4000) this.#seen.set(rest, this.#at);
      const dot = rest.indexOf('.');
      const label = dot < 0 ? rest : rest.slice(0, dot);
      this.#room(1 + label.length);
      this.#buffer.writeUInt8(label.length, this.#at);
      this.#buffer.write(label, this.#at + 1, 'latin1');
      this.#at += 1 + label.length;
      rest = dot < 0 ? '' : rest.slice(dot + 1);
    }
    this.#bytes(Uint8Array.of(0));
  }

  #remember(name: string): void {
    let at = headerSize;
    for (let rest = name; rest !== '';) {
      this.#seen.set(rest, at);
      const dot = rest.indexOf('.');
      if (dot < 0) return;
      at += dot + 1;
      rest = rest.slice(dot + 1);
    }
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  #bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #uint16(value: number): void {
    this.#room(2);
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
  }

  #uint32(value: number): void {
    this.#room(4);
    this.#at = this.#buffer.writeUInt32BE(value >>> 0, this.#at);
  }
}
