/** A datagram that waits for its answer. */
export interface Waiting {
  readonly message: Buffer;
  readonly port: number;
  readonly address: string;
  readonly arrivedMs: number;
}

const chunkBytes = 1 << 20;
const headBytes = 16;

interface Chunk {
  readonly bytes: Buffer;
  /** Where the next one is taken and put. */
  read: number;
  write: number;
}

/**
 * Questions that have been read and not yet answered, first come first served, bounded in bytes. The kernel's own queue holds a few
 * hundred datagrams; this one holds some hundred thousand in the memory that they need and no more: a hundred thousand objects would cost ten times as much.
 */
export class Backlog {
  readonly #mostChunks: number;
  readonly #chunks: Chunk[] = [];
  #length = 0;

  constructor(mostBytes: number) {
    this.#mostChunks = Math.max(1, Math.floor(mostBytes / chunkBytes));
  }

  get length(): number {
    return this.#length;
  }

  /** Whether there was room. */
  add({ message, port, address, arrivedMs }: Waiting): boolean {
    const needed = headBytes + message.length;
    if (needed > chunkBytes) return false;
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || chunk.write + needed > chunkBytes) {
      if (this.#chunks.length >= this.#mostChunks) return false;
      // A new one each time: answers that wait for other servers still point into the old ones.
      this.#chunks.push((chunk = { bytes: Buffer.allocUnsafeSlow(chunkBytes), read: 0, write: 0 }));
    }
    const { bytes, write } = chunk;
    bytes.writeUInt16LE(message.length, write);
    bytes.writeUInt16LE(port, write + 2);
    bytes.writeUInt32BE(addressNumber(address), write + 4);
    bytes.writeDoubleLE(arrivedMs, write + 8);
    message.copy(bytes, write + headBytes);
    chunk.write += needed;
    this.#length++;
    return true;
  }

  /** The one that has waited longest. */
  take(): Waiting | undefined {
    if (this.#length === 0) return undefined;
    const first = this.#chunks[0];
    // Read to its end while it was the only one; what came since did not fit in.
    if (first !== undefined && first.read === first.write) this.#chunks.shift();
    const chunk = this.#chunks[0];
    if (chunk === undefined) return undefined;
    const { bytes, read } = chunk;
    const end = read + headBytes + bytes.readUInt16LE(read);
    chunk.read = end;
    this.#length--;
    if (end === chunk.write && this.#chunks.length > 1) this.#chunks.shift();
    return {
      message: bytes.subarray(read + headBytes, end),
      port: bytes.readUInt16LE(read + 2),
      address: `${bytes[read + 4]}.${bytes[read + 5]}.${bytes[read + 6]}.${bytes[read + 7]}`,
      arrivedMs: bytes.readDoubleLE(read + 8),
    };
  }
}

function addressNumber(address: string): number {
  let number = 0;
  let octet = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 46) {
      number = number * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 48;
  }
  return number * 256 + octet;
}
