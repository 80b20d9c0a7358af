import { sameJson } from '../../lib/api/json.ts';
import type { Condition, DaemonSet, DaemonSetStatus, Pod } from '../../lib/api/objects.ts';
import { isAvailable, isReady, withCondition } from '../../lib/api/pods.ts';
import type { Reverted } from '../../lib/rollout/reverted.ts';
import type { Failure as RolloutFailure } from '../../lib/rollout/verdict.ts';
import type { Site } from './reconcile.ts';

/** Why pods could not be made or removed, for the condition PodFailure. */
export interface Failure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** What there is to say of the rollout, beyond figures. */
export interface Standing {
  readonly failure?: RolloutFailure | undefined;
  /** Its template is one that was gone back to. */
  readonly reverted?: Reverted | undefined;
  /** Its pods do not have what the ConfigMaps and Secrets hold now. */
  readonly held?: { readonly reason: string; readonly message: string } | undefined;
}

/** On how many nodes there is what. Pods on their way out do not count. */
export function statusOf(
  { metadata, spec, status }: DaemonSet,
  sites: readonly Site[],
  { failure, ...standing }: { readonly failure: Failure | undefined; readonly rollout?: Standing },
  nowMs: number,
): DaemonSetStatus {
  const { minReadySeconds = 0 } = spec;
  const wanted = sites.filter((site) => site.wanted);
  const having = (test: (pod: Pod) => boolean): number =>
    wanted.filter(({ next, old }) => next.some(test) || old.some(test)).length;
  const available = having((pod) => isAvailable(pod, minReadySeconds, nowMs));
  const conditions = conditionsOf(
    status.conditions,
    [...failing(failure), ...standingOf(standing.rollout ?? {})],
    nowMs,
  );
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

type Saying = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** Each is there while it is true, and gone afterwards. */
function conditionsOf(
  before: readonly Condition[] | undefined,
  now: readonly Saying[],
  nowMs: number,
): readonly Condition[] {
  const others = (before ?? []).filter(({ type }) => !ours.has(type) || now.some((saying) => saying.type === type));
  return now.reduce<readonly Condition[]>((all, saying) => withCondition<Condition>(all, saying, nowMs), others);
}
const ours: ReadonlySet<string> = new Set(['PodFailure', 'Progressing', 'Reverted', 'ConfigHeld']);

const failing = (failure: Failure | undefined): readonly Saying[] =>
  failure === undefined
    ? []
    : [{ type: 'PodFailure', status: 'True', reason: failure.reason, message: failure.message }];

function standingOf({ failure, reverted, held }: Standing): readonly Saying[] {
  return [
    ...(failure === undefined
      ? []
      : [{ type: 'Progressing', status: 'False' as const, reason: failure.reason, message: failure.message }]),
    ...(reverted === undefined
      ? []
      : [
          {
            ...{ type: 'Reverted', status: 'True' as const, reason: reverted.reason },
            message: `ControllerRevision "${reverted.from}" failed, back to "${reverted.to}": ${reverted.cause}`,
          },
        ]),
    ...(held === undefined ? [] : [{ type: 'ConfigHeld', status: 'True' as const, ...held }]),
  ];
}

const counter = (name: string, count: number): Record<string, number> => (count === 0 ? {} : { [name]: count });
