import { rfc3339 } from '../../lib/base/clock.ts';
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../lib/api/objects.ts';
import { isObject } from '../../lib/api/json.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { revertedOf } from '../../lib/rollout/reverted.ts';
import { aimOf } from './policy.ts';
import type { Sets, Standing } from './sets.ts';
import type { Failure } from '../../lib/rollout/verdict.ts';

/** Reasons that Kubernetes v1 has for Progressing, by which kubectl follows a rollout. */
export const reasons = {
  created: 'NewReplicaSetCreated',
  progressed: 'ReplicaSetUpdated',
  complete: 'NewReplicaSetAvailable',
  late: 'ProgressDeadlineExceeded',
  paused: 'DeploymentPaused',
  resumed: 'DeploymentResumed',
} as const;

export interface StatusReport {
  readonly status: DeploymentStatus;
  /** When the deadline for progress passes; undefined when none runs. */
  readonly deadlineInMs: number | undefined;
}

/** What keeps a rollout from being good: for certain, or at least until now. */
export interface Trouble {
  readonly failure: Failure | undefined;
  readonly delay?: string | undefined;
}

/** What the Deployment says of its ReplicaSets. Counters that are 0 are left out, as the stored form has them. */
export function statusOf(
  deployment: Deployment,
  { next, old, held }: Sets & Standing,
  { failure, delay }: Trouble,
  nowMs: number,
): StatusReport {
  const all = next === undefined ? old : [...old, next];
  const total = (of: (set: ReplicaSet) => number | undefined): number =>
    all.reduce((sum, set) => sum + (of(set) ?? 0), 0);
  const replicas = total(({ status }) => status.replicas);
  const availableReplicas = total(({ status }) => status.availableReplicas);
  const counters = {
    replicas,
    updatedReplicas: next?.status.replicas ?? 0,
    readyReplicas: total(({ status }) => status.readyReplicas),
    availableReplicas,
    unavailableReplicas: Math.max(0, total(({ spec }) => spec.replicas) - availableReplicas),
    terminatingReplicas: total(({ status }) => status.terminatingReplicas),
    collisionCount: deployment.status.collisionCount ?? 0,
  };
  const figures = Object.fromEntries(Object.entries(counters).filter(([, count]) => count !== 0));
  const { progressing, deadlineInMs } = progressOf(deployment, { next, counters, failure, delay, nowMs });
  const before = deployment.status.conditions;
  const conditions = [
    availableCondition(deployment, availableReplicas),
    progressing,
    ...failureCondition(all),
    ...revertedCondition(deployment, next),
    ...(held === undefined ? [] : [{ type: 'ConfigHeld', status: 'True' as const, ...held }]),
  ].map((condition) => stamped(before, condition, nowMs));
  return {
    status: {
      ...figures,
      ...(deployment.metadata.generation === undefined ? {} : { observedGeneration: deployment.metadata.generation }),
      conditions,
    },
    deadlineInMs,
  };
}

/** Whether this template has been rolled out to its end: what happens to its pods later is no failure of a rollout. */
export const isOver = (deployment: Deployment, next: ReplicaSet | undefined): boolean => {
  const before = conditionOf(deployment.status, 'Progressing');
  return next !== undefined && before?.reason === reasons.complete && before.message === completeWords(next);
};

/** A condition without its times; `touch` renews the time of its update, as progress does. */
interface Saying extends Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'> {
  readonly touch?: boolean;
}

interface Seen {
  readonly next: ReplicaSet | undefined;
  readonly counters: Required<
    Pick<DeploymentStatus, 'replicas' | 'updatedReplicas' | 'readyReplicas' | 'availableReplicas'>
  >;
  readonly failure: Failure | undefined;
  readonly delay: string | undefined;
  readonly nowMs: number;
}
interface Progress {
  readonly progressing: Saying;
  readonly deadlineInMs: number | undefined;
}

const nameOf = (set: ReplicaSet): string => `ReplicaSet "${set.metadata.name}"`;
const completeWords = (set: ReplicaSet): string => `${nameOf(set)} has successfully progressed.`;

function progressOf(deployment: Deployment, { next, counters, failure, delay, nowMs }: Seen): Progress {
  const { spec, status } = deployment;
  const before = conditionOf(status, 'Progressing');
  const saying = (is: 'True' | 'False' | 'Unknown', reason: string, message: string, touch = false): Saying => ({
    ...{ type: 'Progressing', status: is, reason, message, touch },
  });
  const rest = (progressing: Saying): Progress => ({ progressing, deadlineInMs: undefined });
  if (spec.paused === true) return rest(saying('Unknown', reasons.paused, 'Deployment is paused'));
  const { replicas, updatedReplicas, readyReplicas, availableReplicas } = counters;
  const wanted = spec.replicas;
  if (next !== undefined && updatedReplicas === wanted && replicas === wanted && availableReplicas >= wanted)
    return rest(saying('True', reasons.complete, completeWords(next)));
  if (isOver(deployment, next)) return rest(saying('True', reasons.complete, before?.message ?? ''));

  // A deadline counts from the last progress, the last change of template or the end of a pause.
  const resumed = before?.reason === reasons.paused;
  const isNew = before === undefined || next === undefined || !(before.message ?? '').includes(nameOf(next));
  const fresh = isNew && before?.reason !== reasons.resumed;
  const progressed =
    updatedReplicas > (status.updatedReplicas ?? 0) ||
    replicas - updatedReplicas < (status.replicas ?? 0) - (status.updatedReplicas ?? 0) ||
    readyReplicas > (status.readyReplicas ?? 0) ||
    availableReplicas > (status.availableReplicas ?? 0);
  const touch = resumed || fresh || progressed;
  const sinceMs = touch ? nowMs : Date.parse(before?.lastUpdateTime ?? before?.lastTransitionTime ?? '');
  const leftMs = (Number.isNaN(sinceMs) ? nowMs : sinceMs) + spec.progressDeadlineSeconds * 1000 - nowMs;
  const what = next === undefined ? `Deployment "${deployment.metadata.name}"` : nameOf(next);
  const why = failure === undefined ? '' : ` ${failure.message}`;
  const waiting = { deadlineInMs: Math.max(0, leftMs) };
  const hint = why === '' && delay !== undefined ? ` ${delay}` : why;
  if (leftMs <= 0) {
    // What was found out when the deadline passed stays, as long as nothing else is known for certain.
    const kept = why === '' && before?.reason === reasons.late && !isNew ? before.message : undefined;
    return rest(saying('False', reasons.late, kept ?? `${what} has timed out progressing.${hint}`));
  }
  if (failure !== undefined)
    return { progressing: saying('False', failure.reason, `${what} has failed to progress.${why}`, touch), ...waiting };
  if (resumed) return { progressing: saying('Unknown', reasons.resumed, 'Deployment is resumed', true), ...waiting };
  if (fresh) return { progressing: saying('True', reasons.created, `${what} is new.`, true), ...waiting };
  return { progressing: saying('True', reasons.progressed, `${what} is progressing.`, touch), ...waiting };
}

function availableCondition(deployment: Deployment, available: number): Saying {
  const { replicas, maxUnavailable } = aimOf(deployment, false);
  return available >= replicas - maxUnavailable
    ? {
        ...{ type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
        message: 'Deployment has minimum availability.',
      }
    : {
        ...{ type: 'Available', status: 'False', reason: 'MinimumReplicasUnavailable' },
        message: 'Deployment does not have minimum availability.',
      };
}

/** Why pods could not be made or removed, of the newest ReplicaSet that says so. */
function failureCondition(all: readonly ReplicaSet[]): readonly Saying[] {
  const found = all.toReversed().map(({ status }) => conditionOf(status, 'ReplicaFailure'));
  const failing = found.find((condition) => condition?.status === 'True');
  if (failing === undefined) return [];
  const { reason = 'Failed', message = '' } = failing;
  return [{ type: 'ReplicaFailure', status: 'True', reason, message }];
}

/** The template was taken back to this one, and no other has come since. */
function revertedCondition(deployment: Deployment, next: ReplicaSet | undefined): readonly Saying[] {
  const reverted = revertedOf(deployment);
  if (reverted === undefined || reverted.to !== next?.metadata.name) return [];
  const message = `ReplicaSet "${reverted.from}" failed, back to "${reverted.to}": ${reverted.cause}`;
  return [{ type: 'Reverted', status: 'True', reason: reverted.reason, message }];
}

function stamped(
  before: readonly DeploymentCondition[] | undefined,
  { touch, ...next }: Saying,
  nowMs: number,
): DeploymentCondition {
  const was = before?.find(({ type }) => type === next.type);
  const same = was?.reason === next.reason && was?.message === next.message && was?.status === next.status;
  const now = rfc3339(nowMs);
  // The deadline counts from the update: what is only said in other words must not renew it.
  const keep = touch === undefined ? same : !touch;
  return {
    ...next,
    lastUpdateTime: keep ? (was?.lastUpdateTime ?? now) : now,
    lastTransitionTime: was?.status === next.status ? (was.lastTransitionTime ?? now) : now,
  };
}

/** The deadline has passed since the status was written last. */
export const isNewlyLate = (before: DeploymentStatus, after: DeploymentStatus): boolean =>
  conditionOf(after, 'Progressing')?.reason === reasons.late &&
  conditionOf(before, 'Progressing')?.reason !== reasons.late;

export const sameStatus = (a: DeploymentStatus, b: DeploymentStatus): boolean => canonical(a) === canonical(b);
const canonical = (status: DeploymentStatus): string =>
  JSON.stringify(
    Object.entries(status)
      .filter(([, value]) => value !== 0 && value !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
    (_, value: unknown) =>
      isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value,
  );
