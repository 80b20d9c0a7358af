import { applyDefaults } from '../../../lib/api/defaults/index.ts';
import { gatedCondition } from '../../../lib/api/gates.ts';
import { isAbsent, listAt, objectAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import type { ApiObject, PodCondition } from '../../../lib/api/objects.ts';
import { withCondition } from '../../../lib/api/pods.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import type { KindInfo, Resource } from '../../../lib/api/kinds.ts';
import { claimProtection, volumeProtection } from '../../../lib/api/storage.ts';
import { validateCreate } from '../../../lib/api/validation/index.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { alreadyExists, ApiError, invalid, notFound } from '../../../lib/base/errors.ts';
import { storeKeyOf } from '../cache/cache.ts';
import { parseObject } from '../cache/indexed.ts';
import { admitPod } from '../identity/admission.ts';
import { StoreConflict, type StoreOp } from '../store/store.ts';
import { ensureGiven, givenOps } from './accounts.ts';
import { checkLimits, limitNewPod } from './bounds/limit-ranges.ts';
import { checkOnlyDefault, prioritize } from './bounds/priority.ts';
import { kindFor, metadataOf, storedForm, writtenObject, type Core } from './core.ts';
import { defaultCustomObject, validateCustom } from './custom.ts';
import { checkMayMake, checkRules, establish, holdDefinition } from './definitions.ts';
import { nameIn, readDraft } from './drafts.ts';
import type { Kind } from './kinds.ts';
import { isCounted } from './next.ts';
import { generatedName, maxNameTries } from './names.ts';
import type { WriteOptions, Written } from './registry.ts';
import { annotate, isTraced } from './tracing.ts';

/**
 * `Registry.create`. AlreadyExists when the name is taken; NotFound or Forbidden when the namespace is not there or is being deleted;
 * Invalid with every rule that is broken.
 */
export async function create(
  core: Core,
  resourceName: string,
  namespace: string | undefined,
  input: { readonly draft: unknown; readonly options: WriteOptions },
): Promise<Written> {
  const info = await kindFor(core, resourceName, input.draft, input.options);
  const { object, warnings } = readDraft(info, input.draft, input.options);
  await core.cache.fresh();
  checkMayMake(core, info);
  const draft = {
    info,
    object,
    namespace: placeOf(info, object, namespace),
    traceparent: input.options.traceparent,
  };
  const base = baseOf(object);
  if (draft.namespace !== undefined) checkNamespace(core, draft.namespace, info, nameIn(object));
  if (info.resource === 'pods' && input.options.dryRun !== true) await ensureGiven(core, draft.namespace ?? '');
  prepare(core, draft);

  for (let attempt = 0; ; attempt++) {
    if (base !== undefined) metadataOf(object)['name'] = generatedName(base, core.random);
    const name = nameIn(object);
    // A generated name is valid when its base is, and that has been seen the first time.
    if (attempt === 0) check(core, info, object);
    const claimed = withClaims(core, info, object);
    const stored = storedForm(info.resource, claimed.object);
    const bounded = { info, next: claimed.object, dryRun: input.options.dryRun === true };
    if (input.options.dryRun === true) {
      if (isTaken(core, info.resource, draft.namespace, name)) throw alreadyExists(info.resource, name);
      await core.quotas.commit([], bounded);
      return { served: { json: stored, revision: 0 }, object: claimed.object as unknown as ApiObject, warnings };
    }
    const key = storeKeyOf(info.resource, makeKey(draft.namespace, name));
    const more = info.resource === 'namespaces' ? givenOps(core, name) : claimed.ops;
    const ops: StoreOp[] = [{ key, value: stored, ifRevision: 0 }, ...more];
    try {
      return writtenObject(stored, claimed.object, await core.quotas.commit(ops, bounded), warnings);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      const isNameTaken = error.index === 0 && base === undefined;
      if (attempt + 1 >= maxNameTries || isNameTaken) throw alreadyExists(info.resource, name);
      await core.cache.fresh(); // an address was taken by another Service, or the name: choose again
    }
  }
}

function withClaims(
  core: Core,
  info: Kind,
  object: MutableJson,
): { readonly object: Json; readonly ops: readonly StoreOp[] } {
  if (info.resource === 'services') return core.claims.forService(object, undefined);
  if (info.resource === 'customresourcedefinitions') return { object, ops: establish(core, object) };
  return { object, ops: [] };
}

interface Placed {
  readonly info: Kind;
  readonly object: MutableJson;
  readonly namespace: string | undefined;
  readonly traceparent: string | undefined;
}

/** What the name is to begin with; undefined when the object has a name, or neither. */
function baseOf(object: MutableJson): string | undefined {
  const { name, generateName } = metadataOf(object);
  if (!isAbsent(name) && name !== '') return undefined;
  return typeof generateName === 'string' && generateName !== '' ? generateName : undefined;
}

/** The namespace of the request and that of the object must agree; without either it is `default`. */
function placeOf(info: KindInfo, object: MutableJson, requested: string | undefined): string | undefined {
  const own = metadataOf(object)['namespace'];
  const said = typeof own === 'string' && own !== '' ? own : undefined;
  if (!info.namespaced) return undefined;
  if (requested !== undefined && said !== undefined && requested !== said) {
    throw new ApiError(
      'BadRequest',
      `the namespace of the object (${said}) does not match the namespace of the request (${requested})`,
    );
  }
  return requested ?? said ?? 'default';
}

/** Nothing is made in a namespace that is not there or is on its way out. */
export function checkNamespace(core: Core, namespace: string, info: KindInfo, name: string): void {
  const entry = core.cache.get('namespaces', namespace);
  if (entry === undefined) throw notFound('namespaces', namespace);
  if (!entry.indexed.deleting) return;
  throw new ApiError(
    'Forbidden',
    `${info.resource} "${name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
    { resource: info.resource, name },
  );
}

const serverOwned = [
  'uid',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'resourceVersion',
];

/** Fills in what only the server knows, and the defaults. */
function prepare(core: Core, { info, object, namespace, traceparent }: Placed): void {
  const given = metadataOf(object);
  if (!isAbsent(given['resourceVersion']) && given['resourceVersion'] !== '') {
    throw new ApiError('BadRequest', 'metadata.resourceVersion must not be set on an object to be created', {
      resource: info.resource,
      name: nameIn(object),
    });
  }
  for (const field of serverOwned) delete given[field];
  const { name = '', generateName, namespace: own, ...rest } = given;
  object['metadata'] = {
    name,
    ...(isAbsent(generateName) || generateName === '' ? {} : { generateName }),
    ...(namespace === undefined ? (isAbsent(own) || own === '' ? {} : { namespace: own }) : { namespace }),
    uid: core.uuid(),
    ...(isCounted(info) ? { generation: 1 } : {}),
    creationTimestamp: rfc3339(core.clock.now()),
    ...rest,
  };
  if (info.resource === 'customresourcedefinitions') holdDefinition(object);
  protect(info.resource, object);
  // A node registers with what it found on its machine; all other statuses are for their one writer to say.
  if (info.hasStatus && info.resource !== 'nodes') delete object['status'];
  if (traceparent !== undefined && isTraced(info.resource)) annotate(object, traceparent, false);
  if (info.resource === 'pods') admit(core, object, namespace ?? '');
  if (info.at === undefined) applyDefaults(info.resource, object);
  else defaultCustomObject(info, object);
  if (info.resource !== 'pods') return;
  prioritize(core, object);
  limitNewPod(core, object, namespace ?? '');
  tellGates(core, object);
}

/** A pod with gates says from its first moment why it has no node, whichever scheduler it waits for. */
function tellGates(core: Core, pod: MutableJson): void {
  if (listAt(objectAt(pod, 'spec'), 'schedulingGates').length === 0) return;
  const conditions = withCondition<PodCondition>(undefined, gatedCondition, core.clock.now());
  pod['status'] = { ...objectAt(pod, 'status'), conditions };
}

function admit(core: Core, pod: MutableJson, namespace: string): void {
  admitPod(pod, {
    reachable: core.reachable,
    hasRoot: core.rootCertificate !== undefined,
    random: core.random,
    account(name) {
      const entry = core.cache.get('serviceaccounts', makeKey(namespace, name));
      return entry === undefined ? undefined : accountOf(entry.json);
    },
  });
}

/** Most pods of a namespace have the same account: it is parsed once. Nobody changes it. */
const accounts = new WeakMap<Buffer, Json>();

function accountOf(json: Buffer): Json {
  let account = accounts.get(json);
  if (account === undefined) accounts.set(json, (account = parseObject(json) as unknown as Json));
  return account;
}

/** What is in use must not go: from its first moment it is held until its controller says that nobody uses it. */
const protections: Readonly<Partial<Record<Resource, string>>> = {
  persistentvolumes: volumeProtection,
  persistentvolumeclaims: claimProtection,
};

function protect(resource: Resource, object: MutableJson): void {
  const finalizer = protections[resource];
  if (finalizer === undefined) return;
  const metadata = metadataOf(object);
  const given = listAt(metadata, 'finalizers');
  if (!given.includes(finalizer)) metadata['finalizers'] = [...given, finalizer];
}

function check(core: Core, info: Kind, object: MutableJson): void {
  const causes =
    info.at === undefined
      ? checkRules(info, object, validateCreate(info.resource, object))
      : validateCustom(info, object, undefined);
  if (causes.length > 0) throw invalid(info.kind, nameIn(object), causes);
  checkLimits(core, info, object);
  if (info.resource === 'priorityclasses') checkOnlyDefault(core, object);
}

const isTaken = (core: Core, resource: Resource, namespace: string | undefined, name: string): boolean =>
  core.cache.get(resource, makeKey(namespace, name)) !== undefined;
