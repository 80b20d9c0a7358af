import type { OutputPiece } from './streams.ts';

/**
 * Takes apart Docker's framing of output without a terminal: 8 bytes of header (stream, three zeros, length big-endian), then the
 * text. Text is given on as it comes, also before its frame is complete; nothing is held back but a header that is not.
 */
export async function* demultiplexed(source: AsyncIterable<Uint8Array>): AsyncIterable<OutputPiece> {
  let header: Buffer = Buffer.alloc(0);
  let channel: OutputPiece['channel'] = 'stdout';
  let left = 0;
  for await (const chunk of source) {
    let parts: Uint8Array[] = [];
    let partsOf: OutputPiece['channel'] = channel;
    for (let at = 0; at < chunk.length;) {
      if (left === 0) {
        const taken = chunk.subarray(at, at + headerBytes - header.length);
        header = Buffer.concat([header, taken]);
        at += taken.length;
        if (header.length < headerBytes) break;
        channel = header[0] === stderrStream ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      if (partsOf !== channel && parts.length > 0) {
        yield { channel: partsOf, data: joined(parts) };
        parts = [];
      }
      partsOf = channel;
      const text = chunk.subarray(at, at + left);
      parts.push(text);
      at += text.length;
      left -= text.length;
    }
    if (parts.length > 0) yield { channel: partsOf, data: joined(parts) };
  }
}

/** The text of all streams together, as logs show it. */
export async function* unframed(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const { data } of demultiplexed(source)) yield data;
}

const headerBytes = 8;
const stderrStream = 2;
const joined = (parts: readonly Uint8Array[]): Uint8Array =>
  parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
