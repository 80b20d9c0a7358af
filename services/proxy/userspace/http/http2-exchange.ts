import {
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Http2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { ignore } from '../dial.ts';
import type { Choice } from '../policy/policy.ts';
import type { Member, Upstream } from '../upstream.ts';

/** What a stream needs of the connection that it is opened on. */
export interface OpenSession {
  readonly session: ClientHttp2Session;
  /** The stream is over. */
  release(): void;
}

export interface Http2ExchangeOptions {
  readonly upstream: Upstream;
  readonly what: Pick<Choice, 'client' | 'clientPort'>;
  /** The request is its headers alone. */
  readonly endsAtOnce: boolean;
  /** Waits where the Service lets it, since the first time that it was asked to; whether to try again. */
  readonly wait: (stream: ServerHttp2Stream, tried: number) => Promise<boolean>;
  readonly open: (member: Member) => Promise<OpenSession | undefined>;
}

const maxReplay = 65_536;
const mostReplays = 2;
const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']);
const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants;

/** `close` with a code would send the end of the message first, so that what is not whole looked whole. */
const breakOff = (stream: Http2Stream, why: string): void => void stream.destroy(new Error(why));

/** One stream of a client and the one of a backend that answers it; sent again elsewhere under the rules of `Exchange`. */
export class Http2Exchange {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: OutgoingHttpHeaders;
  readonly #method: string;
  readonly #options: Http2ExchangeOptions;
  readonly #choice: Choice;
  #replay: Buffer[] | undefined = [];
  #replayBytes = 0;
  #replays = 0;
  #tried: Set<Member> | undefined;
  #ended: boolean;
  #trailers: IncomingHttpHeaders | undefined;
  #request: ClientHttp2Stream | undefined;
  #member: Member | undefined;
  #answered = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: Http2ExchangeOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#ended = options.endsAtOnce;
    this.#method = String(headers[':method'] ?? '');
    const { client } = options.what;
    const before = headers['x-forwarded-for'];
    this.#headers = { ...headers, 'x-forwarded-for': before === undefined ? client : `${String(before)}, ${client}` };
    this.#choice = {
      ...options.what,
      request: {
        method: this.#method,
        target: String(headers[':path'] ?? ''),
        header: (name) => {
          const value = headers[name.toLowerCase()];
          return Array.isArray(value) ? value[0] : value;
        },
      },
    };
    stream.on('error', ignore); // 'close' follows
    stream.on('data', (part: Buffer) => this.#take(part));
    stream.on('trailers', (trailers: IncomingHttpHeaders) => (this.#trailers = trailers));
    stream.on('drain', () => this.#request?.resume());
    stream.on('end', () => {
      if (stream.aborted || stream.rstCode !== NGHTTP2_NO_ERROR) return; // broken off, which is no end
      this.#ended = true;
      this.#request?.end();
    });
    stream.on('close', () => this.#clientGone());
    void this.#attempt();
  }

  #take(part: Buffer): void {
    this.#replayBytes += part.length;
    if (this.#request !== undefined && this.#replayBytes > maxReplay) this.#replay = undefined;
    this.#replay?.push(part);
    if (this.#request === undefined) {
      if (this.#replayBytes > maxReplay) this.#stream.pause();
    } else if (!this.#request.write(part)) this.#stream.pause();
  }

  #clientGone(): void {
    if (this.#request === undefined || this.#request.closed) return;
    this.#member?.tally.request('client-gone');
    if (this.#request.writableEnded) this.#request.close(NGHTTP2_CANCEL);
    else breakOff(this.#request, 'the client broke its request off');
  }

  async #attempt(): Promise<void> {
    const { upstream, open, wait } = this.#options;
    const member = upstream.choose(this.#choice, this.#tried);
    if (member === undefined) {
      const came = await wait(this.#stream, this.#tried?.size ?? 0);
      if (this.#stream.destroyed) return;
      if (!came) return this.#refuse(this.#tried === undefined ? '503' : '502');
      this.#tried = undefined;
      return this.#attempt();
    }
    member.active++;
    const opened = await open(member);
    if (this.#stream.destroyed || opened === undefined || !this.#send(member, opened)) {
      member.active--;
      opened?.release();
      if (this.#stream.destroyed) return;
      member.tally.request('unreachable');
      (this.#tried ??= new Set()).add(member);
      return this.#attempt();
    }
    upstream.chose(this.#choice, member);
  }

  /** False when the session would not have it: it ended meanwhile. */
  #send(member: Member, opened: OpenSession): boolean {
    const endStream = this.#ended && this.#replayBytes === 0 && this.#trailers === undefined;
    let request: ClientHttp2Stream;
    try {
      request = opened.session.request(this.#headers, { endStream, waitForTrailers: !endStream });
    } catch {
      if (opened.session.closed || opened.session.destroyed) return false;
      this.#options.upstream.gone.request('malformed');
      breakOff(this.#stream, 'fields that cannot be sent on');
      return false;
    }
    this.#request = request;
    this.#member = member;
    request.on('error', ignore); // 'close' follows
    request.on('headers', (headers) => {
      if (!this.#stream.headersSent) this.#pass(() => this.#stream.additionalHeaders(headers));
    });
    request.on('response', (headers, flags) => this.#respond(request, headers, flags));
    request.on('drain', () => this.#stream.resume());
    request.on('wantTrailers', () => {
      this.#pass(() => request.sendTrailers({ ...this.#trailers }));
    });
    request.on('close', () => {
      member.active--;
      opened.release();
      if (this.#request === request) this.#closed(request);
    });
    if (!endStream) {
      for (const part of this.#replay ?? []) request.write(part);
      if (this.#replayBytes > maxReplay) this.#replay = undefined;
      if (this.#ended) request.end();
      else if (!request.writableNeedDrain) this.#stream.resume();
    }
    return true;
  }

  #respond(request: ClientHttp2Stream, headers: IncomingHttpHeaders, flags: number): void {
    this.#answered = true;
    this.#replay = undefined;
    const stream = this.#stream;
    if (stream.destroyed) return;
    this.#member?.tally.request(`${String(headers[':status'] ?? '0').slice(0, 1)}xx`);
    const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#pass(() => stream.respond(headers, { endStream, waitForTrailers: !endStream }));
    if (endStream || stream.destroyed) return;
    let trailers: IncomingHttpHeaders = {};
    request.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
    stream.on('wantTrailers', () => this.#pass(() => stream.sendTrailers({ ...trailers })));
    request.on('data', (part: Buffer) => {
      if (!stream.destroyed && !stream.write(part)) request.pause();
    });
    request.on('end', () => {
      if (!request.aborted && request.rstCode === NGHTTP2_NO_ERROR) stream.end(); // else 'close' follows
    });
  }

  /** Passes fields on. Those that Node will not send, or for a stream that ended meanwhile, end this exchange and nothing else. */
  #pass(work: () => void): void {
    if (this.#stream.destroyed) return;
    try {
      work();
    } catch {
      breakOff(this.#stream, 'fields that cannot be passed on');
    }
  }

  #closed(request: ClientHttp2Stream): void {
    this.#request = undefined;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const code = request.rstCode;
    if (this.#answered) {
      if (code !== NGHTTP2_NO_ERROR || !request.readableEnded) breakOff(stream, 'the backend broke its answer off');
      return;
    }
    const untouched = code === NGHTTP2_REFUSED_STREAM;
    this.#member?.tally.request(untouched ? 'refused' : 'lost');
    const harmless = untouched || idempotent.has(this.#method);
    if (this.#replay !== undefined && harmless && this.#replays++ < mostReplays) return void this.#attempt();
    if (code !== NGHTTP2_NO_ERROR && code !== NGHTTP2_CANCEL && !untouched) stream.close(code);
    else this.#refuse('502');
  }

  #refuse(status: '502' | '503'): void {
    this.#options.upstream.gone.request(`refused-${status}`);
    const stream = this.#stream;
    if (stream.destroyed || stream.headersSent) return;
    // A gRPC client reads its own status (14: unavailable); others read that of HTTP.
    const grpc = String(this.#headers['content-type'] ?? '').startsWith('application/grpc');
    const why = status === '503' ? 'the Service has no endpoint for this request' : 'no endpoint answered';
    if (grpc) {
      const headers = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14', 'grpc-message': why };
      return this.#pass(() => stream.respond(headers, { endStream: true }));
    }
    this.#pass(() => {
      stream.respond({ ':status': Number(status), 'content-type': 'text/plain' });
      stream.end(`${why}\n`);
    });
  }
}
