/**
 * One change as it lies in the log: where the key's change before it lies, so that the past can be walked, and how
 * many bytes that one took, so that compaction knows what it frees without reading it.
 *
 *     0 flags (1: deletion)   1 time, f64 ms   9 previous position, f64   17 previous size, u32
 *     21 key length, u16      23 key, UTF-8    … value
 */
export interface LogRecord {
  readonly key: string;
  readonly deletion: boolean;
  readonly timeMs: number;
  /** 0 when the key has no earlier change. */
  readonly previousPosition: number;
  /** Bytes of history that the earlier record became through this one; 0 when it was a deletion, which counts by itself. */
  readonly previousSize: number;
  /** Empty for a deletion. */
  readonly value: Uint8Array;
}

const headerBytes = 23;
const nothing = new Uint8Array(0);

export function encodeRecord(record: LogRecord): Buffer {
  const keyBytes = Buffer.byteLength(record.key);
  const out = Buffer.allocUnsafe(headerBytes + keyBytes + record.value.length);
  out.writeUInt8(record.deletion ? 1 : 0, 0);
  out.writeDoubleBE(record.timeMs, 1);
  out.writeDoubleBE(record.previousPosition, 9);
  out.writeUInt32BE(record.previousSize, 17);
  out.writeUInt16BE(keyBytes, 21);
  out.write(record.key, headerBytes);
  out.set(record.value, headerBytes + keyBytes);
  return out;
}

export function decodeRecord(bytes: Buffer): LogRecord {
  const valueAt = headerBytes + bytes.readUInt16BE(21);
  const deletion = bytes.readUInt8(0) === 1;
  return {
    key: bytes.toString('utf8', headerBytes, valueAt),
    deletion,
    timeMs: bytes.readDoubleBE(1),
    previousPosition: bytes.readDoubleBE(9),
    previousSize: bytes.readUInt32BE(17),
    value: deletion ? nothing : bytes.subarray(valueAt),
  };
}

/** The value alone, in memory of its own; undefined for a deletion. */
export function copyOfValue(bytes: Buffer): Buffer | undefined {
  if (bytes.readUInt8(0) === 1) return undefined;
  const valueAt = headerBytes + bytes.readUInt16BE(21);
  const value = Buffer.allocUnsafe(bytes.length - valueAt);
  // A view of just these bytes: the buffer of a fast read is longer than its `length` says.
  value.set(new Uint8Array(bytes.buffer, bytes.byteOffset + valueAt, value.length));
  return value;
}

/** Where an operation of a commit lies in the log: one number that sorts by revision, then by place in the commit. */
export const positionOf = (revision: number, index: number): number => revision * 1024 + index;
export const revisionOf = (position: number): number => Math.floor(position / 1024);
