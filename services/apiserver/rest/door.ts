import { toStatusObject } from '../../../lib/api/codec/status.ts';
import { ApiError, isApiError } from '../../../lib/base/errors.ts';
import type { UsageSource } from '../usage/usage.ts';
import { onAnswered } from './answered.ts';
import { onBelow, type BelowParts } from './below.ts';
import { actingFor, checkCaller, identifyCaller, type Caller } from './caller.ts';
import { discover, rootPaths } from './discovery.ts';
import { aboutServer, aboutServerInside, type HealthParts } from './health.ts';
import { about, jsonType, jsonReply, type RestReply, type RestRequest } from './message.ts';
import { metricsGroup, onMetrics } from './metrics-api.ts';
import { describeApi } from './openapi/document.ts';
import { describeInVersionTwo } from './openapi/version-two.ts';
import { legacyWatch, parseResourcePath, type ResourcePath } from './path.ts';
import { onProxy } from './proxy/proxy.ts';
import { flag } from './query.ts';
import { reviews } from './reviews.ts';
import { onResource, type RestParts } from './resources.ts';

/** Answers a request to the REST door. Never rejects: what goes wrong is a reply with a Status object. */
export type RestDoor = (request: RestRequest) => Promise<RestReply>;

export interface DoorParts extends RestParts, BelowParts, HealthParts {
  readonly usage: UsageSource;
  /** Who a caller is that brings neither certificate nor token; absent: nobody, he is refused. */
  readonly fallback?: Caller;
}

export function newRestDoor(parts: DoorParts): RestDoor {
  return async (request) => {
    try {
      const legacy = request.method === 'GET' ? legacyWatch(request.path, request.query) : undefined;
      const asked = legacy === undefined ? request : about(request, legacy);
      return readable(await answer(parts, asked), request);
    } catch (error) {
      return failure(error);
    }
  };
}

async function answer(parts: DoorParts, request: RestRequest): Promise<RestReply> {
  const health = request.method === 'GET' ? aboutServer(parts, request) : undefined;
  if (health !== undefined) return health;
  const { certificate } = request;
  const self = await identifyCaller(
    parts.identities,
    { authorization: request.header('authorization'), ...(certificate === undefined ? {} : { certificate }) },
    parts.fallback,
  );
  const caller = actingFor(self, (name) => request.header(name));
  const plain = request.method === 'GET' ? await described(parts, request) : undefined;
  if (plain !== undefined) return plain;
  const at = parseResourcePath(request.path);
  if (at === undefined)
    throw new ApiError(
      'NotFound',
      `the server could not find the requested resource: nothing is served at ${request.path}`,
    );
  await checkCaller(caller, { ...at, verb: verbOf(request, at) }, () => request.body());
  const review = request.method === 'POST' ? reviews[`${at.group}/${at.version}/${at.resource}`] : undefined;
  if (review !== undefined) return review(caller, request);
  if (at.group === metricsGroup.group && at.version === metricsGroup.version)
    return onMetrics(parts.usage, at, request);
  const read = onAnswered(parts.registry, at, { request, nowMs: parts.clock.now() });
  if (read !== undefined) return read;
  const passedOn = onProxy(parts, at, request);
  if (passedOn !== undefined) return passedOn;
  return (await onBelow(parts, at, request)) ?? onResource(parts, at, request);
}

/** `/api`, `/apis`, one group, one version of it, and OpenAPI. */
const aboutWhatIsServed = /^\/(api(\/[^/]*)?|apis(\/[^/]*){0,2}|openapi\/.*)\/?$/;

/** What is served, definitions included that were acknowledged before the request. */
async function described(parts: DoorParts, request: RestRequest): Promise<RestReply | undefined> {
  const { registry } = parts;
  if (!aboutWhatIsServed.test(request.path)) return aboutServerInside(parts, request, () => rootPaths(registry.kinds));
  await registry.fresh();
  return discover(registry.kinds, request) ?? describeApi(registry.kinds, request) ?? describeInVersionTwo(request);
}

/** What a request does, in the words of access rules. */
export function verbOf({ method, query }: RestRequest, { name }: ResourcePath): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (query.has('watch') && flag(query, 'watch')) return 'watch';
      return name === undefined ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return name === undefined ? 'deletecollection' : 'delete';
    default:
      throw new ApiError('MethodNotAllowed', `the method ${method} is not served`);
  }
}

/** With line breaks, for who asks for them; lists stay as they are. */
function readable(reply: RestReply, { query }: RestRequest): RestReply {
  if (!(reply.body instanceof Buffer) || !reply.type.startsWith(jsonType)) return reply;
  if (!query.has('pretty') || !flag(query, 'pretty')) return reply;
  return { ...reply, body: Buffer.from(`${JSON.stringify(JSON.parse(reply.body.toString()), undefined, 2)}\n`) };
}

/** The answer that tells of an error. */
export function failure(error: unknown): RestReply {
  const status = toStatusObject(error);
  const wait = isApiError(error) ? error.details.retryAfterSeconds : undefined;
  return {
    ...jsonReply(status, status.code),
    ...(wait === undefined ? {} : { headers: { 'retry-after': String(wait) } }),
  };
}
