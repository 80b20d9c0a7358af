import { keyOf } from '../../lib/api/keys.ts';
import { matches } from '../../lib/api/labels.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isLeaving } from '../../lib/api/leaving.ts';
import { conditionOf, controllerOf, deletionCostOf, isActive, isDeleting, isReady } from '../../lib/api/pods.ts';
import { agreementOf, predecessorOf } from '../../lib/api/rolling-updates.ts';
import { podSelectorOf, type Replicated } from './replicated.ts';

/** What this controller wants done, in the order in which it is to be done. Deciding is kept apart from doing. */
export interface Plan {
  /** Pods without an owner that match: take them (F108). */
  readonly adopt: readonly Pod[];
  /** Pods of ours that no longer match: let them go, alive (F106, F118). */
  readonly release: readonly Pod[];
  /** How many to make. */
  readonly create: number;
  /** Which to remove, the cheapest to lose first. */
  readonly remove: readonly Pod[];
}

/**
 * The changes that bring the observed pods to `spec.replicas`, at most `maxBurst` creations or removals of them.
 * Pods that leave as soon as their replacement is ready (`isLeaving`) count no more and are not removed: who wants them gone sees to it.
 * `observed` holds the pods of the namespace that are ours or nobody's; others in it are left alone (F114).
 * Depends on its arguments only, never on which event woke us; a settled state gives a plan without work,
 * so running it again after a crash or a duplicate event is harmless.
 */
export function reconcile(rc: Replicated, observed: readonly Pod[], maxBurst: number, nowMs = 0): Plan {
  const selector = podSelectorOf(rc);
  const fits = (pod: Pod): boolean => matches(selector, pod.metadata.labels);
  const ours = observed.filter((pod) => isOurs(rc, pod));
  const release = ours.filter((pod) => !fits(pod)).sort(byKey);
  const adopt = observed.filter((pod) => controllerOf(pod) === undefined && isActive(pod) && fits(pod)).sort(byKey);
  const active = [...ours.filter((pod) => isActive(pod) && fits(pod)), ...adopt];
  const staying = active.filter((pod) => !isLeaving(pod, nowMs));
  const missing = rc.spec.replicas - staying.length;
  return {
    adopt,
    release,
    create: Math.max(0, Math.min(missing, maxBurst)),
    remove: missing >= 0 ? [] : cheapestToLoseFirst(staying).slice(0, Math.min(-missing, maxBurst)),
  };
}

export const isOurs = (rc: Replicated, pod: Pod): boolean => controllerOf(pod)?.uid === rc.metadata.uid;

/**
 * Other controllers whose pods ours would claim if they had no owner, or the other way round (F114): worth a warning. Not the two of a
 * rolling update that is about to give the old one a label of its own, nor one that is to take over from the other.
 */
export const overlapping = <T extends Replicated>(rc: Replicated, others: readonly T[]): readonly T[] =>
  others
    .filter(
      (other) =>
        other.metadata.uid !== rc.metadata.uid &&
        !isDeleting(other) &&
        !isToSucceed(rc, other) &&
        !isToSucceed(other, rc) &&
        (matches(podSelectorOf(rc), other.spec.template.metadata?.labels) ||
          matches(podSelectorOf(other), rc.spec.template.metadata?.labels)),
    )
    .sort(byKey);

function isToSucceed(next: Replicated, old: Replicated): boolean {
  const agreement = agreementOf(next);
  const from = agreement?.label === undefined ? undefined : agreement.from;
  return from === old.metadata.name || predecessorOf(next)?.uid === old.metadata.uid;
}

// ---- Which pod to lose --------------------------------------------------------------------------

/**
 * Without a node before with one, pending before running, not ready before ready, a lower deletion cost before a higher,
 * one of many on its node before a single one, ready for a short time before long, more restarts before fewer, younger
 * before older (api-v1 3.4). The key breaks ties, so that two runs never disagree.
 */
export function cheapestToLoseFirst(pods: readonly Pod[]): Pod[] {
  const dearestFirst = pods.map(rated).sort((a, b) => compare(b, a, alone) || compare(b, a, lasting));
  // The dearest pod of each node counts as its first there, so that what remains is spread, whatever is taken.
  const seen = new Map<string, number>();
  for (const each of dearestFirst) {
    each.nth = (seen.get(each.node) ?? 0) + 1;
    seen.set(each.node, each.nth);
  }
  return dearestFirst
    .sort((a, b) => compare(a, b, alone) || b.nth - a.nth || compare(a, b, lasting))
    .map(({ pod }) => pod);
}

interface Rated {
  readonly pod: Pod;
  readonly node: string;
  nth: number;
  /** The lower of two is lost first: by these before crowding is looked at… */
  readonly alone: readonly number[];
  /** …and by these after it. */
  readonly lasting: readonly number[];
}

function rated(pod: Pod): Rated {
  const restarts = (pod.status.containerStatuses ?? []).map(({ restartCount }) => restartCount);
  const readySince = Date.parse(conditionOf(pod.status, 'Ready')?.lastTransitionTime ?? '');
  return {
    pod,
    node: pod.spec.nodeName ?? '',
    nth: 0,
    alone: [
      pod.spec.nodeName === undefined ? 0 : 1,
      pod.status.phase === 'Running' ? 1 : 0,
      isReady(pod) ? 1 : 0,
      deletionCostOf(pod),
    ],
    lasting: [
      isReady(pod) && !Number.isNaN(readySince) ? -readySince : 0,
      -Math.max(0, ...restarts),
      -Date.parse(pod.metadata.creationTimestamp),
    ],
  };
}

const alone = (each: Rated): readonly number[] => each.alone;
const lasting = (each: Rated): readonly number[] => each.lasting;

function compare(a: Rated, b: Rated, of: (each: Rated) => readonly number[]): number {
  const [left, right] = [of(a), of(b)];
  for (const [i, value] of left.entries()) {
    const difference = value - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return of === lasting ? byKey(a.pod, b.pod) : 0;
}

type Named = Parameters<typeof keyOf>[0];
function byKey(a: Named, b: Named): number {
  const [left, right] = [keyOf(a), keyOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
