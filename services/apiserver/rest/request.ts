import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { ApiError } from '../../../lib/base/errors.ts';
import { maxObjectBytes } from '../door/requests.ts';
import type { RestRequest } from './message.ts';
import type { Waiter } from './waiting.ts';

export type Incoming = IncomingMessage | Http2ServerRequest;

const bodyTimeoutMs = 30_000;
/** What still comes of a body that is refused is read and thrown away, so that its sender gets to read why; beyond this it is cut off. */
const maxRefusedBytes = 8 * maxObjectBytes;

/** A request as it came over HTTP/1.1 or HTTP/2. */
export class IncomingRequest implements RestRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly #incoming: Incoming;
  readonly #waiter: Waiter;
  #body: Promise<Buffer> | undefined;

  constructor(incoming: Incoming, waiter: Waiter) {
    this.#incoming = incoming;
    this.#waiter = waiter;
    this.method = incoming.method ?? 'GET';
    const { path, query } = targetOf(incoming.url ?? '/');
    this.path = path;
    this.query = query;
  }

  get headers(): Incoming['headers'] {
    return this.#incoming.headers;
  }

  header(name: string): string | undefined {
    const value = this.#incoming.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  body(): Promise<Buffer> {
    return (this.#body ??= bodyOf(this.#incoming, this.#waiter));
  }

  get certificate(): PeerCertificate | undefined {
    return certificateOf(this.#incoming);
  }

  get signal(): AbortSignal {
    return this.#waiter.signal;
  }

  onOver(listener: () => void): void {
    this.#waiter.onOver(listener);
  }

  get traceparent(): string | undefined {
    return this.header('traceparent');
  }
}

/** What means what it says: nothing to decode in the path, no steps up, no host in front; a query of printable letters. */
const plain = /^(?:\/(?!\.)[\w\-~:@+,=.]*)+(?:\?[!"$-~]*)?$/;
/** Nobody changes a query: those who want another make one. */
const noQuery: URLSearchParams = new URLSearchParams();

/** Path and query of a request line, as the URL standard has them. */
export function targetOf(url: string): { readonly path: string; readonly query: URLSearchParams } {
  if (!plain.test(url) || url.startsWith('//')) {
    const { pathname, searchParams } = new URL(url, 'http://server');
    return { path: pathname, query: searchParams };
  }
  const mark = url.indexOf('?');
  return mark < 0
    ? { path: url, query: noQuery }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark)) };
}

interface Shown {
  readonly certificate: PeerCertificate | undefined;
}

/** By connection: a certificate is taken apart once, however many requests come. */
const shown = new WeakMap<object, Shown>();

/** Of the client, where it is one that our authority has signed. */
function certificateOf(incoming: Incoming): PeerCertificate | undefined {
  const connection = 'stream' in incoming ? (incoming.stream.session ?? incoming.stream) : incoming.socket;
  const known = shown.get(connection);
  if (known !== undefined) return known.certificate;
  const { socket } = incoming;
  const found = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate() : undefined;
  const certificate = found !== undefined && 'subject' in found ? found : undefined;
  shown.set(connection, { certificate });
  return certificate;
}

/** All of a body. RequestEntityTooLarge beyond the limit, Timeout when it does not come; why the wait was over where it was. */
function bodyOf(incoming: Incoming, waiter: Waiter): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let parts: Buffer[] = [];
    let bytes = 0;
    let isRefused = false;
    const late = setTimeout(() => {
      refuse(new ApiError('Timeout', `the body did not come within ${bodyTimeoutMs / 1000} s`));
    }, bodyTimeoutMs);
    const refuse = (error: Error): void => {
      clearTimeout(late);
      isRefused = true;
      parts = [];
      reject(error);
    };
    incoming.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes <= maxObjectBytes && !isRefused) parts.push(part);
      else if (!isRefused) refuse(tooLarge);
      else if (bytes > maxRefusedBytes) incoming.destroy();
    });
    incoming.on('end', () => {
      clearTimeout(late);
      const [first] = parts;
      resolve(parts.length === 1 && first !== undefined ? first : Buffer.concat(parts));
    });
    incoming.on('error', refuse);
    waiter.onOver((why) => {
      if (!incoming.readableEnded) refuse(why);
    });
  });
}

const tooLarge = new ApiError(
  'RequestEntityTooLarge',
  `the body is larger than ${maxObjectBytes} bytes, which is the most that is taken`,
);
