import { rfc3339 } from '../lib/base/clock.ts';
import { qosClassOf } from '../lib/api/defaults/qos.ts';
import { containerStatusIn } from '../lib/api/container-choice.ts';
import type {
  Container,
  ContainerState,
  ContainerStatus,
  ContainerTerminated,
  EphemeralContainer,
  Pod,
  PodCondition,
  PodPhase,
  PodStatus,
} from '../lib/api/objects.ts';
import { conditionOf, isTerminal, withCondition } from '../lib/api/pods.ts';
import { withEnding } from './eviction/pod-ending.ts';
import type { PodContainer } from './labels.ts';
import {
  cannotStartTurnsAt,
  deadlineOf,
  endOf,
  endedMsOf,
  hasRun,
  hasStarted,
  isInitialized,
  isPastDeadline,
  isSidecar,
  missingTarget,
  outcomeOf,
  planContainer,
  setbackTurnsAt,
  type PodState,
  type Setback,
} from './plan.ts';

/**
 * The status of a pod as this node sees it, on top of what the API has: conditions of others stay, times move only
 * with what they tell, and a terminal phase is never left (F56). Equal inputs give equal statuses. `nowMs` is the steady
 * clock's, which decides; `wallMs` is shown.
 */
export function podStatus(state: PodState, nowMs: number, wallMs = nowMs): PodStatus {
  const { pod } = state;
  const before = pod.status;
  const ended = isTerminal(pod);
  const phase = ended ? (before.phase as PodPhase) : phaseOf(state, nowMs);
  const over = phase === 'Succeeded' || phase === 'Failed';
  const late = !ended && isPastDeadline(state, nowMs);
  const inits = pod.spec.initContainers ?? [];
  const initStatuses = inits.map((container) => containerStatus(state, container, { nowMs, wallMs, over }));
  const statuses = pod.spec.containers.map((container) => containerStatus(state, container, { nowMs, wallMs, over }));
  const lookers = (pod.spec.ephemeralContainers ?? []).map((container) =>
    ephemeralStatus(state, container, { nowMs, wallMs, over }),
  );
  const ip = podIp(state);
  const status: PodStatus = {
    ...before,
    phase,
    conditions: conditionsOf(state, { wallMs, phase, statuses, initStatuses }),
    ...(late && over
      ? { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }
      : {}),
    hostIP: state.hostIp,
    hostIPs: [{ ip: state.hostIp }],
    ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }),
    startTime: before.startTime ?? rfc3339(wallMs),
    ...(inits.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: statuses,
    ...(lookers.length === 0 ? {} : { ephemeralContainerStatuses: lookers }),
    qosClass: before.qosClass ?? qosClassOf({ ...pod.spec }),
  };
  return state.ending === undefined || ended ? status : withEnding(status, state.ending, wallMs);
}

/**
 * Pending until every container has started once, Running while any runs or will, then how it ended: told only when nothing of
 * it runs any more, sidecars included, for whoever hears of the end may start another in its place.
 */
function phaseOf(state: PodState, nowMs: number): PodPhase {
  const isQuiet = state.containers.every((container) => container.is.state !== 'running');
  if (state.ending !== undefined) return isQuiet ? 'Failed' : (state.pod.status.phase ?? 'Pending');
  const outcome = isPastDeadline(state, nowMs) ? 'Failed' : outcomeOf(state, nowMs);
  if (outcome !== undefined && isQuiet) return outcome;
  if (state.pod.status.phase === 'Running') return 'Running'; // never back: "pending" is only before the first start
  const started = state.pod.spec.containers.every((container) =>
    state.containers.some((candidate) => candidate.name === container.name && candidate.is.startedAtMs !== undefined),
  );
  return started ? 'Running' : 'Pending';
}

function podIp(state: PodState): string | undefined {
  const before = state.pod.status.podIP;
  if (state.pod.spec.hostNetwork === true) return state.sandbox === undefined ? before : state.hostIp;
  return state.attached ? (state.sandbox?.ip ?? before) : before;
}

// ---- Containers --------------------------------------------------------------------------------

interface At {
  readonly nowMs: number;
  readonly wallMs: number;
  /** The pod has ended for good: nothing waits any more. */
  readonly over: boolean;
}

function containerStatus(state: PodState, container: Container, at: At): ContainerStatus {
  const removed = state.removed.get(container.name);
  const attempts = [...state.containers, ...(removed === undefined ? [] : [removed])]
    .filter((candidate) => candidate.name === container.name)
    .toSorted((a, b) => b.attempt - a.attempt);
  const known = containerStatusIn(state.pod, container.name);
  const current =
    attempts.find((attempt) => attempt.is.state === 'running') ??
    attempts.find((attempt) => attempt.is.startedAtMs !== undefined || attempt.is.error !== undefined);
  if (current === undefined) return withoutContainer(state, container, { ...at, known });

  const previous = attempts.find((attempt) => attempt.attempt < current.attempt);
  const last = previous === undefined ? known?.lastState : { terminated: terminated(state, previous) };
  const isComing =
    attempts[0]?.is.state === 'created' &&
    current.is.state === 'exited' &&
    attempts[0].attempt > current.attempt &&
    !(at.over || state.endingSinceMs !== undefined || state.ending !== undefined);
  const { now, before } = isComing
    ? { now: creating, before: { terminated: terminated(state, current) } }
    : stateOf(state, container, { ...at, current });
  const lastState = before ?? (last !== undefined && Object.keys(last).length > 0 ? last : undefined);
  const isSame = known?.containerID === containerId(current);
  // A pod that ends is probed no more: what was so last stays so.
  const wasReady = container.readinessProbe === undefined || (isSame && known.ready);
  const verdictReady = state.probes.get(current.is.id)?.ready ?? wasReady;
  const started = hasStarted(state, current);
  return {
    name: container.name,
    state: now,
    ...(lastState === undefined ? {} : { lastState }),
    ready: isReady(state, container, { started, current, verdictReady }),
    restartCount: current.attempt,
    image: container.image,
    imageID: current.is.imageId,
    containerID: containerId(current),
    started,
  };
}

/** One that looks into the pod serves nobody: it is never ready. */
function ephemeralStatus(state: PodState, container: EphemeralContainer, at: At): ContainerStatus {
  const { started: _, ...status } = containerStatus(state, container, at);
  return { ...status, ready: false };
}

function isReady(
  state: PodState,
  container: Container,
  now: {
    readonly started: boolean;
    readonly current: PodContainer;
    readonly verdictReady: boolean;
  },
): boolean {
  const isInit = state.pod.spec.initContainers?.some((init) => init.name === container.name) === true;
  if (isInit && !isSidecar(container)) return now.current.is.state === 'exited' && now.current.is.exitCode === 0;
  return now.started && now.verdictReady;
}

/** The next attempt is on its way. */
const creating: ContainerState = { waiting: { reason: 'ContainerCreating' } };

/** What it is in now, and, where it waits to be run again, what it was in before. */
function stateOf(
  state: PodState,
  container: Container,
  at: At & { readonly current: PodContainer },
): { readonly now: ContainerState; readonly before?: ContainerState } {
  const { current } = at;
  if (current.is.state === 'running') {
    return { now: { running: { startedAt: rfc3339(current.is.startedAtMs ?? at.wallMs) } } };
  }
  const was: ContainerState = { terminated: terminated(state, current) };
  if (at.over || state.endingSinceMs !== undefined || state.ending !== undefined) return { now: was };
  const plan = planContainer(state, container, at.nowMs);
  if (plan.step === 'backOff' && plan.crashed) {
    const cause = current.is.error === undefined ? '' : `: ${current.is.error}`;
    if (at.nowMs < cannotStartTurnsAt(current))
      return { now: { waiting: { reason: 'RunContainerError', message: cause.slice(2) } }, before: was };
    const message = `back-off ${plan.delayMs / 1000}s restarting failed container=${container.name} pod=${state.pod.metadata.name}${cause}`;
    return { now: { waiting: { reason: 'CrashLoopBackOff', message } }, before: was };
  }
  if (plan.step === 'setback') return { now: { waiting: waitingFor(plan.setback, at.nowMs) }, before: was };
  // What we ended ourselves to start it anew never looks as if it were over, whatever its exit code and the restart policy.
  if (plan.step !== 'done' && state.stopped.has(current.is.id)) return { now: creating, before: was };
  return { now: was };
}

/** It has not run yet, or the engine has forgotten it: then what the API knows stays. */
function withoutContainer(
  state: PodState,
  container: Container,
  at: At & { readonly known: ContainerStatus | undefined },
): ContainerStatus {
  const { known, nowMs, wallMs } = at;
  const stays = at.over || state.endingSinceMs !== undefined || planContainer(state, container, nowMs).step === 'done';
  if (hasRun(known) && stays) return withKnownEnd(known, wallMs);
  const base = {
    name: container.name,
    ready: false,
    restartCount: known?.restartCount ?? 0,
    image: container.image,
    imageID: known?.imageID ?? '',
    started: false,
    ...lastStateOf(known, wallMs),
    ...(hasRun(known) ? { containerID: known.containerID } : {}), // that it ran is not forgotten
  };
  const setback = state.setbacks.get(container.name) ?? state.setbacks.get('');
  const isApp = state.pod.spec.containers.includes(container);
  if (setback !== undefined) return { ...base, state: { waiting: waitingFor(setback, nowMs) } };
  const reason = isApp && (state.pod.spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating';
  const message = waitsFor(state, container);
  return { ...base, state: { waiting: { reason, ...message } } };
}

/** What keeps a container from being started that has had no setback. */
function waitsFor(state: PodState, container: EphemeralContainer): { readonly message?: string } {
  if (!state.networkReady) return { message: 'the node has no range of pod addresses yet' };
  const target = missingTarget(state, container);
  return target === undefined ? {} : { message: `container "${target}", whose processes it is to see, does not run` };
}

/** What is known of a container that the engine has no trace of: if it ran when it was last seen, nobody knows how it ended. */
function withKnownEnd(known: ContainerStatus, wallMs: number): ContainerStatus {
  if (known.state?.terminated !== undefined) return known;
  return { ...known, state: { terminated: knownEnd(known, wallMs) }, ready: false, started: false };
}

function lastStateOf(known: ContainerStatus | undefined, wallMs: number): Pick<ContainerStatus, 'lastState'> {
  if (hasRun(known)) return { lastState: { terminated: knownEnd(known, wallMs) } };
  return known?.lastState === undefined ? {} : { lastState: known.lastState };
}

function knownEnd({ state, lastState, ...known }: ContainerStatus, wallMs: number): ContainerTerminated {
  const told = state?.running === undefined ? (state?.terminated ?? lastState?.terminated) : undefined;
  return told ?? unknownEnd({ ...known, ...(state === undefined ? {} : { state }) }, wallMs);
}

const unknownEnd = (known: ContainerStatus, wallMs: number): ContainerTerminated => ({
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The engine has no trace of the container any more: how it ended is not known',
  ...(known.state?.running?.startedAt === undefined ? {} : { startedAt: known.state.running.startedAt }),
  finishedAt: rfc3339(wallMs),
  ...(known.containerID === undefined ? {} : { containerID: known.containerID }),
});

function waitingFor(setback: Setback, nowMs: number): { reason: string; message: string } {
  const waits = setback.reason === 'ErrImagePull' && nowMs >= setbackTurnsAt(setback);
  return { reason: waits ? 'ImagePullBackOff' : setback.reason, message: setback.message };
}

const containerId = (container: PodContainer): string => `docker://${container.is.id}`;

function terminated(state: PodState, container: PodContainer): ContainerTerminated {
  const { is } = container;
  const exitCode = is.exitCode ?? 0;
  const message = is.error ?? state.messages.get(is.id);
  return {
    exitCode,
    ...(exitCode > 128 && exitCode <= 192 ? { signal: exitCode - 128 } : {}),
    reason: reasonOf(state, container, exitCode),
    ...(message === undefined || message === '' ? {} : { message }),
    ...(is.startedAtMs === undefined ? {} : { startedAt: rfc3339(is.startedAtMs) }),
    finishedAt: rfc3339(endOf(container)),
    containerID: containerId(container),
  };
}

function reasonOf(state: PodState, container: PodContainer, exitCode: number): string {
  const { is } = container;
  if (is.oomKilled === true && exitCode !== 0) return 'OOMKilled'; // a child's end need not be the container's
  if (is.error !== undefined && is.startedAtMs === undefined) return 'ContainerCannotRun';
  if (endedMsOf(container) >= (deadlineOf(state) ?? Infinity)) return 'DeadlineExceeded'; // whoever ran until then was stopped
  return exitCode === 0 ? 'Completed' : 'Error';
}

// ---- Conditions --------------------------------------------------------------------------------

interface ConditionInputs {
  readonly wallMs: number;
  readonly phase: PodPhase;
  readonly statuses: readonly ContainerStatus[];
  readonly initStatuses: readonly ContainerStatus[];
}

function conditionsOf(
  state: PodState,
  { wallMs, phase, statuses, initStatuses }: ConditionInputs,
): readonly PodCondition[] {
  const over = phase === 'Succeeded' || phase === 'Failed';
  const sidecars = new Set((state.pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const unready = [...initStatuses.filter(({ name }) => sidecars.has(name)), ...statuses]
    .filter((status) => !status.ready)
    .map((status) => status.name);
  const waiting = initStatuses
    .filter((status) => !(sidecars.has(status.name) ? status.started : status.ready))
    .map((status) => status.name);
  const containersReady = over || unready.length > 0 ? notReady(phase, unready) : isTrue;
  const ready = containersReady.status === 'True' ? readiness(state) : containersReady;
  const initialized =
    phase === 'Succeeded' || isInitialized(state) || (over && waiting.length === 0)
      ? isTrue
      : isFalse('ContainersNotInitialized', `containers with incomplete status: [${waiting.join(' ')}]`);
  const sandboxReady =
    state.sandbox?.is.state === 'running' && state.attached ? isTrue : ({ status: 'False' } as const);
  const list = {
    PodReadyToStartContainers: sandboxReady,
    Initialized: initialized,
    ContainersReady: containersReady,
    Ready: ready,
  };
  let conditions = state.pod.status.conditions ?? [];
  for (const [type, value] of Object.entries(list))
    conditions = withCondition<PodCondition>(conditions, { type, ...value }, wallMs);
  if (conditionOf({ conditions }, 'PodScheduled')?.status === 'True') return conditions; // the scheduler's own words
  return withCondition<PodCondition>(conditions, { type: 'PodScheduled', ...isTrue }, wallMs);
}

type Verdict = Pick<PodCondition, 'status' | 'reason' | 'message'>;
const isTrue: Verdict = { status: 'True' };
const isFalse = (reason: string, message: string): Verdict => ({ status: 'False', reason, message });

function notReady(phase: PodPhase, unready: readonly string[]): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  return isFalse('ContainersNotReady', `containers with unready status: [${unready.join(' ')}]`);
}

/** All its containers are ready: is the pod? One that is on its way out gets no traffic any more, before its containers end. */
function readiness(state: PodState): Verdict {
  if (state.ending !== undefined) return isFalse(state.ending.reason, state.ending.message);
  if (state.endingSinceMs !== undefined) return isFalse('PodTerminating', 'the pod is being deleted');
  return gatesOf(state.pod);
}

/** A pod may name conditions that others must set before it counts as ready. */
function gatesOf({ spec, status }: Pod): Verdict {
  const closed = (spec.readinessGates ?? []).filter(
    ({ conditionType }) => conditionOf(status, conditionType)?.status !== 'True',
  );
  if (closed.length === 0) return isTrue;
  const words = closed.map(({ conditionType }) =>
    conditionOf(status, conditionType) === undefined
      ? `corresponding condition of pod readiness gate "${conditionType}" does not exist`
      : `the status of pod readiness gate "${conditionType}" is not "True"`,
  );
  return isFalse('ReadinessGatesNotReady', `${words.join(', ')}`);
}
