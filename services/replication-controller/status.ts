import type { ApiError } from '../../lib/base/errors.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import type { Condition, Pod, ReplicationController, ReplicationControllerStatus } from '../../lib/api/objects.ts';
import { availableInMs, isActive, isReady, withCondition } from '../../lib/api/pods.ts';
import { isOurs } from './reconcile.ts';

export interface StatusReport {
  readonly status: ReplicationControllerStatus;
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
  rc: ReplicationController,
  observed: readonly Pod[],
  failure: Failure | undefined,
  nowMs: number,
): StatusReport {
  const { selector, template, minReadySeconds = 0 } = rc.spec;
  const pods = observed.filter((pod) => isOurs(rc, pod) && isActive(pod) && matchesMap(selector, pod.metadata.labels));
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
      ...(rc.metadata.generation === undefined ? {} : { observedGeneration: rc.metadata.generation }),
      ...(conditions.length === 0 ? {} : { conditions }),
    },
    nextAvailableMs: coming.length === 0 ? undefined : Math.min(...coming),
  };
}

export const sameStatus = (a: ReplicationControllerStatus, b: ReplicationControllerStatus): boolean =>
  a.replicas === b.replicas &&
  (a.fullyLabeledReplicas ?? 0) === (b.fullyLabeledReplicas ?? 0) &&
  (a.readyReplicas ?? 0) === (b.readyReplicas ?? 0) &&
  (a.availableReplicas ?? 0) === (b.availableReplicas ?? 0) &&
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
