import { fieldValue } from '../../../lib/api/fields.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { ApiObject, Labels } from '../../../lib/api/objects.ts';

/** What is known of an object without parsing it again: enough to file and to select it. */
export interface Indexed {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels | undefined;
  /** The values of `extractedFields` of the resource, in that order. */
  readonly fields: readonly string[];
}

/** Fields kept beside each object's bytes, so that selecting by them parses nothing. Others are parsed when asked for. */
const extracted: Readonly<Partial<Record<Resource, readonly string[]>>> = {
  pods: ['spec.nodeName', 'status.phase', 'spec.schedulerName', 'status.podIP'],
  events: [
    'involvedObject.uid',
    'involvedObject.name',
    'involvedObject.namespace',
    'involvedObject.kind',
    'reason',
    'type',
  ],
  services: ['spec.type', 'spec.clusterIP'],
};
/** Those of them under which objects are also filed: values that few objects share. */
const filed = new Set(['spec.nodeName', 'status.podIP', 'involvedObject.uid', 'involvedObject.name']);

const none: readonly string[] = [];
export const extractedFields = (resource: Resource): readonly string[] => extracted[resource] ?? none;
export const isFiled = (field: string): boolean => filed.has(field);

/** The node on which an object is, as the bus names its channel; undefined where that means nothing. */
export const nodeOf = (resource: Resource, indexed: Indexed): string | undefined =>
  resource === 'pods' ? indexed.fields[0] || undefined : undefined;

/** Texts and label sets of many objects are the same: kept once. Starts anew when full, which costs only sharing. */
const shared = new Map<string, string>();
const sharedLabels = new Map<string, Labels>();
const maxShared = 50_000;

function share(text: string): string {
  const known = shared.get(text);
  if (known !== undefined) return known;
  if (shared.size >= maxShared) shared.clear();
  shared.set(text, text);
  return text;
}

function shareLabels(labels: Labels | undefined): Labels | undefined {
  if (labels === undefined) return undefined;
  const text = JSON.stringify(labels);
  const known = sharedLabels.get(text);
  if (known !== undefined) return known;
  if (sharedLabels.size >= maxShared) sharedLabels.clear();
  const copy = Object.freeze({ ...labels });
  sharedLabels.set(text, copy);
  return copy;
}

export function indexObject(resource: Resource, object: ApiObject): Indexed {
  const { name, namespace = '', labels } = object.metadata;
  const fields = extracted[resource];
  return {
    name,
    namespace: share(namespace),
    labels: shareLabels(labels),
    fields: fields === undefined ? none : fields.map((field) => share(fieldValue(resource, object, field))),
  };
}

/**
 * What the registry knows about bytes that it has just made, so that they are not parsed again on their way through the
 * store to the cache. Bytes from elsewhere (history, another apiserver) are parsed.
 */
const known = new WeakMap<Uint8Array, Indexed>();

export function rememberIndexed(resource: Resource, stored: Uint8Array, object: ApiObject): void {
  known.set(stored, indexObject(resource, object));
}

export function indexedOf(resource: Resource, stored: Uint8Array): Indexed {
  return known.get(stored) ?? indexObject(resource, parseObject(stored));
}

export const parseObject = (bytes: Uint8Array): ApiObject =>
  JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as ApiObject;
