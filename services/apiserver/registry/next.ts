import { applyDefaults, dropCarried, keepAssigned } from '../../../lib/api/defaults/index.ts';
import type { Hand } from '../../../lib/api/apply/managers.ts';
import { asObject, isAbsent, listAt, objectAt, sameJson, type Json, type MutableJson } from '../../../lib/api/json.ts';
import type { KindInfo } from '../../../lib/api/kinds.ts';
import { validateStatusUpdate, validateUpdate } from '../../../lib/api/validation/index.ts';
import { ApiError, conflict, invalid, type FieldCause } from '../../../lib/base/errors.ts';
import { metadataOf, type Change, type Core, type Current } from './core.ts';
import { checkLimits } from './bounds/limit-ranges.ts';
import { checkOnlyDefault } from './bounds/priority.ts';
import { defaultCustomObject, validateCustom } from './custom.ts';
import { checkRules, establish } from './definitions.ts';
import type { StoreOp } from '../store/store.ts';
import { endOf, isReadyToGo } from './ending.ts';
import type { Kind } from './kinds.ts';
import { trackManagers } from './managing.ts';
import { annotate, isTraced } from './tracing.ts';

export function checkHasStatus(info: KindInfo): void {
  if (info.hasStatus) return;
  throw new ApiError('MethodNotAllowed', `${info.resource} have no status`, { resource: info.resource });
}

/** What a full replacement makes of the object; undefined when nothing. Throws Invalid, Conflict, BadRequest. */
export function nextObject(
  core: Core,
  info: Kind,
  current: Current,
  wanted: {
    readonly next: MutableJson;
    readonly traceparent: string | undefined;
    /** In whose name; absent where the managers in `next` are right already. */
    readonly hand?: Hand;
    /** The rules for what has changed; default: those of an update. */
    readonly validate?: (next: Json, previous: Json) => readonly FieldCause[];
  },
): Change | undefined {
  const { resource } = info;
  const { next, traceparent } = wanted;
  const previous = current.object;
  keepMetadata(info, next, previous);
  if (info.hasStatus) {
    if (previous['status'] === undefined) delete next['status'];
    else next['status'] = previous['status'];
  }
  if (info.at !== undefined) defaultCustomObject(info, next);
  else {
    dropCarried(resource, next, previous);
    applyDefaults(info.resource, next);
    keepAssigned(resource, next, previous);
  }
  if (resource === 'namespaces') keepNamespaceFinalizers(next, previous);
  if (specChanged(next, previous, info)) {
    const metadata = metadataOf(next);
    if (isCounted(info)) metadata['generation'] = Number(metadata['generation'] ?? 0) + 1;
    if (traceparent !== undefined && isTraced(resource)) annotate(next, traceparent, true);
  }
  if (wanted.hand !== undefined) trackManagers(info, wanted.hand, next, previous);
  const validate = wanted.validate ?? rulesOf(info);
  const causes = validate(next, previous);
  if (causes.length > 0) throw invalid(info.kind, nameOf(previous), causes);
  if (isReadyToGo(info, next)) return endOf(core, info, next);
  if (info.resource === 'persistentvolumeclaims' && specChanged(next, previous, info)) checkLimits(core, info, next);
  if (info.resource === 'priorityclasses') checkOnlyDefault(core, next);
  const { object, ops } = withClaims(core, info, next, previous);
  return sameJson(object, previous) ? undefined : { next: object, more: ops };
}

const rulesOf =
  (info: Kind) =>
  (next: Json, previous: Json): readonly FieldCause[] =>
    info.at === undefined
      ? checkRules(info, next, validateUpdate(info.resource, next, previous))
      : validateCustom(info, next, previous);

function withClaims(
  core: Core,
  info: Kind,
  next: MutableJson,
  previous: Json,
): { readonly object: Json; readonly ops: readonly StoreOp[] } {
  if (info.resource === 'services') return core.claims.forService(next, previous);
  if (info.resource === 'customresourcedefinitions') return { object: next, ops: establish(core, next) };
  return { object: next, ops: [] };
}

/** What a new status makes of the object: the status alone changes. */
export function nextStatus(
  core: Core,
  info: Kind,
  current: Current,
  { object, hand }: { readonly object: Json; readonly hand?: Hand },
): Change | undefined {
  const previous = current.object;
  checkIdentity(info, objectAt(object, 'metadata'), objectAt(previous, 'metadata'));
  const status = object['status'];
  if (isAbsent(status)) throw new ApiError('BadRequest', 'status is required: it is what this request replaces');
  const next: MutableJson = { ...previous, metadata: { ...objectAt(previous, 'metadata') }, status };
  if (info.at === undefined) applyDefaults(info.resource, next);
  else defaultCustomObject(info, next);
  if (hand !== undefined) trackManagers(info, hand, next, previous);
  else metadataOf(next)['managedFields'] = objectAt(object, 'metadata')['managedFields'];
  const causes =
    info.at === undefined
      ? validateStatusUpdate(info.resource, next, previous)
      : validateCustom(info, next, undefined, previous);
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
    const isKept = isAbsent(rest[field]) || rest[field] === '' || isSameTime(rest[field], before[field]);
    const value = isKept ? before[field] : rest[field];
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

/** Client libraries read times into their own form and may write them with milliseconds, or from another zone. */
const isSameTime = (given: unknown, before: unknown): boolean =>
  typeof given === 'string' &&
  typeof before === 'string' &&
  /^\d{4}-\d\d-\d\dT/.test(before) &&
  Date.parse(given) === Date.parse(before);

/** The request is about this object and this life of it. */
export function checkIdentity(info: Kind, given: Json, before: Json): void {
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

/** Whether changes of an object are counted in its generation. */
export const isCounted = (info: Kind): boolean => info.hasStatus || info.at !== undefined;

/** Whether anything changed that is neither metadata nor a status with a verb of its own. */
export function specChanged(next: Json, previous: Json, info: KindInfo): boolean {
  const fields = new Set([...Object.keys(next), ...Object.keys(previous)]);
  for (const field of ['metadata', 'apiVersion', 'kind']) fields.delete(field);
  if (info.hasStatus) fields.delete('status');
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
