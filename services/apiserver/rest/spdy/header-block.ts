import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { dictionary, dictionaryChecksum } from './dictionary.ts';

/** Names in lower case, each once. */
export type Headers = ReadonlyMap<string, string>;

/** How far back a compressed block may refer (RFC 1950). */
const windowBytes = 32 * 1024;
/** The most that a block of headers may hold when it is unpacked. */
const maxBlockBytes = 64 * 1024;
/** The start of a zlib stream (RFC 1950) that is compressed with a dictionary; its checksum follows. */
const zlibStart = Buffer.from([0x78, 0xbb]);

/*
 * The blocks of one direction are one zlib stream, flushed after each block (SPDY/3, 2.6.10.1). A flush ends on a whole byte, so that each
 * block can be packed and unpacked on its own, given what came before it as the dictionary: at once, and never more than is allowed.
 */

/** Packs blocks of headers for one direction of a connection. */
export class HeaderPacker {
  #isBegun = false;

  pack(headers: Headers): Buffer {
    const parts = [number(headers.size)];
    for (const [name, value] of headers) parts.push(...[name, value].flatMap(counted));
    // Without a word about earlier blocks: they are few and short, and an unpacker takes it all the same.
    const block = deflateRawSync(Buffer.concat(parts), { finishFlush: constants.Z_SYNC_FLUSH });
    if (this.#isBegun) return block;
    this.#isBegun = true;
    return Buffer.concat([zlibStart, number(dictionaryChecksum), block]);
  }
}

/** Unpacks blocks of headers for one direction of a connection, in the order in which they came. */
export class HeaderUnpacker {
  #before: Buffer | undefined;

  /** Throws where the bytes are no block of headers, or hold too much. */
  unpack(packed: Buffer): Headers {
    const { block, before } = this.#before === undefined ? begun(packed) : { block: packed, before: this.#before };
    const plain = inflateRawSync(block, {
      ...(before.length === 0 ? {} : { dictionary: before }),
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: maxBlockBytes,
    });
    this.#before = Buffer.concat([before, plain]).subarray(-windowBytes);
    return headersIn(plain);
  }
}

/** The first block begins the stream: with a head, and with the dictionary that both sides know if it says so. */
function begun(packed: Buffer): { readonly block: Buffer; readonly before: Buffer } {
  const [method = 0, flags = 0] = packed;
  if (packed.length < 6 || (method & 0x0f) !== 8 || ((method << 8) | flags) % 31 !== 0)
    throw new Error('the first block of headers does not begin as zlib does');
  if ((flags & 0x20) === 0) return { block: packed.subarray(2), before: Buffer.alloc(0) };
  if (packed.readUInt32BE(2) !== dictionaryChecksum)
    throw new Error('the headers are packed with a dictionary that is not the one of SPDY/3');
  return { block: packed.subarray(6), before: dictionary };
}

function headersIn(plain: Buffer): Headers {
  let at = 0;
  const next = (): number => {
    if (at + 4 > plain.length) throw new Error('a block of headers ends too early');
    at += 4;
    return plain.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = next();
    if (at + length > plain.length) throw new Error('a block of headers ends too early');
    at += length;
    return plain.toString('utf8', at - length, at);
  };
  const headers = new Map<string, string>();
  for (let left = next(); left > 0; left--) headers.set(text().toLowerCase(), text());
  return headers;
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function counted(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return [number(bytes.length), bytes];
}
