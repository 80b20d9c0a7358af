import { applyDefaults, keepAssigned } from '../../../lib/api/defaults/index.ts';
import {
  asObject,
  isAbsent,
  listAt,
  objectAt,
  objectsAt,
  sameJson,
  type Json,
  type MutableJson,
} from '../../../lib/api/json.ts';
import type { KindInfo, Resource } from '../../../lib/api/kinds.ts';
import { validateStatusUpdate, validateUpdate } from '../../../lib/api/validation/index.ts';
import { ApiError, conflict, invalid } from '../../../lib/base/errors.ts';
import { metadataOf, type Change, type Core, type Current } from './core.ts';
import { endOf, isReadyToGo } from './ending.ts';
import { annotate, isTraced } from './tracing.ts';

type Kind = KindInfo & { readonly resource: Resource };

export function checkHasStatus(info: KindInfo): void {
  if (info.hasStatus) return;
  throw new ApiError('MethodNotAllowed', `${info.resource} have no status`, { resource: info.resource });
}

/** What a full replacement makes of the object; undefined when nothing. Throws Invalid, Conflict, BadRequest. */
export function nextObject(
  core: Core,
  info: Kind,
  current: Current,
  wanted: { readonly next: MutableJson; readonly traceparent: string | undefined },
): Change | undefined {
  const { resource } = info;
  const { next, traceparent } = wanted;
  const previous = current.object;
  keepMetadata(info, next, previous);
  if (info.hasStatus) {
    if (previous['status'] === undefined) delete next['status'];
    else next['status'] = previous['status'];
  }
  if (resource === 'services') dropOutgrown(next, previous);
  applyDefaults(resource, next);
  keepAssigned(resource, next, previous);
  if (resource === 'namespaces') keepNamespaceFinalizers(next, previous);
  if (specChanged(next, previous)) {
    const metadata = metadataOf(next);
    if (info.hasStatus) metadata['generation'] = Number(metadata['generation'] ?? 0) + 1;
    if (traceparent !== undefined && isTraced(resource)) annotate(next, traceparent, true);
  }
  const causes = validateUpdate(resource, next, previous);
  if (causes.length > 0) throw invalid(info.kind, nameOf(previous), causes);
  if (isReadyToGo(info, next)) return endOf(core, info, next);
  const { object, ops } = resource === 'services' ? core.claims.forService(next, previous) : { object: next, ops: [] };
  return sameJson(object, previous) ? undefined : { next: object, more: ops };
}

/** What a new status makes of the object: the status alone changes. */
export function nextStatus(core: Core, info: Kind, current: Current, object: Json): Change | undefined {
  const previous = current.object;
  checkIdentity(info, objectAt(object, 'metadata'), objectAt(previous, 'metadata'));
  const status = object['status'];
  if (isAbsent(status)) throw new ApiError('BadRequest', 'status is required: it is what this request replaces');
  const next: MutableJson = { ...previous, status };
  applyDefaults(info.resource, next);
  const causes = validateStatusUpdate(info.resource, next, previous);
  if (causes.length > 0) throw invalid(info.kind, nameOf(previous), causes);
  return sameJson(next, previous) ? undefined : { next };
}

const nameOf = (object: Json): string => String(objectAt(object, 'metadata')['name']);

/** Fields of the metadata that only the server writes: left out, they stay. */
const assigned = [
  'generateName',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

function keepMetadata(info: Kind, next: MutableJson, previous: Json): void {
  const before = objectAt(previous, 'metadata');
  const given = metadataOf(next);
  checkIdentity(info, given, before);
  const { name: _, resourceVersion: _revision, selfLink: _link, generation: _generation, ...rest } = given;
  const kept: MutableJson = { name: before['name'] };
  for (const field of assigned) {
    const value = isAbsent(rest[field]) || rest[field] === '' ? before[field] : rest[field];
    if (value !== undefined) kept[field] = value;
  }
  if (before['generation'] !== undefined) kept['generation'] = before['generation'];
  // Members in the order in which they were stored, so that what did not change reads the same.
  const ordered: MutableJson = {};
  for (const field of Object.keys(before)) {
    const value = kept[field] ?? rest[field];
    if (!isAbsent(value)) ordered[field] = value;
  }
  next['metadata'] = { ...ordered, ...rest, ...kept };
}

/** The request is about this object and this life of it. */
function checkIdentity(info: Kind, given: Json, before: Json): void {
  for (const field of ['name', 'namespace']) {
    const [said, is] = [given[field], before[field]];
    if (isAbsent(said) || said === '' || said === is) continue;
    throw new ApiError(
      'BadRequest',
      `metadata.${field} of the object (${JSON.stringify(said)}) does not match the request (${JSON.stringify(is ?? '')})`,
      { resource: info.resource, name: String(before['name']) },
    );
  }
  const uid = given['uid'];
  if (isAbsent(uid) || uid === '' || uid === before['uid']) return;
  throw conflict(
    info.resource,
    String(before['name']),
    `the object of this name is another one now: metadata.uid is ${JSON.stringify(before['uid'])}, not ${JSON.stringify(uid)}`,
  );
}

/** Whether anything changed that is neither metadata nor status. */
export function specChanged(next: Json, previous: Json): boolean {
  const fields = new Set([...Object.keys(next), ...Object.keys(previous)]);
  for (const field of ['metadata', 'status', 'apiVersion', 'kind']) fields.delete(field);
  return [...fields].some((field) => !sameJson(next[field], previous[field]));
}

/** What holds a namespace is added at its creation and only taken away while it ends. */
function keepNamespaceFinalizers(next: MutableJson, previous: Json): void {
  const held = listAt(objectAt(previous, 'spec'), 'finalizers');
  const ending = !isAbsent(objectAt(previous, 'metadata')['deletionTimestamp']);
  const wanted = listAt(asObject(next['spec']), 'finalizers');
  const finalizers = ending ? held.filter((finalizer) => wanted.includes(finalizer)) : held;
  const { finalizers: _, ...spec } = asObject(next['spec']);
  next['spec'] = finalizers.length === 0 ? spec : { ...spec, finalizers: [...finalizers] };
}

/**
 * A Service that changes its type need not say that it gives up what only the old type has: addresses when it becomes a mere
 * name, node ports when it is no longer reached by nodes. Only what is still as it was assigned is taken for meant so.
 */
function dropOutgrown(next: MutableJson, previous: Json): void {
  const [spec, before] = [asObject(next['spec']), objectAt(previous, 'spec')];
  const type = spec['type'];
  if (type === before['type'] || isAbsent(before['type'])) return;
  const kept: MutableJson = { ...spec };
  if (type === 'ExternalName' && sameJson(spec['clusterIP'], before['clusterIP'])) {
    delete kept['clusterIP'];
    delete kept['clusterIPs'];
  }
  if ((type === 'ClusterIP' || type === 'ExternalName') && Array.isArray(spec['ports'])) {
    const assigned = new Set(objectsAt(before, 'ports').map((port) => port['nodePort']));
    kept['ports'] = objectsAt(spec, 'ports').map(({ nodePort, ...port }) =>
      assigned.has(nodePort) ? port : { ...port, nodePort },
    );
  }
  next['spec'] = kept;
}
