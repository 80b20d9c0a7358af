import type { ApiError } from '../../lib/base/errors.ts';
import { matches, matchesMap } from '../../lib/api/labels.ts';
import type { Condition, Pod, ReplicaSetStatus } from '../../lib/api/objects.ts';
import { availableInMs, isActive, isDeleting, isReady, isTerminal, withCondition } from '../../lib/api/pods.ts';
import { isOurs } from './reconcile.ts';
import { isReplicaSet, podSelectorOf, type Replicated } from './replicated.ts';

export interface StatusReport {
  readonly status: ReplicaSetStatus;
  /** When the next ready pod becomes available; undefined when none is on its way there. */
  readonly nextAvailableMs: number | undefined;
}

/** Why pods could not be made or removed, for the condition ReplicaFailure. */
export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
  readonly cause?: ApiError;
}

/** What the controller says of its pods. Counters that are 0 are left out, as the stored form has them. */
export function statusOf(
  rc: Replicated,
  observed: readonly Pod[],
  failure: Failure | undefined,
  nowMs: number,
): StatusReport {
  const { template, minReadySeconds = 0 } = rc.spec;
  const selector = podSelectorOf(rc);
  const ours = observed.filter((pod) => isOurs(rc, pod) && matches(selector, pod.metadata.labels));
  const pods = ours.filter(isActive);
  const going = isReplicaSet(rc) ? ours.filter((pod) => isDeleting(pod) && !isTerminal(pod)).length : 0;
  const waits = pods.flatMap((pod) => availableInMs(pod, minReadySeconds, nowMs) ?? []);
  const coming = waits.filter((ms) => ms > 0);
  const conditions = conditionsOf(rc.status.conditions, failure, nowMs);
  const templateLabels = template.metadata?.labels ?? {};
  return {
    status: {
      replicas: pods.length,
      ...counter('fullyLabeledReplicas', pods.filter((pod) => matchesMap(templateLabels, pod.metadata.labels)).length),
      ...counter('readyReplicas', pods.filter(isReady).length),
      ...counter('availableReplicas', waits.length - coming.length),
      ...counter('terminatingReplicas', going),
      ...(rc.metadata.generation === undefined ? {} : { observedGeneration: rc.metadata.generation }),
      ...(conditions.length === 0 ? {} : { conditions }),
    },
    nextAvailableMs: coming.length === 0 ? undefined : Math.min(...coming),
  };
}

export const sameStatus = (a: ReplicaSetStatus, b: ReplicaSetStatus): boolean =>
  a.replicas === b.replicas &&
  (a.fullyLabeledReplicas ?? 0) === (b.fullyLabeledReplicas ?? 0) &&
  (a.readyReplicas ?? 0) === (b.readyReplicas ?? 0) &&
  (a.availableReplicas ?? 0) === (b.availableReplicas ?? 0) &&
  (a.terminatingReplicas ?? 0) === (b.terminatingReplicas ?? 0) &&
  a.observedGeneration === b.observedGeneration &&
  JSON.stringify(a.conditions ?? []) === JSON.stringify(b.conditions ?? []);

/** ReplicaFailure is there while it is true, and gone afterwards. */
function conditionsOf(
  before: readonly Condition[] | undefined,
  failure: Failure | undefined,
  nowMs: number,
): readonly Condition[] {
  if (failure === undefined) return (before ?? []).filter(({ type }) => type !== 'ReplicaFailure');
  return withCondition<Condition>(
    before,
    { type: 'ReplicaFailure', status: 'True', reason: failure.reason, message: failure.message },
    nowMs,
  );
}

const counter = (name: string, count: number): Record<string, number> => (count === 0 ? {} : { [name]: count });
