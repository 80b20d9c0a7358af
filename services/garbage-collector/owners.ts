import { LRUCache } from 'lru-cache';
import type { Meter } from '@opentelemetry/api';
import { hasReason } from '../../lib/base/errors.ts';
import { eachAtMost } from '../../lib/base/parallel.ts';
import { isGone } from '../../lib/api/ending.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import { keyOf, splitKey, type Key } from '../../lib/api/keys.ts';
import type { ApiObject } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { formatOwner, ownerIdOf, parseOwner, referredOwner, type CustomOwner, type OwnerId } from './owner-key.ts';
import { finished, needsHelpToGo, ownersOf, reconcile, stripped, type Dependent, type Plan } from './reconcile.ts';

/** What may have owners and is watched for it. Leases and Events change all the time and go by themselves. */
export const collected = [
  ...(['pods', 'replicationcontrollers', 'services', 'endpoints', 'configmaps', 'secrets'] as const),
  'serviceaccounts',
  'persistentvolumeclaims',
  'replicasets',
  'deployments',
  'daemonsets',
  'controllerrevisions',
  'jobs',
  'cronjobs',
  'horizontalpodautoscalers',
] as const;
type Collected = (typeof collected)[number];
export type CollectedViews = { readonly [R in Collected]: View<Objects[R]> };

export interface Parts {
  /** With the index of `ownerIndex`. */
  readonly views: CollectedViews;
  readonly customOwner?: CustomOwner;
  readonly client: Client;
  readonly meter: Meter;
}

export const ownerIndex = { owner: (object: ApiObject): readonly string[] => ownersOf(object).map(({ uid }) => uid) };

const writesAtOnce = 64;
/** Agents write pods all the time: a conditional write may lose its race a few times. */
const maxConflicts = 5;
/** A uid never comes back, so that what is known to be gone stays so. */
const maxGone = 10_000;

/**
 * Removes what lost its owners, and helps owners to go that wait for their dependents. Writes ownerReferences, finalizers
 * of its own two kinds, and deletions. A key is one life of an owner: `formatOwner`.
 */
export class OwnerCollector implements Controller {
  readonly name = 'garbage-collector';
  readonly #parts: Parts;
  readonly #gone = new LRUCache<string, true>({ max: maxGone });
  readonly #collected;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#collected = parts.meter.createCounter('troupe_garbage_collected', {
      description: 'Dependents removed or orphaned',
    });
  }

  async sync(text: string): Promise<void> {
    const id = parseOwner(text);
    const held = this.#held(id);
    if (held !== undefined && !needsHelpToGo(held)) return;
    const dependents = this.#dependents(id.uid);
    if (held === undefined && dependents.length === 0) return;
    const owner = await this.#current(id);
    const gone = await this.#goneAmong(dependents, id);
    let plan = reconcile(id.uid, owner, dependents, (uid) => gone.has(uid));
    if (plan.finish !== undefined) {
      // An owner must not go before the last of its dependents has been seen to: views may be a moment late.
      await this.#lookAgain(id.key);
      plan = reconcile(id.uid, owner, this.#dependents(id.uid), (uid) => gone.has(uid));
    }
    await this.#perform(id, owner, plan);
  }

  async #perform(id: OwnerId, owner: ApiObject | undefined, plan: Plan): Promise<void> {
    await eachAtMost(writesAtOnce, plan.strip, async (each) => {
      await this.#write(each, (object) => stripped(object, id.uid));
      this.#collected.add(1, { outcome: 'orphaned' });
    });
    await eachAtMost(writesAtOnce, plan.remove, (each) => this.#remove(each));
    const { finish } = plan;
    if (finish === undefined || owner === undefined) return;
    await this.#write({ resource: id.resource, object: owner }, (object) => finished(object, finish));
  }

  /** Conditional on the revision we decided by: nothing is removed for a reference that it has lost meanwhile. */
  async #remove(doomed: Dependent): Promise<void> {
    await this.#onLatest(doomed, async ({ resource, object }) => {
      if (ownerIndex.owner(object).join() !== ownerIndex.owner(doomed.object).join())
        throw new Error(`the owners of ${resource} ${keyOf(object)} have changed; deciding anew`);
      const { uid, resourceVersion } = object.metadata;
      const preconditions = { uid, resourceVersion };
      const last = await this.#parts.client.delete(resource, keyOf(object), {
        propagationPolicy: 'Background',
        preconditions,
      });
      this.#file(resource, last);
      this.#collected.add(1, { outcome: 'removed' });
    });
  }

  async #write(seen: Dependent, change: (object: ApiObject) => ApiObject): Promise<void> {
    await this.#onLatest(seen, async ({ resource, object }) => {
      const written: ApiObject = await this.#parts.client.update(resource, change(object));
      this.#file(resource, written);
    });
  }

  /** Does a conditional write, again on the present state where our view was late. That it is gone is what we want. */
  async #onLatest(seen: Dependent, work: (latest: Dependent) => Promise<void>): Promise<void> {
    const { resource } = seen;
    let latest = seen;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work(latest);
      } catch (error) {
        if (!hasReason(error, 'NotFound', 'Conflict') || attempt === maxConflicts) throw error;
        const now = await this.#parts.client.get(resource, keyOf(seen.object));
        if (now === undefined) return this.#view(resource)?.wroteDeletion(seen.object);
        this.#view(resource)?.wrote(now);
        if (now.metadata.uid !== seen.object.metadata.uid) return;
        latest = { resource, object: now };
      }
    }
  }

  // ---- What is there ---------------------------------------------------------------------------

  /** The owner as our view has it, if it is the same life of it. */
  #held({ resource, key, uid }: OwnerId): ApiObject | undefined {
    const object = this.#view(resource)?.get(key);
    return object?.metadata.uid === uid ? object : undefined;
  }

  /** The owner as the API has it; undefined when that life of it is over. */
  async #current({ resource, key, uid }: OwnerId): Promise<ApiObject | undefined> {
    if (this.#gone.has(uid)) return undefined;
    const object = await this.#parts.client.get(resource, key);
    if (object?.metadata.uid === uid) return object;
    this.#gone.set(uid, true);
    return undefined;
  }

  async #goneAmong(dependents: readonly Dependent[], id: OwnerId): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    for (const { object } of dependents) {
      for (const ref of ownersOf(object)) {
        const other =
          ref.uid === id.uid ? undefined : referredOwner(object.metadata.namespace, ref, this.#parts.customOwner);
        if (other !== undefined && this.#held(other) === undefined && (await this.#current(other)) === undefined)
          gone.add(ref.uid);
      }
    }
    return gone;
  }

  #dependents(uid: string): readonly Dependent[] {
    return collected.flatMap((resource) =>
      this.#parts.views[resource].by('owner', uid).map((object): Dependent => ({ resource, object })),
    );
  }

  /** Brings the views of everything that could depend on the owner up to the present. */
  async #lookAgain(key: Key): Promise<void> {
    const { namespace } = splitKey(key);
    const { client } = this.#parts;
    for (const resource of collected) {
      const { items } = await client.list(resource, namespace === undefined ? {} : { namespace });
      for (const object of items) if (ownersOf(object).length > 0) this.#view(resource)?.wrote(object);
    }
  }

  #file(resource: Resource, written: ApiObject): void {
    if (isGone(written)) this.#view(resource)?.wroteDeletion(written);
    else this.#view(resource)?.wrote(written);
  }

  #view(resource: Resource): View<ApiObject> | undefined {
    return (this.#parts.views as { readonly [R in Resource]?: View<ApiObject> })[resource];
  }
}

/** Every owner that is named by something, or that needs help to go. */
export function ownersToLookAt(views: CollectedViews, customOwner?: CustomOwner): Iterable<string> {
  const keys = new Set<string>();
  for (const resource of collected) {
    for (const object of views[resource].list() as readonly ApiObject[]) {
      for (const key of ownersConcerned(resource, object, customOwner)) keys.add(key);
    }
  }
  return keys;
}

export function wakeOwners(queue: KeyQueue, views: CollectedViews, customOwner?: CustomOwner): void {
  for (const resource of collected) {
    const view = views[resource] as View<ApiObject>;
    view.onChange(({ before, after }) => {
      if (before !== undefined && after !== undefined && sameStanding(before, after)) return;
      for (const object of [before, after]) {
        if (object !== undefined) for (const key of ownersConcerned(resource, object, customOwner)) queue.add(key);
      }
      if (after === undefined && before !== undefined) queue.add(formatOwner(ownerIdOf(resource, before)));
    });
  }
}

/** Most changes are of a status and concern no owner. */
const sameStanding = (before: ApiObject, after: ApiObject): boolean =>
  before.metadata.uid === after.metadata.uid &&
  before.metadata.deletionTimestamp === after.metadata.deletionTimestamp &&
  JSON.stringify([before.metadata.ownerReferences, before.metadata.finalizers]) ===
    JSON.stringify([after.metadata.ownerReferences, after.metadata.finalizers]);

function ownersConcerned(
  resource: Resource,
  object: ApiObject,
  customOwner: CustomOwner | undefined,
): readonly string[] {
  const owners = ownersOf(object).flatMap((ref) => referredOwner(object.metadata.namespace, ref, customOwner) ?? []);
  return [...owners, ...(needsHelpToGo(object) ? [ownerIdOf(resource, object)] : [])].map(formatOwner);
}
