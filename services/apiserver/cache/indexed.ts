import { fieldValue } from '../../../lib/api/fields.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import { resources, type Resource } from '../../../lib/api/kinds.ts';
import type { ApiObject, Labels } from '../../../lib/api/objects.ts';
import { peek, wantedPaths, type Wanted } from './peek.ts';

/** What is known of an object without parsing it again: enough to file and to select it. */
export interface Indexed {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels | undefined;
  /** Whether its deletion has been asked for. */
  readonly deleting: boolean;
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

/** The labels of a JSON text; the empty text stands for none. */
function shareLabels(text: string): Labels | undefined {
  if (text === '' || text === '{}') return undefined;
  const known = sharedLabels.get(text);
  if (known !== undefined) return known;
  if (sharedLabels.size >= maxShared) sharedLabels.clear();
  const labels = Object.freeze(JSON.parse(text) as Labels);
  sharedLabels.set(text, labels);
  return labels;
}

export function indexObject(resource: Resource, object: ApiObject): Indexed {
  const { name, namespace = '', labels, deletionTimestamp } = object.metadata;
  const fields = extracted[resource];
  return {
    name,
    namespace: share(namespace),
    labels: labels === undefined ? undefined : shareLabels(JSON.stringify(labels)),
    deleting: deletionTimestamp !== undefined,
    fields: fields === undefined ? none : fields.map((field) => share(fieldValue(resource, object, field))),
  };
}

const metadataPaths = ['metadata.labels', 'metadata.deletionTimestamp'];
const ofMetadata = wantedPaths(metadataPaths);
const wanted = new Map<Resource, readonly Wanted[]>(
  resources.map((resource) => [resource, wantedPaths([...metadataPaths, ...extractedFields(resource)])]),
);

/** The same as `indexObject`, from the bytes. Extracted fields are texts, for which nothing and '' are the same. */
export function indexBytes(resource: Resource, key: Key, bytes: Uint8Array): Indexed {
  const { namespace = '', name } = splitKey(key);
  const fields = extractedFields(resource);
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [labels = '', deletionTimestamp, ...values] = peek(json, wanted.get(resource) ?? ofMetadata, fields.length + 2);
  return {
    name,
    namespace: share(namespace),
    labels: shareLabels(labels),
    deleting: deletionTimestamp !== '',
    fields: fields.length === 0 ? none : values.map(share),
  };
}

/**
 * What the registry knows about bytes that it has just made, so that they are not parsed again on their way through the
 * store to the cache. Into bytes from elsewhere (history, another apiserver) one look is taken.
 */
const known = new WeakMap<Uint8Array, Indexed>();

export function rememberIndexed(resource: Resource, stored: Uint8Array, object: ApiObject): void {
  known.set(stored, indexObject(resource, object));
}

export function indexedOf(resource: Resource, key: Key, stored: Uint8Array): Indexed {
  return known.get(stored) ?? indexBytes(resource, key, stored);
}

export const parseObject = (bytes: Uint8Array): ApiObject =>
  JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as ApiObject;
