import { isAbsent, objectAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector } from '../../../lib/api/labels.ts';
import type { Labels, Pod, PodCondition, PodDisruptionBudget, PodStatus } from '../../../lib/api/objects.ts';
import { conditionOf, isReady, withCondition } from '../../../lib/api/pods.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { storeKeyOf } from '../cache/cache.ts';
import { parseObject } from '../cache/indexed.ts';
import { selecting } from '../cache/selecting.ts';
import type { StoreOp } from '../store/store.ts';
import { rewrite, storedForm, type Change, type Core, type Current } from './core.ts';
import { checkDeletion, nextOnDelete } from './delete.ts';
import { kindNamed } from './kinds.ts';
import type { DeleteOptions, WriteOptions, Written } from './registry.ts';

/** Evictions granted and not counted yet that one budget remembers; more than that means that nobody counts. */
const maxDisrupted = 2_000;
/** A budget is counted some milliseconds after its change. */
const countedInSeconds = 1;

/**
 * `Registry.evict`: a deletion that the pod's budget must grant. The grant is taken off the budget in the very commit that
 * deletes the pod, so that any number of evictions at one time, by any number of API servers, never take more than there is.
 * A pod that serves nobody (not started, ended, going already) needs no grant; one that is not ready needs none while
 * enough others are healthy, or where the budget says so.
 */
export class Evictions {
  readonly #core: Core;
  /** The last eviction under way in a namespace: those of one budget would only get into each other's way. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(core: Core) {
    this.#core = core;
  }

  async evict(key: Key, options: WriteOptions & DeleteOptions): Promise<Written & { readonly gone: boolean }> {
    const { namespace = '' } = splitKey(key);
    const before = this.#last.get(namespace) ?? Promise.resolve();
    const mine = before.then(() => evictOne(this.#core, key, options));
    const settled = mine.catch(() => undefined);
    this.#last.set(namespace, settled);
    try {
      return await mine;
    } finally {
      if (this.#last.get(namespace) === settled) this.#last.delete(namespace);
    }
  }
}

function evictOne(
  core: Core,
  key: Key,
  options: WriteOptions & DeleteOptions,
): Promise<Written & { readonly gone: boolean }> {
  const info = kindNamed(core.kinds, 'pods');
  return rewrite(
    core,
    { resource: 'pods', key },
    (current) => {
      checkDeletion(info, current, options);
      const grant = grantFor(core, key, current);
      const isGoing = !isAbsent(objectAt(current.object, 'metadata')['deletionTimestamp']);
      const change = nextOnDelete(core, info, isGoing ? current.object : told(core, current.object), options);
      if (change === undefined || grant === undefined) return change;
      return { ...change, more: [...(change.more ?? []), grant] } satisfies Change;
    },
    options,
  );
}

/** Who asks may have said already why the pod has to go. */
function told(core: Core, pod: MutableJson): MutableJson {
  const status = objectAt(pod, 'status');
  if (conditionOf(status as unknown as PodStatus, 'DisruptionTarget')?.status === 'True') return pod;
  const condition = {
    ...{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' },
    message: 'Eviction API: evicting',
  } satisfies PodCondition;
  const before = (status as unknown as PodStatus).conditions;
  return { ...pod, status: { ...status, conditions: withCondition(before, condition, core.clock.now()) } };
}

/** The budget with this eviction taken off, to be committed with it; undefined where none is needed. TooManyRequests when there is none. */
function grantFor(core: Core, key: Key, { object }: Current): StoreOp | undefined {
  const pod = object as unknown as Pod;
  const { namespace = '', name } = splitKey(key);
  const isServing = pod.status.phase === 'Running' && pod.metadata.deletionTimestamp === undefined;
  if (!isServing) return undefined;
  const [found, ...others] = budgetsOf(core, namespace, pod.metadata.labels);
  if (found === undefined) return undefined;
  if (others.length > 0)
    throw new ApiError(
      'InternalError',
      `pod ${name} has more than one PodDisruptionBudget (${[found, ...others].map((each) => each.name).join(', ')}), of ` +
        'which an eviction can ask only one: change their selectors',
      { resource: 'pods', name },
    );
  const { budget, revision } = found;
  if (!isReady(pod) && unreadyMayGo(budget)) return undefined;
  checkAllows(budget);
  const next = {
    ...budget,
    status: {
      ...budget.status,
      disruptionsAllowed: budget.status.disruptionsAllowed - 1,
      disruptedPods: { ...budget.status.disruptedPods, [name]: rfc3339(core.clock.now()) },
    },
  };
  const value = storedForm('poddisruptionbudgets', withoutRevision(next));
  return { key: storeKeyOf('poddisruptionbudgets', found.key), value, ifRevision: revision };
}

interface Found {
  readonly key: Key;
  readonly name: string;
  readonly budget: PodDisruptionBudget;
  readonly revision: number;
}

function budgetsOf(core: Core, namespace: string, labels: Labels | undefined): readonly Found[] {
  const { entries } = core.cache
    .filing('poddisruptionbudgets')
    .select(selecting('poddisruptionbudgets', { namespace }), '', Infinity);
  return entries.flatMap(({ key, json, revision }) => {
    const budget = parseObject(json) as PodDisruptionBudget;
    const { selector } = budget.spec;
    if (selector === undefined || !matches(selectorOfLabelSelector(selector), labels ?? {})) return [];
    return { key, name: budget.metadata.name, budget, revision };
  });
}

/** A pod that is not ready counts for nothing; but while too few others are healthy it may be about to become one. */
function unreadyMayGo({ spec, status }: PodDisruptionBudget): boolean {
  if (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  return status.desiredHealthy > 0 && status.currentHealthy >= status.desiredHealthy;
}

/** No time to come back in is told for want of a grant: who evicts is to hear of it at once, and to say it. */
function checkAllows({ metadata, status }: PodDisruptionBudget): void {
  const { name, generation = 0 } = metadata;
  if ((status.observedGeneration ?? 0) < generation)
    throw refusal(
      'Cannot evict pod: its disruption budget has not been counted yet.',
      `The disruption budget ${name} is still being processed by the server.`,
      countedInSeconds,
    );
  if (Object.keys(status.disruptedPods ?? {}).length >= maxDisrupted)
    throw refusal(
      'Cannot evict pod: too many evictions of its disruption budget are not counted yet.',
      `The disruption budget ${name} has granted ${maxDisrupted} evictions that are not counted yet.`,
      countedInSeconds,
    );
  if (status.disruptionsAllowed > 0) return;
  const needs = `needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`;
  throw refusal(
    `Cannot evict pod as it would violate the pod's disruption budget ${name}, which ${needs}.`,
    `The disruption budget ${name} ${needs}`,
  );
}

function refusal(message: string, cause: string, retryAfterSeconds?: number): ApiError {
  return new ApiError('TooManyRequests', message, {
    causes: [{ field: '', reason: 'DisruptionBudget', message: cause }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

function withoutRevision(budget: PodDisruptionBudget): Json {
  const { resourceVersion: _, ...metadata } = budget.metadata;
  return { ...budget, metadata };
}
