import { sameJson } from '../../lib/api/json.ts';
import type { Condition, DaemonSet, DaemonSetStatus, Pod } from '../../lib/api/objects.ts';
import { isAvailable, isReady, withCondition } from '../../lib/api/pods.ts';
import type { Site } from './reconcile.ts';

/** Why pods could not be made or removed, for the condition PodFailure. */
export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** On how many nodes there is what. Pods on their way out do not count. */
export function statusOf(
  { metadata, spec, status }: DaemonSet,
  sites: readonly Site[],
  failure: Failure | undefined,
  nowMs: number,
): DaemonSetStatus {
  const { minReadySeconds = 0 } = spec;
  const wanted = sites.filter((site) => site.wanted);
  const having = (test: (pod: Pod) => boolean): number =>
    wanted.filter(({ next, old }) => next.some(test) || old.some(test)).length;
  const available = having((pod) => isAvailable(pod, minReadySeconds, nowMs));
  const conditions = conditionsOf(status.conditions, failure, nowMs);
  return {
    currentNumberScheduled: having(() => true),
    numberMisscheduled: sites.filter((site) => !site.wanted && site.next.length + site.old.length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: having(isReady),
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    ...counter('updatedNumberScheduled', wanted.filter(({ next }) => next.length > 0).length),
    ...counter('numberAvailable', available),
    ...counter('numberUnavailable', wanted.length - available),
    ...counter('collisionCount', status.collisionCount ?? 0),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

export const sameStatus = (a: DaemonSetStatus, b: DaemonSetStatus): boolean => sameJson({ ...a }, { ...b });

/** PodFailure is there while it is true, and gone afterwards. */
function conditionsOf(
  before: readonly Condition[] | undefined,
  failure: Failure | undefined,
  nowMs: number,
): readonly Condition[] {
  if (failure === undefined) return (before ?? []).filter(({ type }) => type !== 'PodFailure');
  return withCondition<Condition>(
    before,
    { type: 'PodFailure', status: 'True', reason: failure.reason, message: failure.message },
    nowMs,
  );
}

const counter = (name: string, count: number): Record<string, number> => (count === 0 ? {} : { [name]: count });
