import { sameJson } from '../../lib/api/json.ts';
import type { Condition, Pod, PodDisruptionBudget, PodDisruptionBudgetStatus, Time } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isReady, withCondition } from '../../lib/api/pods.ts';
import { countOf } from '../../lib/rollout/rollout.ts';

/** How many pods the controller of a pod wants, and who that is; a text where nobody can say. */
export type Scale = { readonly uid: string; readonly replicas: number } | string;
export type ScaleOf = (pod: Pod) => Scale;

export interface Count {
  /** The very status that the budget has where nothing changed. */
  readonly status: PodDisruptionBudgetStatus;
  /** When a grant is given up that never came to anything, in milliseconds from now. */
  readonly lookAgainMs?: number;
}

/** A grant whose pod still does not go after so long is given up: its pod is counted again. */
export const grantLastsMs = 120_000;

/**
 * What a budget allows now, as the pods stand that it selects. Depends on its arguments only. A pod whose eviction was granted and
 * that is not seen to go yet counts as gone, so that a view that is late never grants twice.
 */
export function countBudget(budget: PodDisruptionBudget, pods: readonly Pod[], scaleOf: ScaleOf, nowMs: number): Count {
  const living = pods.filter(isActive);
  const granted = pendingGrants(budget, living, nowMs);
  const healthy = living.filter((pod) => isReady(pod) && !granted.has(pod.metadata.name)).length;
  const wanted = wantedOf(budget, living, scaleOf);
  const { expected, desired } = typeof wanted === 'string' ? { expected: 0, desired: 0 } : wanted;
  const allowed = expected === 0 ? 0 : Math.max(0, healthy - desired);
  const { generation } = budget.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const condition =
    typeof wanted === 'string'
      ? verdict(0, 'SyncFailed', wanted)
      : verdict(allowed, allowed > 0 ? 'SufficientPods' : 'InsufficientPods', words(healthy, desired, expected));
  const status: PodDisruptionBudgetStatus = {
    ...observed,
    ...(granted.size > 0 && { disruptedPods: Object.fromEntries(granted) }),
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions: withCondition<Condition>(budget.status.conditions, { ...condition, ...observed }, nowMs),
  };
  const ends = [...granted.values()].map((since) => Date.parse(since) + grantLastsMs - nowMs);
  return {
    status: sameJson(status, budget.status) ? budget.status : status,
    ...(ends.length > 0 && { lookAgainMs: Math.max(1, Math.min(...ends)) }),
  };
}

const verdict = (allowed: number, reason: string, message: string): Condition => ({
  type: 'DisruptionAllowed',
  status: allowed > 0 ? 'True' : 'False',
  reason,
  message,
});

const words = (healthy: number, desired: number, expected: number): string =>
  expected === 0
    ? 'it selects no pods'
    : `${healthy} of ${expected} pods ${healthy === 1 ? 'is' : 'are'} healthy and ${desired} must be`;

/** Grants that are not to be seen in the pods yet. */
function pendingGrants(budget: PodDisruptionBudget, living: readonly Pod[], nowMs: number): ReadonlyMap<string, Time> {
  const pending = new Map<string, Time>();
  const byName = new Map(living.map((pod) => [pod.metadata.name, pod]));
  for (const [name, since] of Object.entries(budget.status.disruptedPods ?? {})) {
    const pod = byName.get(name);
    if (pod === undefined) continue; // it goes, or has gone
    const isOfAnother = Date.parse(pod.metadata.creationTimestamp) > Date.parse(since);
    if (!isOfAnother && nowMs - Date.parse(since) < grantLastsMs) pending.set(name, since);
  }
  return pending;
}

/**
 * How many pods there should be and how many of them must be healthy. A number that must stay needs no more than that; all else is
 * measured against what the controllers of the pods want, since the pods that there are get fewer with each that goes.
 */
function wantedOf(
  { spec }: PodDisruptionBudget,
  living: readonly Pod[],
  scaleOf: ScaleOf,
): { readonly expected: number; readonly desired: number } | string {
  if (typeof spec.minAvailable === 'number') return { expected: living.length, desired: spec.minAvailable };
  const sets = new Map<string, number>();
  for (const pod of living) {
    const scale = scaleOf(pod);
    if (typeof scale === 'string') return scale;
    sets.set(scale.uid, scale.replicas);
  }
  const expected = [...sets.values()].reduce((sum, replicas) => sum + replicas, 0);
  if (spec.maxUnavailable !== undefined)
    return { expected, desired: Math.max(0, expected - countOf(spec.maxUnavailable, expected, 'up')) };
  return { expected, desired: countOf(spec.minAvailable, expected, 'up') };
}

/** Why nobody can say how many pods there should be. */
export function withoutScale(pod: Pod): string {
  const owner = controllerOf(pod);
  const whose =
    owner === undefined ? 'has no controller' : `belongs to ${owner.kind} ${owner.name}, which has no scale`;
  return `pod ${pod.metadata.name} ${whose}: for it, minAvailable must be a number`;
}
