import { isAbsent, listAt, numberAt, objectAt, textAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import type { Key } from '../../../lib/api/keys.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { ApiError, conflict, hasReason } from '../../../lib/base/errors.ts';
import { selecting } from '../cache/selecting.ts';
import { selectableIn } from './selectable.ts';
import { kindOf, metadataOf, rewrite, type Change, type Core, type Current } from './core.ts';
import { establish, releasedIfEmpty } from './definitions.ts';
import { endOf, isReadyToGo } from './ending.ts';
import type { Kind } from './kinds.ts';
import type { DeleteOptions, Selection, WriteOptions, Written } from './registry.ts';

/** Namespaces that the cluster cannot do without. */
export const lastingNamespaces = ['default', 'kube-system', 'kube-node-lease'] as const;
const undeletable: readonly string[] = ['default', 'kube-system'];

/** How much longer a pod may run when neither the request nor its spec says. */
const defaultGraceSeconds = 30;
const concurrentDeletions = 64;

/**
 * `Registry.delete`. An object goes at once unless something holds it: the grace period of a pod that runs on a node, or
 * finalizers. Then it gets its deletionTimestamp, and goes with the last of them. Asking again may only shorten the grace.
 */
export async function deleteObject(
  core: Core,
  resourceName: string,
  key: Key,
  options: WriteOptions & DeleteOptions,
): Promise<Written & { readonly gone: boolean }> {
  const info = await kindOf(core, resourceName);
  if (info.resource === 'namespaces' && undeletable.includes(key)) {
    throw new ApiError('Forbidden', `namespaces "${key}" is forbidden: this namespace may not be deleted`, {
      resource: 'namespaces',
      name: key,
    });
  }
  return rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      checkDeletion(info, current, options);
      return nextOnDelete(core, info, current.object, options);
    },
    options,
  );
}

/** `Registry.deleteCollection`: what matches when the call begins; what is gone by then counts as deleted by another. */
export async function deleteCollection(
  core: Core,
  resourceName: string,
  selection: Selection,
  options: WriteOptions & DeleteOptions,
): Promise<number> {
  const info = await kindOf(core, resourceName);
  await core.cache.fresh();
  const { entries } = core.cache
    .filing(info.resource)
    .select(selecting(info.resource, selection, selectableIn(info)), '', Infinity);
  const keys = entries.map((entry) => entry.key);
  let deleted = 0;
  const worker = async (): Promise<void> => {
    for (let key = keys.shift(); key !== undefined; key = keys.shift()) {
      try {
        await deleteObject(core, info.resource, key, options);
        deleted++;
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrentDeletions, keys.length) }, worker));
  return deleted;
}

/** Whether the options can be met as things stand. BadRequest, Conflict. */
export function checkDeletion(info: Kind, current: Current, options: DeleteOptions): void {
  checkGrace(options);
  checkPreconditions(info, current, options);
}

function checkGrace({ gracePeriodSeconds }: DeleteOptions): void {
  if (gracePeriodSeconds === undefined || (Number.isInteger(gracePeriodSeconds) && gracePeriodSeconds >= 0)) return;
  throw new ApiError(
    'BadRequest',
    `gracePeriodSeconds ${gracePeriodSeconds} must be a whole number of seconds, 0 or more`,
  );
}

function checkPreconditions(info: Kind, current: Current, { preconditions }: DeleteOptions): void {
  if (preconditions === undefined) return;
  const metadata = objectAt(current.object, 'metadata');
  const name = textAt(metadata, 'name');
  const { uid, resourceVersion } = preconditions;
  if (uid !== undefined && uid !== '' && uid !== metadata['uid']) {
    throw conflict(
      info.resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${textAt(metadata, 'uid')}`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== String(current.revision)) {
    throw conflict(
      info.resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${current.revision}`,
    );
  }
}

/** What a request for deletion makes of an object; undefined when it changes nothing any more. */
export function nextOnDelete(core: Core, info: Kind, object: MutableJson, options: DeleteOptions): Change | undefined {
  const finalizers = propagated(info, object, options.propagationPolicy);
  let next = withFinalizers(object, finalizers);
  const changed = JSON.stringify(finalizers) !== JSON.stringify(listAt(objectAt(object, 'metadata'), 'finalizers'));
  const marked = mark(core, info, next, options);
  if (info.resource === 'customresourcedefinitions') {
    next = releasedIfEmpty(core, next);
    establish(core, next);
  }
  if (isReadyToGo(info, next)) return endOf(core, info, next);
  return marked || changed ? { next } : undefined;
}

/** Sets the deletion times, or brings them forward. False when they stay as they are. */
function mark(core: Core, info: Kind, next: MutableJson, options: DeleteOptions): boolean {
  const metadata = metadataOf(next);
  const grace = info.resource === 'pods' ? graceOf(next, options) : 0;
  const before = metadata['deletionTimestamp'];
  if (typeof before !== 'string') {
    metadata['deletionTimestamp'] = rfc3339(core.clock.now() + grace * 1000);
    metadata['deletionGracePeriodSeconds'] = grace;
    if (info.hasStatus) metadata['generation'] = Number(metadata['generation'] ?? 0) + 1;
    if (info.resource === 'namespaces') next['status'] = { ...objectAt(next, 'status'), phase: 'Terminating' };
    return true;
  }
  const running = numberAt(metadata, 'deletionGracePeriodSeconds') ?? 0;
  // Asked a second time without a wish, the first answer stands; a wish can only make it sooner.
  const wanted = options.gracePeriodSeconds ?? (grace === 0 ? 0 : running);
  if (wanted >= running) return false;
  metadata['deletionTimestamp'] = rfc3339(Date.parse(before) + (wanted - running) * 1000);
  metadata['deletionGracePeriodSeconds'] = wanted;
  return true;
}

/** Nobody has to stop a pod that is on no node, or has ended: it gets no grace. */
function graceOf(pod: Json, { gracePeriodSeconds }: DeleteOptions): number {
  const spec = objectAt(pod, 'spec');
  const phase = textAt(objectAt(pod, 'status'), 'phase');
  if (textAt(spec, 'nodeName') === '' || phase === 'Succeeded' || phase === 'Failed') return 0;
  const grace = gracePeriodSeconds ?? numberAt(spec, 'terminationGracePeriodSeconds') ?? defaultGraceSeconds;
  return Math.max(0, grace);
}

/**
 * How the object waits for its dependents: `orphan` until the garbage collector has set them free,
 * `foregroundDeletion` until it has deleted them; in the background they follow when the owner is gone. A
 * ReplicationController leaves its pods running unless the request says otherwise (F107); an earlier wish stands until another comes.
 */
function propagated(info: Kind, object: Json, policy: DeleteOptions['propagationPolicy']): readonly unknown[] {
  const finalizers = listAt(objectAt(object, 'metadata'), 'finalizers');
  const others = finalizers.filter((finalizer) => finalizer !== 'orphan' && finalizer !== 'foregroundDeletion');
  switch (policy) {
    case 'Orphan':
      return [...others, 'orphan'];
    case 'Foreground':
      return [...others, 'foregroundDeletion'];
    case 'Background':
      return others;
    case undefined: {
      const decided = others.length < finalizers.length || !isAbsent(objectAt(object, 'metadata')['deletionTimestamp']);
      return decided || info.resource !== 'replicationcontrollers' ? finalizers : [...others, 'orphan'];
    }
  }
}

function withFinalizers(object: MutableJson, finalizers: readonly unknown[]): MutableJson {
  const { finalizers: _, ...metadata } = objectAt(object, 'metadata');
  return { ...object, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
}
