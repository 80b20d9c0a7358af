import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';

/** What is asked over HTTP. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: Buffer;
  readonly type?: string;
}

/**
 * One connection that stays open and asks one thing at a time. No more of HTTP/1.1 than a benchmark needs, so that what is measured is the
 * server: `node:https` takes three times as much of the processor for a request, more than the server itself for a short one.
 */
export class HttpsClient {
  readonly #socket: TLSSocket;
  readonly #host: string;
  /** Of the answer under way: its pieces, their length, and where its body begins once that is known. */
  #came: Buffer[] = [];
  #bytes = 0;
  #head: { readonly text: string; readonly bytes: number; readonly bodyBytes: number | undefined } | undefined;
  #answered: { readonly resolve: (body: Buffer) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(address: string, tls: ConnectionOptions) {
    const colon = address.lastIndexOf(':');
    this.#host = address;
    const place = { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
    this.#socket = connect({ ...place, ...tls, ALPNProtocols: ['http/1.1'] });
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (part: Buffer) => {
      this.#came.push(part);
      this.#bytes += part.length;
      this.#look();
    });
    const fail = (error?: Error): void => {
      this.#answered?.reject(error ?? new Error(`${address} closed the connection`));
      this.#answered = undefined;
    };
    this.#socket.on('error', fail);
    this.#socket.on('close', () => {
      fail();
    });
  }

  /** Resolves to the whole body. Rejects for every answer but 200 and 201, and when the connection is lost. */
  ask({ method, path, body, type = 'application/json' }: Asked): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#answered = { resolve, reject };
      const about = body === undefined ? '' : `content-type: ${type}\r\ncontent-length: ${body.length}\r\n`;
      const head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${about}\r\n`;
      this.#socket.write(body === undefined ? head : Buffer.concat([Buffer.from(head), body]));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Whether the answer is whole, by its length or by the end of its last portion: nothing follows before the next question. */
  #look(): void {
    this.#head ??= headOf(Buffer.concat(this.#came));
    if (this.#head === undefined) return;
    const { text, bytes, bodyBytes } = this.#head;
    const isWhole = bodyBytes === undefined ? this.#endsWith(lastChunk) : this.#bytes >= bytes + bodyBytes;
    if (!isWhole) return;
    const body = Buffer.concat(this.#came).subarray(bytes);
    const answered = this.#answered;
    this.#answered = undefined;
    this.#head = undefined;
    this.#came = [];
    this.#bytes = 0;
    if (/^HTTP\/1\.1 20[01] /.test(text)) answered?.resolve(body);
    else answered?.reject(new Error(`${text.split('\r\n')[0] ?? ''}: ${body.toString()}`));
  }

  #endsWith(end: Buffer): boolean {
    return Buffer.concat(this.#came.slice(-end.length)).subarray(-end.length).equals(end);
  }
}

const lastChunk = Buffer.from('0\r\n\r\n');

function headOf(
  bytes: Buffer,
): { readonly text: string; readonly bytes: number; readonly bodyBytes: number | undefined } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const text = bytes.toString('latin1', 0, end);
  const length = /^content-length: (\d+)/im.exec(text)?.[1];
  return { text, bytes: end + 4, bodyBytes: length === undefined ? undefined : Number(length) };
}
