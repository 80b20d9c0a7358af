import type { Socket } from 'node:net';
import type { Carried, CarrierOptions } from '../carried.ts';
import { reset } from '../dial.ts';
import type { Upstream } from '../upstream.ts';
import { Body } from './body.ts';
import { Exchange, type ClientSide } from './exchange.ts';
import { BadMessage, parseRequest, type RequestHead } from './head.ts';
import type { HttpPool } from './pool.ts';

export interface Http1Options extends CarrierOptions {
  readonly pool: HttpPool;
}

const maxHead = 65_536;
/** Requests sent ahead (pipelining) are kept up to this; then the client waits. */
const maxAhead = 65_536;
/** A body that nobody wants any more is read up to this, so that the connection can go on. */
const maxDiscarded = 262_144;
/** A head must be whole, and a closing client gone, within this time. */
const patienceMs = 60_000;
const lingerMs = 5_000;

/** A client's HTTP/1 connection: its requests one after the other, each to a backend of its own, in the client's order. */
export class Http1Carried implements Carried, ClientSide {
  readonly client: Socket;
  readonly upstream: Upstream;
  readonly options: Http1Options;
  /** What has arrived and belongs to no exchange yet. */
  #ahead: Buffer | undefined;
  #searched = 0;
  #advancing = false;
  #finished = false;
  #exchange: Exchange | undefined;
  #discarding: { readonly body: Body; left: number } | undefined;
  #resting = false;
  #ended = false;
  #cancelPatience: (() => void) | undefined;

  constructor(client: Socket, upstream: Upstream, options: Http1Options) {
    this.client = client;
    this.upstream = upstream;
    this.options = options;
    client.on('data', (data: Buffer) => this.receive(data));
    client.on('drain', () => this.#exchange?.clientDrained());
    client.on('end', () => {
      this.#ended = true;
      if (this.#exchange === undefined) this.#finish();
      else this.#exchange.clientEnded();
    });
    client.on('close', () => {
      this.#cancelPatience?.();
      this.#exchange?.abandon();
    });
    if (upstream.closing.aborted) this.#resting = true;
  }

  rest(): void {
    this.#resting = true;
    if (this.#exchange === undefined) this.#finish();
  }

  reset(): void {
    reset(this.client);
  }

  get lastAnswer(): boolean {
    return this.#resting || this.#ended;
  }

  receive(data: Buffer): void {
    let rest = data;
    if (this.#exchange !== undefined) rest = this.#exchange.take(data);
    else if (this.#discarding !== undefined) rest = this.#discard(data);
    if (rest.length === 0) return;
    this.#ahead = this.#ahead === undefined ? rest : Buffer.concat([this.#ahead, rest]);
    if (this.#exchange === undefined) this.#next();
    else if (this.#ahead.length > maxAhead) this.client.pause();
  }

  done(close: boolean, unread?: Body): void {
    this.#exchange = undefined;
    if (close || this.lastAnswer || this.client.destroyed) return this.#finish();
    if (unread !== undefined) this.#discarding = { body: unread, left: maxDiscarded };
    if (this.client.isPaused()) this.client.resume();
    if (this.#ahead !== undefined) this.#next();
  }

  giveAway(): Buffer | undefined {
    for (const event of ['data', 'drain', 'end', 'close']) this.client.removeAllListeners(event);
    this.#cancelPatience?.();
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead;
  }

  #next(): void {
    if (this.#advancing) return; // the loop below is at it
    this.#advancing = true;
    while (this.#exchange === undefined && this.#ahead !== undefined && !this.client.destroyed) {
      const data = this.#ahead;
      let start = 0;
      while (data[start] === 13 && data[start + 1] === 10) start += 2; // empty lines before a request (RFC 9112, 2.2)
      const end = data.indexOf('\r\n\r\n', Math.max(start, this.#searched - 3), 'latin1');
      if ((end < 0 ? data.length : end) - start > maxHead) {
        this.refuse(431, 'the head of a request must not exceed 64 KiB', true);
        break;
      }
      if (end < 0) {
        this.#searched = data.length;
        this.#waitForHead();
        break;
      }
      this.#searched = 0;
      this.#ahead = undefined;
      this.#cancelPatience?.();
      this.#cancelPatience = undefined;
      this.#begin(data.toString('latin1', start, end), data, end + 4);
    }
    this.#advancing = false;
  }

  #begin(text: string, data: Buffer, at: number): void {
    try {
      const head: RequestHead = parseRequest(text);
      const body = new Body(head.framing);
      const end = body.take(data, at);
      if (end < data.length) this.#ahead = data.subarray(end);
      this.#exchange = new Exchange(this, head, body);
      this.#exchange.begin(data.subarray(at, end));
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.refuse(error.status, error.message, true);
    }
  }

  refuse(status: number, why: string, close: boolean): void {
    this.upstream.gone.request(`refused-${status}`);
    const ends = close || this.lastAnswer;
    if (!this.client.destroyed) this.client.write(refusal(status, why, ends), 'latin1');
    this.done(ends);
  }

  #discard(data: Buffer): Buffer {
    const discarding = this.#discarding;
    if (discarding === undefined) return data;
    try {
      const end = discarding.body.take(data, 0);
      discarding.left -= end;
      if (discarding.body.done) this.#discarding = undefined;
      else if (discarding.left < 0) this.#finish();
      return data.subarray(end);
    } catch {
      this.#finish();
      return data.subarray(data.length);
    }
  }

  /** Everything that was sent is delivered; then the connection closes. */
  #finish(): void {
    this.#ahead = undefined;
    if (this.client.destroyed || this.#finished) return;
    this.#finished = true;
    this.client.end();
    this.client.removeAllListeners('data');
    this.client.resume(); // to see the client's end
    const cancel = this.options.clock.after(lingerMs, () => this.client.destroy());
    this.client.once('close', cancel);
  }

  #waitForHead(): void {
    this.#cancelPatience ??= this.options.clock.after(patienceMs, () =>
      this.refuse(408, 'the head of the request did not come in time', true),
    );
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
};

function refusal(status: number, why: string, close: boolean): string {
  const body = `${why}\n`;
  const fields = [
    'Content-Type: text/plain',
    `Content-Length: ${Buffer.byteLength(body, 'latin1')}`,
    ...(close ? ['Connection: close'] : []),
  ];
  return `HTTP/1.1 ${status} ${reasons[status] ?? 'Error'}\r\n${fields.join('\r\n')}\r\n\r\n${body}`;
}
