/**
 * Docker's framing of output without a terminal: 8 bytes of header (stream, three zeros, length big-endian), then the text.
 * Yields the text alone. A stream that ends inside a frame loses that frame only.
 */
export async function* unframed(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    const texts: Buffer[] = [];
    while (rest.length - at >= headerBytes) {
      const end = at + headerBytes + rest.readUInt32BE(at + 4);
      if (end > rest.length) break;
      texts.push(rest.subarray(at + headerBytes, end));
      at = end;
    }
    rest = rest.subarray(at);
    if (texts.length > 0) yield texts.length === 1 ? (texts[0] as Buffer) : Buffer.concat(texts);
  }
}
const headerBytes = 8;
