import { once } from 'node:events';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { FrameReader, FrameWriter, type Frame } from '../../services/apiserver/rest/spdy/frames.ts';
import { until } from './until.ts';

/** The asking side of SPDY/3.1: opens streams and remembers all that comes on them. */
export class SpdyClient {
  readonly #link: Duplex;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly frames: Frame[] = [];
  #lastStream = -1;

  constructor(link: Duplex) {
    this.#link = link;
    link.on('error', () => undefined); // told by what is missing
    link.on('data', (bytes: Buffer) => this.frames.push(...this.#reader.frames(bytes)));
  }

  /** Asks a REST door for a stream, as clients from before WebSockets do; rejects with the door's answer where it refuses. */
  static async connect(address: string, path: string, protocols: string): Promise<SpdyClient> {
    const [host = '', port = ''] = address.split(':');
    const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocols };
    const asking = request({ host, port, path, method: 'POST', headers });
    asking.end();
    return new Promise((resolve, reject) => {
      asking.once('error', reject);
      asking.once('upgrade', (_reply, socket, head) => {
        if (head.length > 0) socket.unshift(head);
        resolve(new SpdyClient(socket));
      });
      asking.once('response', (reply) => {
        const parts: Buffer[] = [];
        reply.on('data', (part: Buffer) => parts.push(part));
        reply.on('end', () => {
          reject(new Error(`${reply.statusCode} ${Buffer.concat(parts).toString()}`));
        });
      });
    });
  }

  open(headers: Readonly<Record<string, string>>): number {
    this.#lastStream += 2;
    this.send({ type: 'open', stream: this.#lastStream, headers: new Map(Object.entries(headers)), isLast: false });
    return this.#lastStream;
  }
  send(frame: Frame): void {
    this.#link.write(this.#writer.bytes(frame));
  }
  write(stream: number, data: string | Buffer, isLast = false): void {
    this.send({ type: 'data', stream, data: Buffer.from(data), isLast });
  }
  end(stream: number): void {
    this.write(stream, '', true);
  }
  close(): void {
    this.#link.end();
  }

  /** What has come on a stream. */
  heard(stream: number): string {
    return Buffer.concat(
      this.frames.map((frame) => (frame.type === 'data' && frame.stream === stream ? frame.data : nothing)),
    ).toString();
  }
  hasEnded(stream: number): boolean {
    return this.frames.some((frame) => frame.type === 'data' && frame.stream === stream && frame.isLast);
  }
  /** All that came on a stream, once it has ended. */
  async all(stream: number): Promise<string> {
    await until(() => this.hasEnded(stream), { what: `the end of stream ${stream}`, timeoutMs: 10_000 });
    return this.heard(stream);
  }
  async closed(): Promise<void> {
    if (!this.#link.readableEnded && !this.#link.destroyed) await once(this.#link, 'close');
  }
}

const nothing = Buffer.alloc(0);
