import { kinds } from '../../../lib/api/kinds.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { maxObjectBytes } from '../door/requests.ts';
import type { BuiltInKind, Kind } from '../registry/kinds.ts';
import type { Registry, Selection, Subresource, WriteOptions, Written } from '../registry/registry.ts';
import { subresourceOf } from '../registry/subresource.ts';
import { eventsGroup } from './events-group.ts';
import { translationFor } from './translation.ts';
import { noSuchBelow } from './below.ts';
import { formOf } from './accept.ts';
import { readBody, requireBody, type Body } from './body.ts';
import { writingFor, type Writing } from './forms.ts';
import { listed } from './list.ts';
import { bytesReply, jsonReply, jsonType, type RestReply, type RestRequest } from './message.ts';
import { changeOf } from './patch-body.ts';
import { deleteOptionsIn, pagingIn, flag, selectionIn, senderOf, writeOptionsIn } from './query.ts';
import type { ResourcePath } from './path.ts';
import { keyFor, namespaceFor } from '../door/requests.ts';
import { watch, type WatchParts } from './watch.ts';

/** The kind at a path. NotFound, in the words that clients know, when it is not served in that group and version. */
export async function kindAtPath(registry: Registry, { group, version, resource }: ResourcePath): Promise<Kind> {
  if (resource === 'events' && group === eventsGroup && version === 'v1') return youngEvents;
  if (resource === 'horizontalpodautoscalers' && group === oldAutoscalers.group && version === 'v1')
    return oldAutoscalers;
  const found = await registry.kindAt(group, version, resource);
  if (found !== undefined) return found;
  throw new ApiError('NotFound', 'the server could not find the requested resource', { resource });
}

/** Events once more, as a younger group shows them. */
export const youngEvents = { ...kinds.events, group: eventsGroup } as BuiltInKind;
/** Autoscalers once more, as the older version of their group shows them. */
export const oldAutoscalers = { ...kinds.horizontalpodautoscalers, version: 'v1' } as BuiltInKind;

/** What a client sends, as it is kept. */
const taken = (kind: Kind, value: unknown): unknown => translationFor(kind)?.in(value) ?? value;
const versionOf = (kind: Kind): Pick<WriteOptions, 'version'> =>
  kind.at === undefined ? {} : { version: kind.version };

export type RestParts = WatchParts;

/** The verbs on objects of any kind and on their status, scale and ephemeral containers: the registry's, in the form of HTTP. */
export async function onResource(parts: RestParts, at: ResourcePath, request: RestRequest): Promise<RestReply> {
  const kind = await kindAtPath(parts.registry, at);
  if (at.name === undefined) return onCollection(parts, kind, at, request);
  const what = {
    kind,
    key: keyFor(kind, at.namespace ?? '', at.name),
    ...subresourceIn(kind, at, request.method),
  };
  switch (request.method) {
    case 'GET':
      return getOne(parts, what, request);
    case 'PUT':
      return updateOne(parts, what, request);
    case 'PATCH':
      return patchOne(parts, what, request);
    case 'DELETE':
      if (what.subresource === undefined) return deleteOne(parts, what, request);
  }
  throw notAllowed(request.method, at);
}

export const notAllowed = (method: string, { resource, name, subresource }: ResourcePath): ApiError =>
  new ApiError(
    'MethodNotAllowed',
    `${method} is not served for ${[name === undefined ? resource : `one of the ${resource}`, subresource].filter(Boolean).join(', its ')}`,
    { resource },
  );

interface One {
  readonly kind: Kind;
  readonly key: string;
  readonly subresource?: Subresource;
}

function subresourceIn(kind: Kind, { subresource }: ResourcePath, method: string): Pick<One, 'subresource'> {
  if (subresource === undefined) return {};
  const known = subresourceOf(kind, subresource);
  if (known !== undefined) return { subresource: known };
  throw noSuchBelow(kind.resource, subresource, method);
}

const includes = ['Metadata', 'Object', 'None'] as const;

function writingOf({ clock }: RestParts, kind: Kind, request: RestRequest, subresource?: One['subresource']): Writing {
  const wanted = request.query.get('includeObject') ?? '';
  const includeObject = wanted === '' ? 'Metadata' : includes.find((each) => each === wanted);
  if (includeObject === undefined)
    throw new ApiError('BadRequest', `includeObject ${JSON.stringify(wanted)} is none of ${includes.join(', ')}`);
  const wish = { includeObject, nowMs: () => clock.now() };
  return writingFor(formOf(request.header('accept')), kind, wish, subresource);
}

async function onCollection(parts: RestParts, kind: Kind, at: ResourcePath, request: RestRequest): Promise<RestReply> {
  switch (request.method) {
    case 'GET': {
      const { query } = request;
      const selection = selectionIn(query, kind, at.namespace);
      const writing = writingOf(parts, kind, request);
      if (flag(query, 'watch')) return watch(parts, { kind, selection, writing }, request);
      const list = await parts.registry.list(kind.resource, { ...selection, ...pagingIn(query) });
      return { status: 200, type: jsonType, body: listed(list, writing) };
    }
    case 'POST':
      return createOne(parts, kind, at, request);
    case 'DELETE':
      return deleteMany(parts, kind, selectionIn(request.query, kind, at.namespace), request);
    default:
      throw notAllowed(request.method, at);
  }
}

async function getOne(parts: RestParts, { kind, key, subresource }: One, request: RestRequest): Promise<RestReply> {
  const { registry } = parts;
  const writing = writingOf(parts, kind, request, subresource);
  const served = await (subresource === 'scale'
    ? registry.scale(kind.resource, key)
    : registry.get(kind.resource, key));
  if (served === undefined) throw absent(kind, key);
  return bytesReply(writing.one(served));
}

function absent(kind: Kind, key: string): ApiError {
  const name = key.slice(key.indexOf('/') + 1);
  return new ApiError('NotFound', `${qualified(kind)} "${name}" not found`, { resource: kind.resource, name });
}

/** As clients show it: `pods`, `leases.coordination.k8s.io`. */
export const qualified = (kind: Kind): string =>
  kind.group === '' || kind.at !== undefined ? kind.resource : `${kind.resource}.${kind.group}`;

async function createOne(parts: RestParts, kind: Kind, at: ResourcePath, request: RestRequest): Promise<RestReply> {
  const options = { ...senderOf(request), ...writeOptionsIn(request.query, request.traceparent), ...versionOf(kind) };
  const namespace = namespaceFor(kind, at.namespace ?? '', true);
  const writing = writingOf(parts, kind, request);
  const { value, warnings } = await requireBody(request, options.fieldValidation);
  const written = await parts.registry.create(kind.resource, namespace, taken(kind, value), options);
  return writtenReply(written, writing, { status: 201, warnings });
}

async function updateOne(parts: RestParts, { kind, key, ...rest }: One, request: RestRequest): Promise<RestReply> {
  const given = { ...senderOf(request), ...writeOptionsIn(request.query, request.traceparent) };
  const options = { ...given, ...versionOf(kind), ...rest };
  const writing = writingOf(parts, kind, request, rest.subresource);
  const { value, warnings } = await requireBody(request, options.fieldValidation);
  return writtenReply(
    await parts.registry.update(kind.resource, key, rest.subresource === 'scale' ? value : taken(kind, value), options),
    writing,
    { warnings },
  );
}

async function patchOne(parts: RestParts, { kind, key, ...rest }: One, request: RestRequest): Promise<RestReply> {
  const options = { ...writeOptionsIn(request.query, request.traceparent), ...versionOf(kind), ...rest };
  const writing = writingOf(parts, kind, request, rest.subresource);
  const { patch, how, warnings } = await changeOf(request, options);
  const change = translationFor(kind)?.inPatch(patch) ?? patch;
  const written = await parts.registry.patch(kind.resource, key, change, { ...senderOf(request), ...options, ...how });
  return writtenReply(written, writing, { warnings, ...(written.created === true ? { status: 201 } : {}) });
}

async function deleteOne(parts: RestParts, { kind, key }: One, request: RestRequest): Promise<RestReply> {
  const writing = writingOf(parts, kind, request);
  const options = deleteOptionsIn(request.query, (await deletionBody(request))?.value);
  const written = await parts.registry.delete(kind.resource, key, withTrace(request, options));
  if (!written.gone) return writtenReply(written, writing, { warnings: [] });
  const { name, uid } = written.object.metadata;
  return jsonReply(success(kind, { name, uid }));
}

async function deleteMany(
  parts: RestParts,
  kind: Kind,
  selection: Selection,
  request: RestRequest,
): Promise<RestReply> {
  const options = deleteOptionsIn(request.query, (await deletionBody(request))?.value);
  await parts.registry.deleteCollection(kind.resource, selection, withTrace(request, options));
  return jsonReply(success(kind, {}));
}

const deletionBody = (request: RestRequest): Promise<Body | undefined> => readBody(request, 'Ignore');

const withTrace = <T extends object>({ traceparent }: RestRequest, options: T): T & WriteOptions =>
  traceparent === undefined ? options : { ...options, traceparent };

/** What was asked has happened, and there is no object any more to show. */
export const success = (kind: Kind, about: { readonly name?: string; readonly uid?: string }): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details: {
    ...about,
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.at === undefined ? kind.resource : kind.plural,
  },
});

function writtenReply(
  written: Written,
  writing: Writing,
  { status = 200, warnings }: { readonly status?: number; readonly warnings: readonly string[] },
): RestReply {
  return bytesReply(writing.one(written.served), status, [...warnings, ...written.warnings]);
}

/** A request may be so large. */
export const maxBodyBytes = maxObjectBytes;
