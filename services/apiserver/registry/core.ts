import { versionIn } from '../../../lib/api/custom/kind.ts';
import type { Json, MutableJson } from '../../../lib/api/json.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { toStored, withRevision } from '../../../lib/api/stored.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { ApiError, conflict, notFound } from '../../../lib/base/errors.ts';
import { storeKeyOf, type Cache } from '../cache/cache.ts';
import { parseObject, rememberIndexed } from '../cache/indexed.ts';
import { StoreConflict, type Store, type StoreOp } from '../store/store.ts';
import type { ServiceClaims } from './claims.ts';
import type { Quotas } from './bounds/quotas.ts';
import { kindNamed, type Kind, type KindSource } from './kinds.ts';
import type { Written, WriteOptions } from './registry.ts';

/** What every verb works with. */
export interface Core {
  readonly store: Store;
  readonly cache: Cache;
  readonly clock: Clock;
  /** A random number from 0 up to 1. */
  readonly random: () => number;
  readonly uuid: () => string;
  readonly claims: ServiceClaims;
  readonly kinds: KindSource;
  readonly quotas: Quotas;
  /** Whether pods can reach the API, and so are given tokens. */
  readonly reachable: boolean;
  /** The certificate of the authority that the API shows to pods, as PEM; absent where it is not served to them by REST. */
  readonly rootCertificate?: string;
}

/** An object in the store takes at most so much (the limit of Kubernetes v1). */
export const maxStoredBytes = 1_572_864;
/** How often a write that named no revision is tried again when another came first. */
export const maxTries = 16;

/** The kind that a resource name stands for. NotFound with the names that there are. */
export async function kindOf(core: Core, name: string, version?: string): Promise<Kind> {
  const found = core.kinds.find(name, version);
  if (found !== undefined && found.at === undefined) return found;
  await core.cache.fresh(); // it may have been defined a moment ago, by way of another server
  return kindNamed(core.kinds, name, version);
}

/** The kind of an object that comes, in the version in which the caller or the object speaks. */
export async function kindFor(core: Core, name: string, value: unknown, { version }: WriteOptions): Promise<Kind> {
  const kind = await kindOf(core, name, version);
  const said = kind.at === undefined || version !== undefined ? undefined : versionIn(kind, value);
  return said === undefined ? kind : kindOf(core, name, said);
}

/** The object as it stands now, parsed afresh: it may be changed. */
export interface Current {
  /** Without `metadata.resourceVersion`. */
  readonly object: MutableJson;
  readonly revision: number;
  /** As served. */
  readonly json: Buffer;
}

/** Sees every write acknowledged before the call. NotFound when there is no such object. */
export async function readCurrent(core: Core, resource: Resource, key: Key): Promise<Current> {
  await core.cache.fresh();
  const entry = core.cache.get(resource, key);
  if (entry === undefined) throw notFound(resource, splitKey(key).name);
  const object = parseObject(entry.json) as unknown as MutableJson;
  delete metadataOf(object)['resourceVersion'];
  return { object, revision: entry.revision, json: entry.json };
}

/** A draft that passed the shape check always has metadata. */
export function metadataOf(object: MutableJson): MutableJson {
  const metadata = object['metadata'];
  if (typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)) return metadata as MutableJson;
  return (object['metadata'] = {});
}

/** The bytes to keep. RequestEntityTooLarge with the numbers. */
export function storedForm(resource: Resource, object: Json): Buffer {
  const stored = toStored(object as unknown as ApiObject);
  if (stored.length > maxStoredBytes) {
    throw new ApiError(
      'RequestEntityTooLarge',
      `the object takes ${stored.length} bytes; at most ${maxStoredBytes} are kept`,
      { resource },
    );
  }
  rememberIndexed(resource, stored, object as unknown as ApiObject);
  return stored;
}

export function writtenObject(
  stored: Uint8Array,
  object: Json,
  revision: number,
  warnings: readonly string[] = [],
): Written {
  const metadata = { ...(object['metadata'] as object), resourceVersion: String(revision) };
  return {
    served: { json: withRevision(stored, revision), revision },
    object: { ...object, metadata } as unknown as ApiObject,
    warnings,
  };
}

/** What a write leaves where nothing had to change. */
export function writtenUnchanged(current: Current, warnings: readonly string[] = []): Written {
  return {
    served: { json: current.json, revision: current.revision },
    object: parseObject(current.json),
    warnings,
  };
}

/**
 * What becomes of an object: another state, or its end. Further operations are committed with it or not at all; none may
 * concern another object of the same resource, since the relay's chain of revisions knows one a commit.
 */
export interface Change {
  readonly next: Json;
  readonly gone?: boolean;
  readonly more?: readonly StoreOp[];
}

/**
 * Reads the object, lets `decide` say what becomes of it, and commits that if nobody else came first; else all of it again.
 * `decide` may throw; undefined means that nothing has to be written. Conflict after many tries, or at once when
 * `expectRevision` is given and is not the present one.
 */
export async function rewrite(
  core: Core,
  target: { readonly resource: Resource; readonly key: Key },
  decide: (current: Current) => Change | undefined,
  options: Pick<WriteOptions, 'dryRun'> & {
    readonly expectRevision?: number | undefined;
    readonly warnings?: readonly string[];
  },
): Promise<Written & { readonly gone: boolean }> {
  const { resource, key } = target;
  for (let attempt = 0; attempt < maxTries; attempt++) {
    const current = await readCurrent(core, resource, key);
    if (options.expectRevision !== undefined && options.expectRevision !== current.revision) break;
    const change = decide(current);
    if (change === undefined) return { ...writtenUnchanged(current, options.warnings), gone: false };
    const gone = change.gone === true;
    const stored = storedForm(resource, change.next);
    const op = { key: storeKeyOf(resource, key), value: gone ? undefined : stored, ifRevision: current.revision };
    const bounded = {
      ...{ info: kindNamed(core.kinds, resource), next: change.next, previous: current.object },
      dryRun: options.dryRun === true,
    };
    if (options.dryRun === true) {
      if (!gone) await core.quotas.commit([], bounded);
      return { ...writtenObject(stored, change.next, current.revision, options.warnings), gone };
    }
    try {
      const ops = [op, ...(change.more ?? [])];
      const revision = await (gone ? core.store.commit(ops) : core.quotas.commit(ops, bounded));
      return { ...writtenObject(stored, change.next, revision, options.warnings), gone };
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
    }
  }
  throw conflict(resource, splitKey(key).name);
}
