import type { Socket } from 'node:net';
import type { Carried, CarrierOptions } from '../carried.ts';
import { ignore, reset } from '../dial.ts';
import type { Upstream } from '../upstream.ts';
import { Http1Carried } from './http1.ts';
import { Http2Carried, Http2Sessions } from './http2.ts';
import { HttpPool } from './pool.ts';

/** What a connection of HTTP/2 begins with where nothing was agreed on before (RFC 9113, 3.4); no HTTP/1 method begins like it. */
const preface = Buffer.from('PRI * HTTP/2.0');

/**
 * Carries the connections of service ports that declare http or h2c: each request goes to a backend of its own. The proxy translates nothing:
 * a client that speaks HTTP/1.1 is served over HTTP/1.1, one that begins HTTP/2 over HTTP/2.
 */
export class HttpCarrier {
  readonly #options: CarrierOptions;
  readonly #pool: HttpPool;
  readonly #sessions: Http2Sessions;

  constructor(options: CarrierOptions) {
    this.#options = options;
    this.#pool = new HttpPool(options.clock);
    this.#sessions = new Http2Sessions();
  }

  carry(client: Socket, upstream: Upstream): Carried {
    let carried: Carried | undefined;
    let first: Buffer = Buffer.alloc(0);
    const onData = (data: Buffer): void => {
      first = first.length === 0 ? data : Buffer.concat([first, data]);
      const compared = Math.min(first.length, preface.length);
      const isHttp2 = preface.compare(first, 0, compared, 0, compared) === 0;
      if (isHttp2 && compared < preface.length) return;
      client.off('data', onData).off('end', onEnd);
      if (isHttp2) {
        client.pause();
        client.unshift(first);
        carried = new Http2Carried(client, upstream, { ...this.#options, sessions: this.#sessions });
      } else {
        const http1 = new Http1Carried(client, upstream, { ...this.#options, pool: this.#pool });
        carried = http1;
        http1.receive(first);
      }
    };
    const onEnd = (): void => void client.end();
    client.on('error', ignore).on('data', onData).on('end', onEnd);
    client.resume();
    return {
      rest: () => void (carried === undefined ? client.end() : carried.rest()),
      reset: () => (carried === undefined ? reset(client) : carried.reset()),
    };
  }
}
