import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect as connectTls } from 'node:tls';
import { ApiError, isApiError, messageOf } from '../../../../lib/base/errors.ts';
import type { Registry } from '../../registry/registry.ts';
import { locate } from '../../streams/locate.ts';
import type { NodeStreams } from '../../streams/node-streams.ts';
import type { RestReply, RestRequest } from '../message.ts';
import type { ResourcePath } from '../path.ts';
import { socketOf } from './socket.ts';
import { findTarget, type ProxyTarget } from './target.ts';

export interface ProxyParts {
  readonly registry: Registry;
  readonly streams: NodeStreams;
  /** A random number from 0 up to 1. */
  readonly random: () => number;
}

/** How long a pod may take to begin its answer. */
const answerWithinMs = 60_000;

/**
 * A request that a pod answers, through the node that it runs on: `pods/<name>[:port]/proxy/…` and `services/<name>[:port]/proxy/…`.
 * Undefined for a path that is none of a proxy.
 */
export function onProxy(parts: ProxyParts, at: ResourcePath, request: RestRequest): Promise<RestReply> | undefined {
  const { group, resource, subresource, name, namespace = '' } = at;
  if (subresource !== 'proxy' || group !== '' || name === undefined) return undefined;
  if (resource === 'nodes')
    return Promise.reject(
      new ApiError(
        'NotFound',
        'nodes serve no HTTP to be passed on: their agents open no port; ask metrics.k8s.io for figures, and pods/log for logs',
        { resource },
      ),
    );
  if (resource !== 'pods' && resource !== 'services') return undefined;
  return passOn(parts, { resource, namespace, name }, request);
}

async function passOn(
  { registry, streams, random }: ProxyParts,
  at: { readonly resource: string; readonly namespace: string; readonly name: string },
  request: RestRequest,
): Promise<RestReply> {
  const target = await findTarget(registry, at, random);
  const asked = { namespace: at.namespace, pod: target.pod, container: '' };
  const located = await locate(registry, asked, { doing: 'connect to', inEnded: false, container: false });
  const body = request.method === 'GET' || request.method === 'HEAD' ? Buffer.alloc(0) : await request.body();
  const wish = { verb: 'port-forward', port: target.port, ...located.target } as const;
  const stream = await streams.open(located.node, wish, request.signal);
  try {
    return replyOf(await answerOf(socketOf(stream), target, { request, body }), prefixOf(request.path));
  } catch (error) {
    stream.reset(new ApiError('Timeout', 'the caller has gone'));
    if (isApiError(error)) throw error;
    throw new ApiError(
      'ServiceUnavailable',
      `pod "${target.pod}" did not answer at port ${target.port}: ${messageOf(error)}`,
    );
  }
}

/** Resolves when the answer begins. Rejects with Timeout when that takes too long. */
function answerOf(
  socket: ReturnType<typeof socketOf>,
  { scheme, pod, port }: ProxyTarget,
  { request, body }: { readonly request: RestRequest; readonly body: Buffer },
): Promise<IncomingMessage> {
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
  const options: RequestOptions = {
    method: request.method,
    path: restOf(request),
    headers: {
      ...passedOn(request.headers ?? {}),
      host: `${pod}:${port}`,
      ...(hasBody ? { 'content-length': body.length } : {}),
    },
    signal: request.signal,
    // As over any port that is forwarded, nobody vouches for the pod's own certificate.
    createConnection: () => (scheme === 'https' ? connectTls({ socket, rejectUnauthorized: false }) : socket),
  };
  return new Promise((resolve, reject) => {
    const asking = httpRequest(options);
    const late = setTimeout(() => {
      reject(new ApiError('Timeout', `pod "${pod}" did not answer at port ${port} within ${answerWithinMs / 1000} s`));
      asking.destroy();
    }, answerWithinMs);
    late.unref();
    asking.once('error', (error) => {
      clearTimeout(late);
      reject(error);
    });
    asking.once('response', (answer) => {
      clearTimeout(late);
      asking.on('error', () => undefined); // told by the end of the answer
      resolve(answer);
    });
    asking.end(body);
  });
}

/** What is said between two neighbours alone (RFC 9110, 7.6.1), and what is meant for us. */
const notPassedOn: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'host', 'authorization', 'content-length', 'expect', 'http2-settings'],
  ...['impersonate-user', 'impersonate-group'],
]);

type Fields = Readonly<Record<string, string | readonly string[] | undefined>>;

function passedOn(fields: Fields, more: readonly string[] = []): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name.startsWith(':') || (notPassedOn.has(name) && !more.includes(name))) continue;
    kept[name] = typeof value === 'string' ? value : [...value];
  }
  return kept;
}

function replyOf(answer: IncomingMessage, prefix: string): RestReply {
  const { location, ...headers } = passedOn(answer.headers, ['content-length']);
  const type = answer.headers['content-type'] ?? 'application/octet-stream';
  // Where a path of the pod's own is meant, it is one below ours.
  const moved = typeof location === 'string' && location.startsWith('/') ? prefix + location : location;
  return {
    status: answer.statusCode ?? 502,
    type,
    headers: { ...headers, ...(moved === undefined ? {} : { location: moved }) },
    body: answer as AsyncIterable<Buffer>,
    live: true,
  };
}

/** `/api/v1/namespaces/default/pods/web:80/proxy` */
const prefixOf = (path: string): string => /^.*?\/(?:pods|services)\/[^/]+\/proxy(?=\/|$)/.exec(path)?.[0] ?? '';

/** What is asked of the pod: the path after ours, as it was written, with its query. */
function restOf({ path, query }: RestRequest): string {
  const rest = path.slice(prefixOf(path).length);
  const text = query.toString();
  return `${rest === '' ? '/' : rest}${text === '' ? '' : `?${text}`}`;
}
