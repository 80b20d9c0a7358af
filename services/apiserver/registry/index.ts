import { randomUUID } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';
import { parseCidr, type Cidr } from '../../../lib/api/net.ts';
import { systemClock, type Clock } from '../../../lib/base/clock.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import { Cache } from '../cache/cache.ts';
import { selecting } from '../cache/selecting.ts';
import type { Store } from '../store/store.ts';
import { ensureDefaultAccount } from './accounts.ts';
import { bind } from './bind.ts';
import { ServiceClaims, type PortRange } from './claims.ts';
import { kindOf, type Core } from './core.ts';
import { create } from './create.ts';
import { deleteCollection, deleteObject, lastingNamespaces } from './delete.ts';
import { boundEvents, type EventBounds } from './event-bound.ts';
import { patch } from './patch.ts';
import { get, getScale, list } from './read.ts';
import type { Registry } from './registry.ts';
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
  const { reachable = false } = options;
  const core: Core = { store, cache, clock, random, uuid, claims, reachable };
  await makeLastingNamespaces(core);
  for (const { key } of cache.filing('namespaces').select(selecting('namespaces', {}), '', Infinity).entries)
    await ensureDefaultAccount(core, key);
  const stopBounding = boundEvents(core, options.events ?? defaultEventBounds, log);
  return {
    cache,
    async close() {
      stopBounding();
      await cache.close();
    },
    get: (resource, key) => get(core, resource, key),
    list: (resource, selection) => list(core, resource, selection),
    watch: (resource, selection, fromRevision, signal) =>
      cache.watch(selecting(kindOf(resource).resource, selection), fromRevision, signal),
    async position(resource, node) {
      const kind = kindOf(resource);
      await cache.fresh();
      return cache.position(kind.resource, node);
    },
    create: (resource, namespace, draft, write) => create(core, resource, namespace, { draft, options: write }),
    update: (resource, key, object, write) => update(core, resource, key, { object, options: write }),
    patch: (resource, key, change, write) => patch(core, resource, key, { patch: change, options: write }),
    delete: (resource, key, write) => deleteObject(core, resource, key, write),
    deleteCollection: (resource, selection, write) => deleteCollection(core, resource, selection, write),
    bind: (binding, write) => bind(core, binding, write),
    scale: (resource, key) => getScale(core, resource, key),
  };
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
