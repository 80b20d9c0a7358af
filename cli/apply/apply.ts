import { hasReason } from '../../lib/base/errors.ts';
import { asObject, isObject, objectAt, sameJson, textAt, type Json } from '../../lib/api/json.ts';
import { makeKey } from '../../lib/api/keys.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import { mergePatchBetween } from '../../lib/api/patch/merge.ts';
import type { Client, Draft, WriteOptions } from '../../lib/client/client.ts';
import { kindInfo } from '../kinds.ts';
import type { ManifestObject } from '../manifest.ts';
import { threeWayMerge } from './merge.ts';

/** Where the manifest that was applied last is kept, so that what it no longer says can be told from what others set. */
export const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';

export interface Applied {
  readonly result: 'created' | 'configured' | 'unchanged';
  readonly object: Json;
}

/** `client`: nothing is sent that could change anything. `server`: the server checks all of it and stores nothing. */
export type DryRun = 'client' | 'server';

export interface ApplyOptions {
  readonly namespace: string;
  readonly dryRun: DryRun | undefined;
  readonly write: WriteOptions;
}

const attempts = 5;

/**
 * Brings one object to what its manifest says: creates it, or changes what differs and nothing else. A second call
 * finds nothing to do. Rejects with ApiError; a change by someone else at the same time is read and merged again.
 */
export async function applyObject(client: Client, item: ManifestObject, options: ApplyOptions): Promise<Applied> {
  const { resource } = item;
  const manifest = declared(item, options.namespace);
  const desired = withLastApplied(manifest);
  const key = makeKey(textAt(objectAt(manifest, 'metadata'), 'namespace'), item.name);
  for (let attempt = 1; ; attempt++) {
    const current: unknown = await client.get(resource, key, options.write);
    try {
      if (!isObject(current)) {
        if (options.dryRun === 'client') return { result: 'created', object: desired };
        return { result: 'created', object: asObject(await client.create(resource, draftOf(desired), options.write)) };
      }
      const patch = changeFor(desired, current);
      if (patch === undefined) return { result: 'unchanged', object: current };
      if (options.dryRun === 'client') return { result: 'configured', object: desired };
      const object = asObject(await client.patch(resource, key, conditional(patch, current), options.write));
      return { result: sameDeclaration(object, current) ? 'unchanged' : 'configured', object };
    } catch (error) {
      // Someone created, changed or removed it since we looked: look again.
      const raced =
        hasReason(error, 'AlreadyExists', 'Conflict') || (isObject(current) && hasReason(error, 'NotFound'));
      if (!raced || attempt === attempts) throw error;
    }
  }
}

/** The merge patch from `current` to what `desired` asks for; undefined when nothing differs. */
export function changeFor(desired: Json, current: Json): Json | undefined {
  const merged = threeWayMerge(lastAppliedOf(current), desired, current);
  return sameJson(merged, current) ? undefined : asObject(mergePatchBetween(current, merged, current));
}

/** What was applied last; empty when the object was made another way, or the record cannot be read. */
function lastAppliedOf(current: Json): Json {
  const record = objectAt(objectAt(current, 'metadata'), 'annotations')[lastAppliedAnnotation];
  if (typeof record !== 'string') return {};
  try {
    return asObject(JSON.parse(record));
  } catch {
    return {}; // a person may have edited the annotation: nothing is removed then, which loses nothing
  }
}

/**
 * What the manifest declares: with its namespace, and without what only the server writes, so that the output of `get -o yaml`
 * can be kept and applied again, also after the object was deleted.
 */
function declared({ resource, object, namespace }: ManifestObject, fallback: string): Json {
  const { status: _, ...rest } = object;
  const metadata = Object.fromEntries(
    Object.entries(objectAt(object, 'metadata')).filter(([field]) => !serverFields.has(field)),
  );
  const scope = kindInfo(resource).namespaced ? { namespace: namespace ?? fallback } : {};
  return { ...rest, metadata: { ...metadata, ...scope } };
}

const serverFields: ReadonlySet<string> = new Set([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'managedFields',
]);

function withLastApplied(manifest: Json): Json {
  const metadata = objectAt(manifest, 'metadata');
  const { [lastAppliedAnnotation]: _, ...annotations } = objectAt(metadata, 'annotations');
  const record = JSON.stringify({ ...manifest, metadata: { ...metadata, annotations } }) + '\n';
  return { ...manifest, metadata: { ...metadata, annotations: { ...annotations, [lastAppliedAnnotation]: record } } };
}

const conditional = (patch: Json, current: Json): object => ({
  ...patch,
  metadata: { ...objectAt(patch, 'metadata'), resourceVersion: revisionOf(current) },
});

/** Whether a write changed nothing, such as a quantity spelled another way. A dry run's result has no revision of its own. */
function sameDeclaration(after: Json, before: Json): boolean {
  const compared = (object: Json): Json => {
    const { resourceVersion: _, generation: _g, ...metadata } = objectAt(object, 'metadata');
    return { ...object, metadata };
  };
  return sameJson(compared(after), compared(before));
}

const revisionOf = (object: Json): string => textAt(objectAt(object, 'metadata'), 'resourceVersion');
/** The server judges the shape, with a better message than any check here could give. */
const draftOf = <R extends Resource>(object: Json): Draft<Objects[R]> => object as unknown as Draft<Objects[R]>;

/** What others need first: a kind before its objects, a namespace before what lives in it, a Service before pods whose environment names it. */
const order: readonly (readonly Resource[])[] = [
  ['customresourcedefinitions'],
  ['namespaces', 'storageclasses', 'priorityclasses', 'clusterroles'],
  [
    'resourcequotas',
    'limitranges',
    'roles',
    'configmaps',
    'secrets',
    'serviceaccounts',
    'persistentvolumes',
    'persistentvolumeclaims',
  ],
  ['services', 'endpoints'],
];

/** The objects in groups to be applied one after the other; within a group the order does not matter and is kept. */
export function inOrder(items: readonly ManifestObject[]): ManifestObject[][] {
  const rank = (resource: Resource): number => {
    const found = order.findIndex((group) => group.includes(resource));
    return found < 0 ? order.length : found;
  };
  return Array.from({ length: order.length + 1 }, (_, n) => items.filter((item) => rank(item.resource) === n)).filter(
    (group) => group.length > 0,
  );
}
