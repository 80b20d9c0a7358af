import { isAbsent, isObject, listAt, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import type { Resource } from '../kinds.ts';
import {
  annotationKey,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  labelValue,
  pathSegment,
  qualifiedName,
  type Check,
} from '../names.ts';
import { cleanupFinalizer } from '../custom/establish.ts';
import type { Findings } from './findings.ts';

/** All keys and values together. */
export const maxAnnotationBytes = 262_144;

const nameRules: Readonly<Partial<Record<Resource, Check>>> = {
  ...{ services: dns1035Label, namespaces: dnsLabel },
  // Such as system:node: they stand in paths alone.
  ...{ roles: pathSegment, rolebindings: pathSegment, clusterroles: pathSegment, clusterrolebindings: pathSegment },
};
/** How objects of a resource may be named. */
export const nameRule = (resource: Resource): Check => nameRules[resource] ?? dnsSubdomain;

/** The metadata that every object has. */
export function validateMetadata(
  found: Findings,
  { namespaced, named }: { readonly namespaced: boolean; readonly named: Check },
  object: Json,
): void {
  const metadata = objectAt(object, 'metadata');
  const name = textAt(metadata, 'name');
  const base = textAt(metadata, 'generateName');
  if (base !== '') found.check('metadata.generateName', base, (value) => named(asPrefix(value)));
  if (name === '') found.required('metadata.name', 'name or generateName is required');
  else found.check('metadata.name', name, named);

  const namespace = textAt(metadata, 'namespace');
  if (namespaced) found.checkRequired('metadata.namespace', namespace, dnsLabel);
  else if (namespace !== '') found.forbidden('metadata.namespace', 'not allowed on this type');

  found.range('metadata.generation', metadata['generation'], 0);
  validateLabels(found, 'metadata.labels', metadata['labels']);
  validateAnnotations(found, 'metadata.annotations', metadata['annotations']);
  validateFinalizers(found, listAt(metadata, 'finalizers'));
  validateOwners(found, objectsAt(metadata, 'ownerReferences'));
}

/** A base ends where the random part goes on, so that `web-` is judged as if a letter followed. */
const asPrefix = (base: string): string => {
  const cut = base.slice(0, 58);
  return cut.endsWith('-') || cut.endsWith('.') ? `${cut}x` : cut;
};

export function validateLabels(found: Findings, field: string, labels: unknown): void {
  if (!isObject(labels)) return;
  for (const [key, value] of Object.entries(labels)) {
    found.check(field, key, (each) => qualifiedRule('label key', qualifiedName(each)));
    if (typeof value === 'string') found.check(field, value, (each) => labelRule(key, labelValue(each)));
  }
}
/** A selector with operators, as newer kinds of Kubernetes v1 have it. */
export function validateLabelSelector(found: Findings, field: string, selector: unknown): void {
  if (!isObject(selector)) return;
  validateLabels(found, `${field}.matchLabels`, selector['matchLabels']);
  objectsAt(selector, 'matchExpressions').forEach((each, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    found.check(`${at}.key`, textAt(each, 'key'), (key) => qualifiedRule('label key', qualifiedName(key)));
    found.oneOf(`${at}.operator`, each['operator'], ['In', 'NotIn', 'Exists', 'DoesNotExist']);
    const takesValues = each['operator'] === 'In' || each['operator'] === 'NotIn';
    const count = listAt(each, 'values').length;
    if (takesValues && count === 0) found.required(`${at}.values`, 'must name a value for `In` and `NotIn`');
    if (!takesValues && count > 0) found.forbidden(`${at}.values`, 'only `In` and `NotIn` take values');
  });
}

const qualifiedRule = (what: string, wrong: string | undefined): string | undefined =>
  wrong === undefined ? undefined : `${what} ${wrong}`;
const labelRule = (key: string, wrong: string | undefined): string | undefined =>
  wrong === undefined ? undefined : `value of label ${JSON.stringify(key.slice(0, 320))} ${wrong}`;

export function validateAnnotations(found: Findings, field: string, annotations: unknown): void {
  if (!isObject(annotations)) return;
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    found.check(field, key, (each) => qualifiedRule('annotation key', annotationKey(each)));
    bytes += Buffer.byteLength(key) + (typeof value === 'string' ? Buffer.byteLength(value) : 0);
  }
  if (bytes > maxAnnotationBytes) found.tooLong(field, maxAnnotationBytes, bytes);
}

/** Those without a prefix belong to the API itself. */
const standardFinalizers = ['orphan', 'foregroundDeletion', 'kubernetes', cleanupFinalizer];

function validateFinalizers(found: Findings, finalizers: readonly unknown[]): void {
  finalizers.forEach((finalizer, index) => {
    if (typeof finalizer !== 'string') return;
    const field = `metadata.finalizers[${index}]`;
    found.check(field, finalizer, finalizerRule);
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    found.invalid('metadata.finalizers', finalizers, 'must not hold both orphan and foregroundDeletion');
}

export const finalizerRule: Check = (value) =>
  qualifiedName(value) ??
  (value.includes('/') || standardFinalizers.includes(value)
    ? undefined
    : `must have a prefix, such as 'example.com/${value}', or be one of ${standardFinalizers.join(', ')}`);

function validateOwners(found: Findings, owners: readonly Json[]): void {
  owners.forEach((owner, index) => {
    const field = `metadata.ownerReferences[${index}]`;
    for (const part of ['apiVersion', 'kind', 'name', 'uid'])
      if (textAt(owner, part) === '') found.required(`${field}.${part}`);
    if (textAt(owner, 'kind') === 'Event') found.invalid(field, owner['kind'], 'an Event may not own anything');
  });
  const controllers = owners.filter((owner) => owner['controller'] === true).map((owner) => textAt(owner, 'name'));
  if (controllers.length > 1)
    found.invalid('metadata.ownerReferences', controllers, 'only one reference may have controller set to true');
}

const fixed = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'];

/** What an update may not change. A fixed field that the new object leaves out counts as unchanged. */
export function validateMetadataUpdate(found: Findings, next: Json, previous: Json): void {
  const [metadata, before] = [objectAt(next, 'metadata'), objectAt(previous, 'metadata')];
  for (const field of fixed) {
    if (isAbsent(metadata[field]) || sameJson(metadata[field], before[field] ?? undefined)) continue;
    found.invalid(`metadata.${field}`, metadata[field], 'field is immutable');
  }
  const [generation, old] = [metadata['generation'], before['generation']];
  if (typeof generation === 'number' && typeof old === 'number' && generation < old)
    found.invalid('metadata.generation', generation, `must not be lowered (it is ${old})`);
  if (isAbsent(before['deletionTimestamp'])) return;
  const had = listAt(before, 'finalizers');
  const added = listAt(metadata, 'finalizers').filter((finalizer) => !had.includes(finalizer));
  if (added.length > 0)
    found.forbidden(
      'metadata.finalizers',
      `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
    );
}

/** Reports a field that differs from what is stored. */
export function immutable(found: Findings, field: string, next: unknown, previous: unknown): void {
  if (!sameJson(next ?? undefined, previous ?? undefined)) found.invalid(field, next ?? null, 'field is immutable');
}
