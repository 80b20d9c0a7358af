import {
  attribute,
  filled,
  flagsOf,
  hostU32,
  ipv4,
  message,
  nested,
  readReplies,
  u16,
  u32,
} from '../kernel/netlink-bytes.ts';

/**
 * The few nf_tables messages that carry a changed endpoint to the kernel, as bytes (linux/netfilter/nf_tables.h, nfnetlink.h).
 * `nft` reads every chain there is before it does anything; these messages name what they change and cost the same whatever
 * else is there. All of one batch takes effect, or nothing.
 */
export type Operation =
  | { readonly type: 'add' | 'delete'; readonly set: string; readonly key: Buffer; readonly data?: Buffer }
  /** In place of all rules of a chain: `ct mark set numgen inc mod <count> offset <first>`, or nothing. */
  | { readonly type: 'count'; readonly chain: string; readonly count: number; readonly first: number };

const subsystem = 10; // NFNL_SUBSYS_NFTABLES
const [batchBegin, batchEnd] = [16, 17];
const [newRule, delRule, newElement, delElement] = [6, 8, 12, 14];
const { request, ack, create, append } = flagsOf;
/** NFT_REG_1 and NFT_CT_MARK. */
const [register, ctMark] = [1, 3];

/** One transaction on the table. The kernel answers its last message, and every one that it refuses. */
export function batchOf(table: string, operations: readonly Operation[]): Buffer {
  const messages = operations.flatMap((operation) => messagesOf(table, operation));
  const parts = messages.map(({ type, flags, body }, i) => {
    const last = i === messages.length - 1 ? ack : 0;
    return message(
      { type: (subsystem << 8) | type, flags: request | flags | last, family: ipv4, sequence: i + 1 },
      body,
    );
  });
  const bound = (type: number, sequence: number): Buffer =>
    message({ type, flags: request, family: 0, sequence, resource: subsystem });
  return Buffer.concat([bound(batchBegin, 0), ...parts, bound(batchEnd, messages.length + 1)]);
}

/** The number of the error that the kernel answered with; 0: all is in effect. Undefined when it said neither. */
export const errorIn = (replies: Buffer): number | undefined => readReplies(replies).error;

// ---- Values, in the form of the kernel's registers --------------------------------------------------

/** Parts of a concatenation, each filled up to 4 bytes. */
export const concat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts.map(filled));
export const address = (ip: string): Buffer => Buffer.from(ip.split('.').map(Number));
export const port = u16;
export const protocol = (name: string): Buffer => Buffer.from([name === 'TCP' ? 6 : name === 'UDP' ? 17 : 132]);
/** A connection mark: in the machine's own byte order. */
export const mark = (value: number): Buffer => hostU32(value);

// ---- Messages -----------------------------------------------------------------------------------

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

function messagesOf(table: string, operation: Operation): Message[] {
  if (operation.type === 'count') {
    const place = [attribute(1, text(table)), attribute(2, text(operation.chain))];
    const flush = { type: delRule, flags: 0, body: Buffer.concat(place) };
    if (operation.count === 0) return [flush];
    const body = Buffer.concat([...place, attribute(4 | nested, countRule(operation.count, operation.first))]);
    return [flush, { type: newRule, flags: create | append, body }];
  }
  const { type, set, key, data } = operation;
  const value = (kind: number, bytes: Buffer): Buffer => attribute(kind | nested, attribute(1, bytes));
  const element = data === undefined ? value(1, key) : Buffer.concat([value(1, key), value(2, data)]);
  const elements = attribute(3 | nested, attribute(1 | nested, element));
  const body = Buffer.concat([attribute(1, text(table)), attribute(2, text(set)), elements]);
  return [type === 'add' ? { type: newElement, flags: create, body } : { type: delElement, flags: 0, body }];
}

function countRule(count: number, first: number): Buffer {
  const numgen = [
    attribute(1, u32(register)),
    attribute(2, u32(count)),
    attribute(3, u32(0)),
    attribute(4, u32(first)),
  ];
  const ct = [attribute(2, u32(ctMark)), attribute(4, u32(register))];
  return Buffer.concat([expression('numgen', numgen), expression('ct', ct)]);
}

const expression = (name: string, attributes: readonly Buffer[]): Buffer =>
  attribute(1 | nested, Buffer.concat([attribute(1, text(name)), attribute(2 | nested, Buffer.concat(attributes))]));

const text = (value: string): Buffer => Buffer.from(`${value}\0`);
