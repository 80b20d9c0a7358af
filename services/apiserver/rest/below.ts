import { isObject, objectAt, textAt } from '../../../lib/api/json.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { TokenRequest } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { deleteOptions, keyFor } from '../door/requests.ts';
import { bindingOf } from '../grpc/write.ts';
import type { Identities } from '../identity/identities.ts';
import type { Registry } from '../registry/registry.ts';
import type { NodeStreams } from '../streams/node-streams.ts';
import { requireBody } from './body.ts';
import { jsonReply, bytesReply, type RestReply, type RestRequest } from './message.ts';
import type { ResourcePath } from './path.ts';
import { writeOptionsIn } from './query.ts';
import { podLog } from './streams/log.ts';

export interface BelowParts {
  readonly registry: Registry;
  readonly identities: Identities;
  readonly streams: NodeStreams;
}

/** A verb on something below one object; the path has a name. */
type Below = (parts: BelowParts, at: Named, request: RestRequest) => Promise<RestReply>;
type Named = ResourcePath & { readonly name: string };

/** By method, resource and subresource. */
const verbs: Readonly<Record<string, Below>> = {
  'POST pods/binding': bind,
  'POST pods/eviction': evict,
  'GET pods/log': (parts, at, request) => podLog(parts, at, request),
  'PUT namespaces/finalize': finalize,
  'POST serviceaccounts/token': createToken,
};

/** What is served below an object beside its status and scale; undefined for those, and for what is not served. */
export function onBelow(parts: BelowParts, at: ResourcePath, request: RestRequest): Promise<RestReply> | undefined {
  const { resource, name, subresource, group } = at;
  if (name === undefined || subresource === undefined || group !== '') return undefined;
  const work = verbs[`${request.method} ${resource}/${subresource}`];
  return work?.(parts, { ...at, name }, request);
}

const done = (code: number): RestReply =>
  jsonReply({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code }, code);

async function bind(
  { registry }: BelowParts,
  { namespace = '', name }: Named,
  request: RestRequest,
): Promise<RestReply> {
  const options = writeOptionsIn(request.query, request.traceparent);
  const { value } = await requireBody(request, options.fieldValidation);
  await registry.bind(bindingOf(value, namespace, name), options);
  return done(201);
}

/** Asks a pod to go (policy/v1): as a deletion, with the options that the Eviction carries, if its budget grants it. */
async function evict(
  { registry }: BelowParts,
  { namespace = '', name }: Named,
  request: RestRequest,
): Promise<RestReply> {
  const { dryRun, ...options } = writeOptionsIn(request.query, request.traceparent);
  const { value } = await requireBody(request, options.fieldValidation);
  if (!isObject(value)) throw new ApiError('BadRequest', 'an Eviction is a JSON object');
  const about = textAt(objectAt(value, 'metadata'), 'name');
  if (about !== '' && about !== name)
    throw new ApiError(
      'BadRequest',
      `metadata.name ${JSON.stringify(about)} of the Eviction is not the pod's, ${JSON.stringify(name)}`,
    );
  const wished = deleteOptions(value['deleteOptions']);
  await registry.evict(keyFor('pods', namespace, name), {
    ...options,
    ...wished,
    ...(dryRun === true ? { dryRun } : {}),
  });
  return done(201);
}

/** Takes finalizers out of a Namespace that ends. */
async function finalize({ registry }: BelowParts, { name }: Named, request: RestRequest): Promise<RestReply> {
  const options = writeOptionsIn(request.query, request.traceparent);
  const { value } = await requireBody(request, options.fieldValidation);
  const written = await registry.update('namespaces', name, value, options);
  return bytesReply(written.served.json);
}

async function createToken(
  parts: BelowParts,
  { namespace = '', name }: Named,
  request: RestRequest,
): Promise<RestReply> {
  keyFor('serviceaccounts', namespace, name);
  const { value } = await requireBody(request, 'Ignore');
  const made = await parts.identities.createToken(namespace, name, value as TokenRequest);
  const type = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' };
  return jsonReply({ ...type, metadata: { name, namespace }, ...made }, 201);
}

/** The words for a subresource that is not served, or not by this method. */
export function noSuchBelow(resource: Resource, subresource: string, method: string): ApiError {
  const isKnown = Object.keys(verbs).some((verb) => verb.endsWith(` ${resource}/${subresource}`));
  return isKnown
    ? new ApiError('MethodNotAllowed', `${method} is not served for ${resource}/${subresource}`, { resource })
    : new ApiError('NotFound', `the server could not find the requested resource: ${resource} have no ${subresource}`, {
        resource,
      });
}
