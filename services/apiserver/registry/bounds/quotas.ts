import { counts, countedResource, exceeded, namesFor, unsaid } from '../../../../lib/api/bounds/quota.ts';
import type { ResourceLookup } from '../../../../lib/api/bounds/lookup.ts';
import { usageOf, type Usage } from '../../../../lib/api/bounds/usage.ts';
import { objectAt, textAt, type Json } from '../../../../lib/api/json.ts';
import type { Resource } from '../../../../lib/api/kinds.ts';
import type { ResourceQuota } from '../../../../lib/api/objects.ts';
import { ApiError, conflict } from '../../../../lib/base/errors.ts';
import type { Cache } from '../../cache/cache.ts';
import { objectOf, type Entry } from '../../cache/filing.ts';
import { selecting } from '../../cache/selecting.ts';
import { StoreConflict, type Store, type StoreOp } from '../../store/store.ts';
import type { Kind, KindSource } from '../kinds.ts';

/** What is to be written. */
export interface Bounded {
  readonly info: Kind;
  readonly next: Json;
  /** Absent for a new object. */
  readonly previous?: Json;
  readonly dryRun: boolean;
}

/** Others may write within the same quota by way of another server; after so many lost races the caller is told. */
const maxTries = 64;

/**
 * Holds namespaces to their ResourceQuotas. What is used is added up from the cache each time, so that it cannot drift. No two commits that take
 * something of a namespace's quotas are judged by the same state: within this process they wait for each other, and against another server each
 * writes `claims/quota/<namespace>`, conditional on the revision at which it read.
 */
export class Quotas {
  readonly #parts: { readonly store: Store; readonly cache: Cache; readonly kinds: KindSource };
  readonly #turns = new Map<string, Promise<void>>();
  /** What an entry takes, at a revision of it: parsed once. */
  readonly #known = new WeakMap<Entry, { readonly revision: number; readonly object: Json; readonly usage: Usage }>();

  constructor(parts: { readonly store: Store; readonly cache: Cache; readonly kinds: KindSource }) {
    this.#parts = parts;
  }

  /** Commits what may be; Forbidden, in the words that clients know, when a quota would be exceeded. Rejects as `Store.commit` otherwise. */
  async commit(ops: readonly StoreOp[], bounded: Bounded): Promise<number> {
    const { store, cache } = this.#parts;
    const namespace = textAt(objectAt(bounded.next, 'metadata'), 'namespace');
    if (this.#concerned(bounded, namespace).length === 0) return bounded.dryRun ? 0 : store.commit(ops);
    return this.#inTurn(namespace, async () => {
      for (let attempt = 0; attempt < maxTries; attempt++) {
        await cache.fresh();
        this.#check(bounded, namespace);
        if (bounded.dryRun) return 0;
        const key = `claims/quota/${namespace}`;
        const guard = { key, value: Buffer.from('{}'), ifRevision: cache.claim(key)?.revision ?? 0 };
        try {
          const revision = await store.commit([...ops, guard]);
          await cache.caughtUp(revision);
          return revision;
        } catch (error) {
          if (!(error instanceof StoreConflict) || error.index !== ops.length) throw error;
        }
      }
      throw conflict(
        bounded.info.resource,
        nameIn(bounded.next),
        'too many others write within the same quota; try again',
      );
    });
  }

  /** What is used of each thing that a quota bounds. */
  used(quota: ResourceQuota): Usage {
    const used = new Map<string, bigint>(Object.keys(quota.spec.hard ?? {}).map((name) => [name, 0n]));
    const { namespace = '' } = quota.metadata;
    const resources = new Set([...used.keys()].flatMap((name) => countedResource(name, this.#lookup) ?? []));
    for (const resource of resources) {
      const info = this.#parts.kinds.find(resource);
      if (info === undefined) continue;
      for (const entry of this.#entries(info.resource, namespace)) {
        const { object, usage } = this.#usage(info, entry);
        if (!counts(quota, info, object)) continue;
        for (const name of used.keys()) used.set(name, (used.get(name) ?? 0n) + (usage.get(name) ?? 0n));
      }
    }
    return used;
  }

  quotasIn(namespace: string): readonly ResourceQuota[] {
    return this.#entries('resourcequotas', namespace).map((entry) => objectOf<ResourceQuota>(entry));
  }

  readonly #lookup: ResourceLookup = (name) => this.#parts.kinds.find(name)?.resource;

  /** The quotas that a write takes more of. */
  #concerned({ info, next, previous }: Bounded, namespace: string): readonly ResourceQuota[] {
    if (namespace === '' || this.#parts.cache.filing('resourcequotas').size === 0) return [];
    const quotas = this.quotasIn(namespace).filter(
      (quota) => namesFor(quota, info.resource, this.#lookup).length > 0 && counts(quota, info, next),
    );
    if (quotas.length === 0 || previous === undefined) return quotas;
    return [...this.#more(info, next, previous).values()].some((amount) => amount > 0n) ? quotas : [];
  }

  #check({ info, next, previous }: Bounded, namespace: string): void {
    const wanted = this.#more(info, next, previous);
    for (const quota of this.#concerned(
      { info, next, ...(previous === undefined ? {} : { previous }), dryRun: false },
      namespace,
    )) {
      const missing = info.resource === 'pods' && previous === undefined ? unsaid(quota, next) : '';
      if (missing !== '') throw refusal(info, next, `failed quota: ${quota.metadata.name}: must specify ${missing}`);
      const names = namesFor(quota, info.resource, this.#lookup);
      const why = exceeded(quota, names, { used: this.used(quota), wanted });
      if (why !== undefined) throw refusal(info, next, why);
    }
  }

  #more(info: Kind, next: Json, previous: Json | undefined): Usage {
    const after = usageOf(info, next);
    if (previous === undefined) return after;
    const before = usageOf(info, previous);
    return new Map([...after].map(([name, amount]) => [name, amount - (before.get(name) ?? 0n)]));
  }

  #usage(info: Kind, entry: Entry): { readonly object: Json; readonly usage: Usage } {
    const known = this.#known.get(entry);
    if (known?.revision === entry.revision) return known;
    const object = objectOf(entry) as unknown as Json;
    // Of an object only what scopes look at is kept beside its amounts.
    const spec = info.resource === 'pods' ? { spec: objectAt(object, 'spec') } : {};
    const fresh = { revision: entry.revision, object: spec, usage: usageOf(info, object) };
    this.#known.set(entry, fresh);
    return fresh;
  }

  #entries(resource: Resource, namespace: string): readonly Entry[] {
    return this.#parts.cache.filing(resource).select(selecting(resource, { namespace }), '', Infinity).entries;
  }

  async #inTurn<T>(namespace: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(namespace) ?? Promise.resolve();
    const mine = before.then(work);
    const done = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(namespace, done);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(namespace) === done) this.#turns.delete(namespace);
    }
  }
}

const nameIn = (object: Json): string => textAt(objectAt(object, 'metadata'), 'name');

const refusal = ({ resource }: Kind, object: Json, why: string): ApiError =>
  new ApiError('Forbidden', `${resource} ${JSON.stringify(nameIn(object))} is forbidden: ${why}`, {
    resource,
    name: nameIn(object),
  });
