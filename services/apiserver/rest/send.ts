import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import type { RestReply } from './message.ts';
import type { Incoming } from './request.ts';
import type { Waiter } from './waiting.ts';

export type Outgoing = ServerResponse | Http2ServerResponse;

/** Shorter answers are not worth compressing. */
const gzipFromBytes = 128 * 1024;

/** Writes an answer: a whole one with its head in one piece, a longer one portion by portion as its reader takes it. */
export async function send(reply: RestReply, incoming: Incoming, outgoing: Outgoing, waiter: Waiter): Promise<void> {
  const { body, live = false } = reply;
  const isZipped = !live && (!(body instanceof Buffer) || body.length >= gzipFromBytes) && takesGzip(incoming);
  const headers = headersOf(reply);
  if (isZipped) headers['content-encoding'] = 'gzip';
  if (body instanceof Buffer && !isZipped) {
    headers['content-length'] = body.length;
    writeHead(outgoing, reply.status, headers);
    outgoing.end(body);
    return;
  }
  writeHead(outgoing, reply.status, headers);
  // The caller learns at once that it was heard.
  if (live && 'flushHeaders' in outgoing) outgoing.flushHeaders();
  // One portion waits in each part of the way, and no more.
  const source = Readable.from(body instanceof Buffer ? [body] : body, { highWaterMark: 1 });
  const { signal } = waiter;
  try {
    await (isZipped
      ? pipeline(source, createGzip({ level: constants.Z_BEST_SPEED }), outgoing, { signal })
      : pipeline(source, outgoing, { signal }));
  } catch (error) {
    if (!signal.aborted) throw error;
    outgoing.destroy();
  }
}

type Headers = Record<string, string | number | readonly string[]>;

function headersOf({ type, headers, warnings }: RestReply): Headers {
  const all: Headers = { 'content-type': type, 'cache-control': 'no-cache, private' };
  if (headers !== undefined) for (const [name, value] of Object.entries(headers)) all[name] = value;
  if (warnings !== undefined && warnings.length > 0) all['warning'] = warnings.slice(0, 20).map(warningText);
  return all;
}

/** The two kinds of answers have the same method, with signatures of which TypeScript finds none that suits both. */
function writeHead(outgoing: Outgoing, status: number, headers: Headers): void {
  (outgoing as ServerResponse).writeHead(status, headers as OutgoingHttpHeaders);
}

const takesGzip = (incoming: Incoming): boolean => /\bgzip\b/.test(String(incoming.headers['accept-encoding'] ?? ''));

/** RFC 9110 has no more `Warning`, but clients of the API show it: code 299, an unknown agent, the text in quotes. */
const warningText = (text: string): string =>
  `299 - "${text
    .slice(0, 500)
    .replace(/["\\]/g, '\\$&')
    .replace(/[^ -~]/g, '?')}"`;
