import { endianness } from 'node:os';

/** The form that all netlink messages of netfilter have (linux/netlink.h, nfnetlink.h): headers, and attributes filled up to 4 bytes. */

export const nested = 0x8000;
export const ipv4 = 2;
export const flagsOf = { request: 1, ack: 4, create: 0x400, append: 0x800, dump: 0x300 } as const;
/** NLMSG_ERROR, also the acknowledgement; NLMSG_DONE. */
const [errorType, doneType] = [2, 3];

export interface Header {
  readonly type: number;
  readonly flags: number;
  readonly family: number;
  readonly sequence: number;
  readonly resource?: number;
}

export function message(
  { type, flags, family, sequence, resource = 0 }: Header,
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const generic = Buffer.from([family, 0, resource >> 8, resource & 255]);
  const length = hostU32(16 + generic.length + body.length);
  return Buffer.concat([length, hostU16(type), hostU16(flags), hostU32(sequence), hostU32(0), generic, body]);
}

export const attribute = (kind: number, payload: Buffer): Buffer =>
  filled(Buffer.concat([hostU16(4 + payload.length), hostU16(kind), payload]));

const aligned = (length: number): number => (length + 3) & ~3;
export const filled = (bytes: Buffer): Buffer =>
  bytes.length % 4 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);

const little = endianness() === 'LE';
/** Numbers in the order of the network. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
export const u16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);
/** Numbers in the machine's own order. */
export const hostU32 = (value: number): Buffer => (little ? u32(value).reverse() : u32(value));
const hostU16 = (value: number): Buffer => (little ? u16(value).reverse() : u16(value));
const readU32 = (bytes: Buffer, at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
const readI32 = (bytes: Buffer, at: number): number => (little ? bytes.readInt32LE(at) : bytes.readInt32BE(at));
const readU16 = (bytes: Buffer, at: number): number => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));

/** What the kernel answered. */
export interface Replies {
  /** The number of the first error that it told of; 0: it has acknowledged. Undefined when it said neither. */
  readonly error: number | undefined;
  /** The list that was asked for is whole. */
  readonly done: boolean;
  /** The attributes of each other message. */
  readonly bodies: readonly Buffer[];
}

export function readReplies(replies: Buffer): Replies {
  let error: number | undefined;
  let done = false;
  const bodies: Buffer[] = [];
  for (let at = 0; at + 16 <= replies.length;) {
    const length = readU32(replies, at);
    const type = readU16(replies, at + 4);
    if (length < 16 || at + length > replies.length) break;
    if (type === errorType) error = error === undefined || error === 0 ? 0 - readI32(replies, at + 16) : error;
    else if (type === doneType) done = true;
    else bodies.push(replies.subarray(at + 20, at + length));
    at += aligned(length);
  }
  return { error, done, bodies };
}

/** The attributes in `body` by their numbers; of several with one number the last. */
export function attributesOf(body: Buffer | undefined): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  if (body === undefined) return found;
  for (let at = 0; at + 4 <= body.length;) {
    const length = readU16(body, at);
    if (length < 4) break;
    found.set(readU16(body, at + 2) & 0x3fff, body.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return found;
}
