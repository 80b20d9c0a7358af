import type { PeerCertificate } from 'node:tls';

/** A request as the verbs see it, whatever the connection was. */
export interface RestRequest {
  readonly method: string;
  /** As it came, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** All of them, by their names in lower case; absent where nobody needs them. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** All of the body. RequestEntityTooLarge beyond the limit; Timeout when it does not come. */
  body(): Promise<Buffer>;
  /** Of the client, where it brought one that our authority has signed. */
  readonly certificate?: PeerCertificate | undefined;
  /** Aborted when the answer is out, the caller has gone, or the server stops. */
  readonly signal: AbortSignal;
  /** Calls when `signal` is aborted, or would be: nobody need make one to be told. At once where that has been. */
  onOver(listener: () => void): void;
  readonly traceparent: string | undefined;
}

/** The same request about another place. */
export const about = (request: RestRequest, place: Pick<RestRequest, 'path' | 'query'>): RestRequest => ({
  ...place,
  method: request.method,
  header: (name) => request.header(name),
  ...(request.headers === undefined ? {} : { headers: request.headers }),
  body: () => request.body(),
  certificate: request.certificate,
  signal: request.signal,
  onOver: (listener) => {
    request.onOver(listener);
  },
  traceparent: request.traceparent,
});

export interface RestReply {
  readonly status: number;
  readonly type: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** For people, as `Warning` headers. */
  readonly warnings?: readonly string[];
  /** Whole, or in portions made as they are taken. */
  readonly body: Buffer | AsyncIterable<Buffer>;
  /** The portions are news: each goes out at once, and nothing is compressed. */
  readonly live?: boolean;
}

export const jsonType = 'application/json';

export const jsonReply = (value: unknown, status = 200): RestReply => ({
  status,
  type: jsonType,
  body: Buffer.from(JSON.stringify(value)),
});

/** Bytes that are JSON already. */
export const bytesReply = (body: Buffer, status = 200, warnings: readonly string[] = []): RestReply => ({
  status,
  type: jsonType,
  body,
  ...(warnings.length === 0 ? {} : { warnings }),
});
