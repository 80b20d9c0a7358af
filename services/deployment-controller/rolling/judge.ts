import type { ReplicationController } from '../../../lib/api/objects.ts';
import {
  orderOf,
  rollingStatusOf,
  type RollingAgreement,
  type RollingPhase,
  type RollingStatus,
} from '../../../lib/api/rolling-updates.ts';
import { delayAmong, failureAmong, type Failure } from '../../../lib/rollout/verdict.ts';
import { hasSeen, onFailure, type Seen } from './seen.ts';

/** Where an update stands, and what of it may be done now. */
export interface Judged {
  readonly status: RollingStatus;
  /** The old controller is the one that grows again. */
  readonly isBack: boolean;
  readonly replicas: number;
  readonly isDone: boolean;
  /** Sizes may change at all. */
  readonly mayStep: boolean;
  /** The number of pods is kept, without steps. */
  readonly isHeld: boolean;
  readonly limit?: number;
  /** An order that this loop gives itself: a failure that is to be reverted. */
  readonly order?: 'back';
  /** RFC 3339. */
  readonly now: string;
  /** When a deadline or a period passes. */
  readonly wakeInMs?: number;
}

interface Word {
  readonly phase: RollingPhase;
  readonly reason?: string;
  readonly message?: string;
}

/** Looks at both controllers, at the order and at the clock. */
export function judge(seen: Seen, agreement: RollingAgreement): Judged {
  const { next, old, nowMs } = seen;
  const before = rollingStatusOf(next);
  const isBack = orderOf(next) === 'back';
  const replicas = isBack ? agreement.fromReplicas : agreement.replicas;
  const [into, outOf] = isBack ? [old, next] : [next, old];
  const now = new Date(nowMs).toISOString();
  const figures = {
    ...{ from: agreement.from, to: next.metadata.name, uid: next.metadata.uid, replicas },
    ...{ newReplicas: next.spec.replicas, newAvailable: next.status.availableReplicas ?? 0 },
    ...{ oldReplicas: old?.spec.replicas ?? 0, oldAvailable: old?.status.availableReplicas ?? 0 },
  };
  const isDone =
    into !== undefined &&
    hasSeen(into) &&
    into.spec.replicas === replicas &&
    (into.status.availableReplicas ?? 0) >= replicas &&
    isEmpty(outOf);
  const failure = isDone || isBack ? undefined : failureAmong(seen.nextPods, next.spec.minReadySeconds ?? 0, nowMs);
  const clock = clockOf(before, figures, agreement, nowMs);
  const canary = isBack ? undefined : agreement.canary;
  const isCanary = canary !== undefined && canary < replicas && isAt(next, canary);
  const word = wordOf(seen, { agreement, isDone, isBack, failure, isCanary, leftMs: clock.leftMs });
  const isMoving = word.phase === 'Progressing' || word.phase === 'RollingBack' || word.phase === 'Stopped';
  const wasMoving = before !== undefined && ['Progressing', 'RollingBack', 'Stopped'].includes(before.phase);
  const progressedAt =
    isMoving && (!wasMoving || clock.progressed || (before.phase !== word.phase && word.phase === 'RollingBack'))
      ? now
      : before?.progressedAt;
  const status: RollingStatus = {
    ...figures,
    ...word,
    ...(progressedAt !== undefined && { progressedAt }),
    ...(before?.steppedAt !== undefined && { steppedAt: before.steppedAt }),
  };
  const fails = word.phase === 'Stopped' && word.reason !== sourceGone;
  const limits = [canary, clock.pauseMs > 0 && !isBack ? next.spec.replicas : undefined].filter(
    (limit) => limit !== undefined,
  );
  const waits = [
    isMoving && clock.leftMs > 0 ? clock.leftMs : undefined,
    clock.pauseMs > 0 ? clock.pauseMs : undefined,
  ];
  const wakeInMs = Math.min(...waits.filter((ms) => ms !== undefined));
  return {
    ...{ status, isBack, replicas, isDone, now },
    mayStep: word.phase !== 'Waiting' && word.reason !== sourceGone,
    isHeld: word.phase === 'Paused' || word.phase === 'Stopped',
    ...(limits.length > 0 && { limit: Math.min(...limits) }),
    ...(fails && !isBack && onFailure(next) === 'revert' && old !== undefined && { order: 'back' as const }),
    ...(Number.isFinite(wakeInMs) && { wakeInMs: Math.min(wakeInMs, 2 ** 31 - 1) }),
  };
}

export const sourceGone = 'SourceGone';
export const lateReason = 'ProgressDeadlineExceeded';

const isEmpty = (rc: ReplicationController | undefined): boolean =>
  rc === undefined || (hasSeen(rc) && rc.spec.replicas === 0 && rc.status.replicas === 0);
/** So many pods of it are there and available. */
const isAt = (rc: ReplicationController, count: number): boolean =>
  hasSeen(rc) && rc.spec.replicas >= count && (rc.status.availableReplicas ?? 0) >= count;

interface Facts {
  readonly agreement: RollingAgreement;
  readonly isDone: boolean;
  readonly isBack: boolean;
  readonly failure: Failure | undefined;
  readonly isCanary: boolean;
  readonly leftMs: number;
}

function wordOf(seen: Seen, { agreement, isDone, isBack, failure, isCanary, leftMs }: Facts): Word {
  const { next, old, rival } = seen;
  const before = rollingStatusOf(next);
  if (rival !== undefined)
    return {
      phase: 'Waiting',
      reason: 'AnotherUpdate',
      message: `the rolling update of ${agreement.from} to ${rival} was there before`,
    };
  if (isDone) return { phase: isBack ? 'RolledBack' : 'Succeeded', ...(isBack && causeOf(before)) };
  if (isBack && old === undefined)
    return {
      phase: 'Stopped',
      reason: sourceGone,
      message: `there is no way back: ReplicationController ${agreement.from} is gone`,
    };
  if (isBack) return { phase: 'RollingBack', ...causeOf(before) };
  if (orderOf(next) === 'pause')
    return { phase: 'Paused', reason: 'Ordered', message: 'paused until an order to resume' };
  const goesOn = onFailure(next) === 'continue';
  if (failure !== undefined) return { phase: goesOn ? 'Progressing' : 'Stopped', ...failure };
  if (isCanary)
    return {
      phase: 'Canary',
      reason: 'CanaryReached',
      message: `${agreement.canary ?? 0} of ${agreement.replicas} pods are new; waits for an order`,
    };
  if (leftMs > 0) return { phase: 'Progressing' };
  const delay = delayAmong(seen.nextPods, next.spec.minReadySeconds ?? 0, seen.nowMs);
  if (before?.reason === lateReason && before.message !== undefined && seen.words === undefined)
    return { phase: goesOn ? 'Progressing' : 'Stopped', reason: lateReason, message: before.message };
  const known = [delay, seen.words].filter((part) => part !== undefined).join('; ');
  const why = known !== '' ? known : next.status.conditions?.find(({ type }) => type === 'ReplicaFailure')?.message;
  const message = `no progress for ${agreement.deadlineSeconds} s${why === undefined ? '' : `: ${why}`}`;
  return { phase: goesOn ? 'Progressing' : 'Stopped', reason: lateReason, message };
}

/** Why it went back, for as long as it says so. */
const causeOf = (before: RollingStatus | undefined): { readonly reason?: string; readonly message?: string } => {
  if (before === undefined || !['Stopped', 'RollingBack'].includes(before.phase)) return { reason: 'Ordered' };
  const { reason, message } = before;
  return { ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) };
};

interface Clocked {
  readonly progressed: boolean;
  readonly leftMs: number;
  /** Until the next step may be made. */
  readonly pauseMs: number;
}

function clockOf(
  before: RollingStatus | undefined,
  now: Pick<RollingStatus, 'newReplicas' | 'newAvailable' | 'oldReplicas' | 'oldAvailable'>,
  { periodSeconds, deadlineSeconds }: RollingAgreement,
  nowMs: number,
): Clocked {
  const progressed =
    before === undefined ||
    now.newAvailable > before.newAvailable ||
    now.oldReplicas < before.oldReplicas ||
    (before.phase === 'RollingBack' &&
      (now.oldAvailable > before.oldAvailable || now.newReplicas < before.newReplicas));
  const steppedMs = Date.parse(before?.steppedAt ?? '');
  const readyMs = Number.isNaN(steppedMs) ? -Infinity : steppedMs + periodSeconds * 1000;
  const sinceMs = Math.max(progressed ? nowMs : Date.parse(before.progressedAt ?? '') || nowMs, readyMs);
  const pauseMs = Math.max(0, readyMs - nowMs);
  return { progressed, leftMs: sinceMs + deadlineSeconds * 1000 - nowMs, pauseMs };
}
