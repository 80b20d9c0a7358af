import { keyOf } from '../../lib/api/keys.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import type { Pod, ReplicationController } from '../../lib/api/objects.ts';
import { conditionOf, controllerOf, isActive, isDeleting, isReady } from '../../lib/api/pods.ts';

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
 * `observed` holds the pods of the namespace that are ours or nobody's; others in it are left alone (F114).
 * Depends on its arguments only, never on which event woke us; a settled state gives a plan without work,
 * so running it again after a crash or a duplicate event is harmless.
 */
export function reconcile(rc: ReplicationController, observed: readonly Pod[], maxBurst: number): Plan {
  const matches = (pod: Pod): boolean => matchesMap(rc.spec.selector, pod.metadata.labels);
  const ours = observed.filter((pod) => isOurs(rc, pod));
  const release = ours.filter((pod) => !matches(pod)).sort(byKey);
  const adopt = observed.filter((pod) => controllerOf(pod) === undefined && isActive(pod) && matches(pod)).sort(byKey);
  const active = [...ours.filter((pod) => isActive(pod) && matches(pod)), ...adopt];
  const missing = rc.spec.replicas - active.length;
  return {
    adopt,
    release,
    create: Math.max(0, Math.min(missing, maxBurst)),
    remove: missing >= 0 ? [] : cheapestToLoseFirst(active).slice(0, Math.min(-missing, maxBurst)),
  };
}

export const isOurs = (rc: ReplicationController, pod: Pod): boolean => controllerOf(pod)?.uid === rc.metadata.uid;

/** Other controllers whose pods ours would claim if they had no owner, or the other way round (F114): worth a warning. */
export const overlapping = (
  rc: ReplicationController,
  others: readonly ReplicationController[],
): readonly ReplicationController[] =>
  others
    .filter(
      (other) =>
        other.metadata.uid !== rc.metadata.uid &&
        !isDeleting(other) &&
        (matchesMap(rc.spec.selector, other.spec.template.metadata?.labels) ||
          matchesMap(other.spec.selector, rc.spec.template.metadata?.labels)),
    )
    .sort(byKey);

// ---- Which pod to lose --------------------------------------------------------------------------

export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

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
      deletionCost(pod),
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

/** What does not read as a whole number counts as 0. */
function deletionCost(pod: Pod): number {
  const cost = pod.metadata.annotations?.[deletionCostAnnotation] ?? '';
  return /^-?[0-9]{1,10}$/.test(cost) ? Number(cost) : 0;
}

type Named = Parameters<typeof keyOf>[0];
function byKey(a: Named, b: Named): number {
  const [left, right] = [keyOf(a), keyOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
