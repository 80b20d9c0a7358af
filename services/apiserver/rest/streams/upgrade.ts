import type { IncomingMessage } from 'node:http';
import type { Duplex as Socket } from 'node:stream';
import { WebSocketServer } from 'ws';
import { toStatusObject } from '../../../../lib/api/codec/status.ts';
import { ApiError } from '../../../../lib/base/errors.ts';
import { actingFor, checkCaller, identifyCaller } from '../caller.ts';
import { noRestMetrics } from '../metrics.ts';
import type { RestRequest } from '../message.ts';
import { parseResourcePath } from '../path.ts';
import type { Streamed, StreamParts, Way } from './asked.ts';
import { forwardWay } from './forward-ways.ts';
import { processWay } from './process-ways.ts';
import { locate } from '../../streams/locate.ts';

/** A connection that wants to become another: a WebSocket or SPDY, into a pod. */
export type Upgrade = (incoming: IncomingMessage, socket: Socket, head: Buffer, request: RestRequest) => Promise<void>;

const ways: Readonly<Record<string, Way>> = {
  exec: processWay('exec'),
  attach: processWay('attach'),
  portforward: forwardWay,
};

const maxMessageBytes = 16 * 1024 * 1024;

export function newUpgrade(parts: StreamParts): Upgrade {
  const chosen = new WeakMap<IncomingMessage, string>();
  const server = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes, perMessageDeflate: false });
  server.on('headers', (headers: string[], incoming: IncomingMessage) => {
    headers.push(`Sec-WebSocket-Protocol: ${chosen.get(incoming)}`);
  });
  return async (incoming, socket, head, request) => {
    socket.on('error', () => undefined); // told by its end
    try {
      const { way, subresource, kind, asked } = await admit(parts, request);
      const { metrics = noRestMetrics } = parts;
      const ended = metrics.streamOpened({ subresource, protocol: kind });
      if (socket.destroyed) ended();
      else socket.once('close', ended);
      if (kind === 'spdy') {
        socket.write(switching('SPDY/3.1', asked.protocol));
        if (head.length > 0) socket.unshift(head);
        void way.overSpdy.run(parts, asked, socket);
        return;
      }
      chosen.set(incoming, asked.protocol);
      // The choice has been made, and one of the names is none as the standard of WebSockets would have it.
      delete incoming.headers['sec-websocket-protocol'];
      server.handleUpgrade(incoming, socket, head, (webSocket) => {
        void way.overWebSocket.run(parts, asked, webSocket);
      });
    } catch (error) {
      refuse(socket, error);
    }
  };
}

async function admit(
  parts: StreamParts,
  request: RestRequest,
): Promise<{
  readonly way: Way;
  readonly subresource: string;
  readonly kind: 'spdy' | 'websocket';
  readonly asked: Streamed;
}> {
  const { query, signal, certificate } = request;
  const self = await identifyCaller(
    parts.identities,
    { authorization: request.header('authorization'), ...(certificate === undefined ? {} : { certificate }) },
    parts.fallback,
  );
  const caller = actingFor(self, (name) => request.header(name));
  const at = parseResourcePath(request.path);
  const way =
    at?.resource === 'pods' && at.group === '' && at.subresource !== undefined ? ways[at.subresource] : undefined;
  if (at === undefined || way === undefined)
    throw new ApiError(
      'NotFound',
      `the server could not find the requested resource: no stream is served at ${request.path}`,
    );
  await checkCaller(caller, { ...at, verb: 'create' }, () => Promise.resolve(Buffer.alloc(0)));
  // What is wrong about the pod is said first: a client that is told of its protocol tries others, and forgets the rest.
  const { namespace = '', name = '' } = at;
  const target = { namespace, pod: name, container: query.get('container') ?? '' };
  const located = await locate(parts.registry, target, way.needs);
  const { kind, protocol } = agreed(way, request);
  return { way, subresource: at.subresource ?? '', kind, asked: { query, located, protocol, signal } };
}

/** What both sides speak; BadRequest where there is nothing. */
function agreed(way: Way, request: RestRequest): { readonly kind: 'spdy' | 'websocket'; readonly protocol: string } {
  const wished = request.header('upgrade')?.toLowerCase();
  const kind = wished === 'websocket' ? wished : wished === 'spdy/3.1' ? 'spdy' : undefined;
  if (kind !== undefined) {
    const header = kind === 'spdy' ? 'x-stream-protocol-version' : 'sec-websocket-protocol';
    const offered = (request.header(header) ?? '').split(',').map((text) => text.trim());
    const served = kind === 'spdy' ? way.overSpdy : way.overWebSocket;
    const protocol = served.protocols.find((each) => offered.includes(each));
    if (protocol !== undefined) return { kind, protocol };
  }
  throw new ApiError(
    'BadRequest',
    `a stream is served over a WebSocket, with one of the protocols ${way.overWebSocket.protocols.join(', ')}, or over SPDY/3.1, with ${way.overSpdy.protocols.join(', ')}`,
  );
}

const switching = (upgrade: string, protocol: string): string =>
  [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    `Upgrade: ${upgrade}`,
    `X-Stream-Protocol-Version: ${protocol}`,
    '\r\n',
  ].join('\r\n');

/** The connection is still one of HTTP: it ends with an answer. */
function refuse(socket: Socket, error: unknown): void {
  const status = toStatusObject(error);
  const body = JSON.stringify(status);
  const head = [
    `HTTP/1.1 ${status.code} ${status.reason}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
