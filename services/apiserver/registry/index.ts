import { randomUUID } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';
import { parseCidr, type Cidr } from '../../../lib/api/net.ts';
import { systemClock, type Clock } from '../../../lib/base/clock.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import { Cache } from '../cache/cache.ts';
import { selecting } from '../cache/selecting.ts';
import type { Store } from '../store/store.ts';
import { ensureGiven } from './accounts.ts';
import { bind } from './bind.ts';
import { ServiceClaims, type PortRange } from './claims.ts';
import { kindOf, type Core } from './core.ts';
import { keepQuotaStatus } from './bounds/quota-status.ts';
import { Quotas } from './bounds/quotas.ts';
import { CachedKinds, type Kind } from './kinds.ts';
import { create } from './create.ts';
import { deleteCollection, deleteObject, lastingNamespaces } from './delete.ts';
import { Evictions } from './evict.ts';
import { boundEvents, type EventBounds } from './event-bound.ts';
import { patch } from './patch.ts';
import { get, getScale, list } from './read.ts';
import { selectableIn } from './selectable.ts';
import type { Registry, WatchBatch } from './registry.ts';
import { update } from './update.ts';

export interface RegistryOptions {
  readonly store: Store;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
  readonly random?: () => number;
  readonly uuid?: () => string;
  /** Where Services get their cluster IPs. */
  readonly serviceCidr?: Cidr;
  readonly nodePorts?: PortRange;
  readonly events?: EventBounds;
  /** Whether pods can reach the API, and so are given tokens; default: no. */
  readonly reachable?: boolean;
  /** By which pods know the API (PEM); default: none. */
  readonly rootCertificate?: string;
}

export const defaultServiceCidr = '10.96.0.0/16';
export const defaultNodePorts: PortRange = { first: 30_000, last: 32_767 };
export const defaultEventBounds: EventBounds = { maxBytes: 64 * 2 ** 20, maxAgeMs: 7 * 86_400_000 };

/** A registry that runs: it follows the store until closed. The store stays open. */
export interface RunningRegistry extends Registry {
  readonly cache: Cache;
  close(): Promise<void>;
}

/** Resolves once the state is loaded and the namespaces exist that every cluster has. */
export async function newRegistry(options: RegistryOptions): Promise<RunningRegistry> {
  const { store, clock = systemClock, random = Math.random, uuid = randomUUID, log, meter } = options;
  const cache = new Cache({
    store,
    clock,
    ...(log === undefined ? {} : { log }),
    ...(meter === undefined ? {} : { meter }),
  });
  await cache.start();
  const serviceCidr = options.serviceCidr ?? parseCidr(defaultServiceCidr) ?? { base: 0, bits: 32 };
  const nodePorts = options.nodePorts ?? defaultNodePorts;
  const claims = new ServiceClaims({ cache, clock, random, serviceCidr, nodePorts });
  const { reachable = false, rootCertificate } = options;
  const kinds = new CachedKinds(cache);
  const quotas = new Quotas({ store, cache, kinds });
  const core: Core = {
    ...{ store, cache, clock, random, uuid, claims, kinds, quotas, reachable },
    ...(rootCertificate === undefined ? {} : { rootCertificate }),
  };
  const evictions = new Evictions(core);
  await makeLastingNamespaces(core);
  for (const { key } of cache.filing('namespaces').select(selecting('namespaces', {}), '', Infinity).entries)
    await ensureGiven(core, key);
  const stopBounding = boundEvents(core, options.events ?? defaultEventBounds, log);
  const stopTelling = keepQuotaStatus(core, log);
  return {
    cache,
    async close() {
      stopBounding();
      stopTelling();
      await cache.close();
    },
    get: (resource, key) => get(core, resource, key),
    list: (resource, selection) => list(core, resource, selection),
    kinds,
    fresh: () => cache.fresh(),
    kind: (resource, version) => kindOf(core, resource, version),
    async kindAt(group, version, plural) {
      const found = kinds.at(group, version, plural);
      if (found !== undefined && found.at === undefined) return found;
      await cache.fresh();
      return kinds.at(group, version, plural);
    },
    watch: (resource, selection, fromRevision, signal) => {
      const known = kinds.find(resource);
      const watchOf = (kind: Kind): AsyncIterable<WatchBatch> =>
        cache.watch(selecting(kind.resource, selection, selectableIn(kind)), fromRevision, signal);
      return known === undefined ? later(kindOf(core, resource).then(watchOf)) : watchOf(known);
    },
    async position(resource, node) {
      const kind = await kindOf(core, resource);
      await cache.fresh();
      return cache.position(kind.resource, node);
    },
    create: (resource, namespace, draft, write) => create(core, resource, namespace, { draft, options: write }),
    update: (resource, key, object, write) => update(core, resource, key, { object, options: write }),
    patch: (resource, key, change, write) => patch(core, resource, key, { patch: change, options: write }),
    delete: (resource, key, write) => deleteObject(core, resource, key, write),
    deleteCollection: (resource, selection, write) => deleteCollection(core, resource, selection, write),
    bind: (binding, write) => bind(core, binding, write),
    evict: (key, write) => evictions.evict(key, write),
    scale: (resource, key) => getScale(core, resource, key),
  };
}

async function* later<T>(sequence: Promise<AsyncIterable<T>>): AsyncGenerator<T> {
  yield* await sequence;
}

async function makeLastingNamespaces(core: Core): Promise<void> {
  for (const name of lastingNamespaces) {
    if (core.cache.get('namespaces', name) !== undefined) continue;
    try {
      await create(core, 'namespaces', undefined, { draft: { metadata: { name } }, options: {} });
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) throw error; // another apiserver was quicker
    }
  }
}
