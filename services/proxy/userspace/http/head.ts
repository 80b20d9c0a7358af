/** A message breaks RFC 9112, or is beyond our bounds. `status` is what a client that sent it is told. */
export class BadMessage extends Error {
  readonly status: number;
  constructor(why: string, status = 400) {
    super(why);
    this.status = status;
  }
}

/** How the end of a body is known. */
export type Framing =
  | { readonly type: 'none' }
  | { readonly type: 'length'; readonly length: number }
  | { readonly type: 'chunked' }
  | { readonly type: 'until-close' };

const none: Framing = { type: 'none' };

interface Fields {
  /** Those about this connection alone are left out (RFC 9110, 7.6.1), in the spelling and order they came in. */
  readonly lines: readonly string[];
  /** Whether `lines` says the same as the text it was read from. */
  readonly untouched: boolean;
  /** The index in `lines` of the last X-Forwarded-For; -1 without. */
  readonly forwardedFor: number;
  readonly length: number | undefined;
  readonly transfer: string | undefined;
  readonly close: boolean;
  readonly keepAlive: boolean;
  /** The value of Upgrade, where Connection names it. */
  readonly upgrade: string | undefined;
  readonly expectsContinue: boolean;
  /** Seconds that the other side says it keeps the connection at rest. */
  readonly keepsFor: number | undefined;
}

export interface RequestHead {
  readonly text: string;
  readonly method: string;
  readonly target: string;
  readonly http10: boolean;
  readonly fields: Fields;
  readonly framing: Framing;
  /** The client takes another answer on this connection. */
  readonly persistent: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly fields: Fields;
  readonly framing: Framing;
  /** The server takes another request on this connection. */
  readonly persistent: boolean;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const broken = /\r(?!\n)|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;
const requestLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ ]+) HTTP\/1\.([01])$/;
const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9][0-9])(?: .*)?$/;

/** Reads a request's head: its text without the blank line at its end. Throws BadMessage. */
export function parseRequest(text: string): RequestHead {
  if (broken.test(text)) throw new BadMessage('a head must not hold control characters or lone line breaks');
  const first = text.indexOf('\r\n');
  const found = requestLine.exec(first < 0 ? text : text.slice(0, first));
  if (found === null) throw new BadMessage('the request line must be "METHOD target HTTP/1.1"');
  const [, method = '', target = '', minor] = found;
  if (method === 'CONNECT') throw new BadMessage('CONNECT is for proxies of clients; this one serves a Service', 501);
  const fields = parseFields(text, first);
  const http10 = minor === '0';
  return {
    ...{ text, method, target, http10, fields },
    framing: requestFraming(fields, http10),
    persistent: !http10 && !fields.close,
  };
}

/** Reads a response's head. `method` is that of its request, which tells whether a body may follow. Throws BadMessage. */
export function parseResponse(text: string, method: string): ResponseHead {
  if (broken.test(text)) throw new BadMessage('a head must not hold control characters or lone line breaks', 502);
  const first = text.indexOf('\r\n');
  const found = statusLine.exec(first < 0 ? text : text.slice(0, first));
  if (found === null) throw new BadMessage('the status line must be "HTTP/1.1 200 reason"', 502);
  const status = Number(found[2]);
  const fields = parseFields(text, first);
  const framing = responseFraming(fields, status, method);
  const keeps = found[1] === '0' ? fields.keepAlive && !fields.close : !fields.close;
  return { status, fields, framing, persistent: keeps && framing.type !== 'until-close' };
}

function requestFraming({ transfer, length }: Fields, http10: boolean): Framing {
  if (transfer === undefined) return length === undefined || length === 0 ? none : { type: 'length', length };
  // What two readers may read differently is refused (RFC 9112, 6.1: request smuggling).
  if (length !== undefined) throw new BadMessage('a message must not have both Transfer-Encoding and Content-Length');
  if (http10) throw new BadMessage('HTTP/1.0 has no Transfer-Encoding');
  if (!endsChunked(transfer)) throw new BadMessage('the last Transfer-Encoding of a request must be chunked');
  return { type: 'chunked' };
}

function responseFraming({ transfer, length }: Fields, status: number, method: string): Framing {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return none;
  if (transfer !== undefined) {
    if (length !== undefined)
      throw new BadMessage('a message must not have both Transfer-Encoding and Content-Length', 502);
    return { type: endsChunked(transfer) ? 'chunked' : 'until-close' };
  }
  if (length === undefined) return { type: 'until-close' };
  return length === 0 ? none : { type: 'length', length };
}

/** Chunked once, and last. */
const endsChunked = (transfer: string): boolean =>
  transfer
    .split(',')
    .map((each) => each.trim())
    .indexOf('chunked') ===
  transfer.split(',').length - 1;

function parseFields(text: string, from: number): Fields {
  const lines: string[] = [];
  let forwardedFor = -1;
  let length: number | undefined;
  let transfer: string | undefined;
  let connection = '';
  let upgrade: string | undefined;
  let expectsContinue = false;
  let keepsFor: number | undefined;
  let dropped = 0;
  for (let at = from; at >= 0;) {
    const start = at + 2;
    const next = text.indexOf('\r\n', start);
    const line = next < 0 ? text.slice(start) : text.slice(start, next);
    at = next;
    const colon = line.indexOf(':');
    // A name with a space, or a line that goes on from the one before (obs-fold), is no token.
    if (colon < 1 || !token.test(colon === line.length ? line : line.slice(0, colon)))
      throw new BadMessage('each line of a head must be "name: value"');
    switch (colon) {
      case 2: // TE: a client's own affair unless it asks for trailers
        if (nameIs(line, 'te') && valueOf(line, colon).toLowerCase() !== 'trailers') {
          dropped++;
          continue;
        }
        break;
      case 6:
        if (nameIs(line, 'expect')) expectsContinue = valueOf(line, colon).toLowerCase() === '100-continue';
        break;
      case 7:
        if (nameIs(line, 'upgrade')) {
          upgrade = valueOf(line, colon);
          dropped++;
          continue;
        }
        break;
      case 10:
        if (nameIs(line, 'connection')) {
          connection += `,${valueOf(line, colon).toLowerCase()}`;
          dropped++;
          continue;
        }
        if (nameIs(line, 'keep-alive')) {
          const seconds = /timeout=([0-9]{1,6})/i.exec(line)?.[1];
          if (seconds !== undefined) keepsFor = Number(seconds);
          dropped++;
          continue;
        }
        break;
      case 14:
        if (nameIs(line, 'content-length')) {
          const value = valueOf(line, colon);
          if (length !== undefined || !/^[0-9]{1,15}$/.test(value))
            throw new BadMessage('Content-Length must be one decimal number');
          length = Number(value);
        }
        break;
      case 15:
        if (nameIs(line, 'x-forwarded-for')) forwardedFor = lines.length;
        break;
      case 16:
        if (nameIs(line, 'proxy-connection')) {
          dropped++;
          continue;
        }
        break;
      case 17:
        if (nameIs(line, 'transfer-encoding')) {
          const value = valueOf(line, colon).toLowerCase();
          transfer = transfer === undefined ? value : `${transfer}, ${value}`;
        }
        break;
    }
    lines.push(line);
  }
  const tokens = connection === '' ? [] : connection.split(',').map((each) => each.trim());
  const others = tokens.filter((each) => each !== '' && !wellKnown.has(each));
  const kept = others.length === 0 ? lines : lines.filter((line) => !others.includes(nameOf(line)));
  return {
    lines: kept,
    untouched: dropped === 0 && kept.length === lines.length,
    forwardedFor: kept === lines ? forwardedFor : kept.findLastIndex((line) => nameOf(line) === 'x-forwarded-for'),
    ...{ length, transfer, expectsContinue, keepsFor },
    close: tokens.includes('close'),
    keepAlive: tokens.includes('keep-alive'),
    upgrade: tokens.includes('upgrade') ? upgrade : undefined,
  };
}

/** What Connection may name without a field of that name being meant, or one that is looked at by itself. */
const wellKnown = new Set(['close', 'keep-alive', 'upgrade', 'te', ...['content-length', 'transfer-encoding', 'host']]);
const nameOf = (line: string): string => line.slice(0, line.indexOf(':')).toLowerCase();
const valueOf = (line: string, colon: number): string => line.slice(colon + 1).trim();
/** Whether a line's name, which has as many letters, is `name`. */
const nameIs = (line: string, name: string): boolean =>
  (line.charCodeAt(0) | 0x20) === name.charCodeAt(0) && line.slice(0, name.length).toLowerCase() === name;

/** The first field of a name (lower case) among the lines of a head. */
export function fieldOf(lines: readonly string[], name: string): string | undefined {
  const line = lines.find((each) => nameOf(each) === name);
  return line === undefined ? undefined : valueOf(line, name.length);
}

/** The head that a backend is sent: as it came, without what concerns the client's connection alone, and with the client's address added. */
export function requestText({ text, method, target, http10, fields }: RequestHead, client: string): string {
  if (fields.untouched && fields.forwardedFor < 0) return `${text}\r\nX-Forwarded-For: ${client}\r\n\r\n`;
  const lines =
    fields.forwardedFor < 0
      ? [...fields.lines, `X-Forwarded-For: ${client}`]
      : fields.lines.map((line, at) => (at === fields.forwardedFor ? `${line}, ${client}` : line));
  if (fields.upgrade !== undefined) lines.push(`Connection: Upgrade`, `Upgrade: ${fields.upgrade}`);
  return `${method} ${target} HTTP/1.${http10 ? 0 : 1}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** The head that a client is sent. `close`: the connection ends with this answer. */
export function responseText(text: string, { status, fields }: ResponseHead, close: boolean): string {
  if (fields.untouched && !close) return `${text}\r\n\r\n`;
  const lines = [text.slice(0, text.indexOf('\r\n') < 0 ? undefined : text.indexOf('\r\n')), ...fields.lines];
  if (status === 101 && fields.upgrade !== undefined) lines.push('Connection: Upgrade', `Upgrade: ${fields.upgrade}`);
  else if (close) lines.push('Connection: close');
  return `${lines.join('\r\n')}\r\n\r\n`;
}
