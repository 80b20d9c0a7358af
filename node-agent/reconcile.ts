import { isTerminal } from '../lib/api/pods.ts';
import { withdrawalBoundMs } from '../lib/api/withdrawal.ts';
import type { Container } from '../lib/api/objects.ts';
import { isComing } from './ahead.ts';
import { leavesNothing } from './eviction/pod-ending.ts';
import type { ContainerKind, PodContainer } from './labels.ts';
import { nextToStop } from './stop-order.ts';
import {
  cannotStartTurnsAt,
  currentOf,
  deadlineOf,
  isInitDone,
  isInitialized,
  isPastDeadline,
  isSidecar,
  isStale,
  missingTarget,
  outcomeOf,
  planContainer,
  setbackTurnsAt,
  type PodState,
  type StopReason,
} from './plan.ts';

/** One step that brings a pod nearer to what it should be. Every step may be done twice. */
export type Action =
  | { readonly type: 'prepareVolumes' }
  /** Brings the files in them up to date. */
  | { readonly type: 'updateVolumes' }
  | { readonly type: 'startSandbox'; readonly attempt: number }
  | { readonly type: 'attachNetwork'; readonly sandbox: PodContainer }
  /** Ends the sandbox and takes its network away. */
  | { readonly type: 'removeSandbox'; readonly sandbox: PodContainer }
  | { readonly type: 'pull'; readonly container: Container }
  | {
      readonly type: 'start';
      readonly kind: ContainerKind;
      readonly container: Container;
      readonly attempt: number;
      readonly crashes: number;
    }
  /** Pre-stop hook, SIGTERM, and SIGKILL at the deadline. Goes on by itself. */
  | { readonly type: 'stop'; readonly container: PodContainer; readonly deadlineMs: number; readonly why: StopReason }
  /** The grace is over, or has become shorter. */
  | { readonly type: 'kill'; readonly container: PodContainer }
  | { readonly type: 'remove'; readonly container: PodContainer }
  | { readonly type: 'removeVolumes' }
  /** Nothing runs any more: gives back memory and file servers; what is on disk stays to be looked at. */
  | { readonly type: 'unmountVolumes' }
  /** Has everybody stop sending traffic to the pod, before it is told to stop. */
  | { readonly type: 'withdraw'; readonly untilMs: number }
  /** Nothing of the pod is left here: the API may forget it. */
  | { readonly type: 'confirmDeletion' };

export interface Decision {
  readonly actions: readonly Action[];
  /** When to look again even if nothing happens. */
  readonly wakeAtMs?: number;
}

/** A pod that somebody removed by force, or that we never heard of, gets this long. */
const forcedGraceMs = 1_000;
/** One that is asked to end only when the grace is over already still gets this long: a sidecar, as a rule. */
const lateGraceMs = 1_000;
const tidyAfterMs = 1_000;

/**
 * What to do next for one pod. Depends on its arguments only: run again after a crash, or after something else
 * happened, it goes on from what is there. No actions: the pod is as it should be until `wakeAtMs`.
 */
export function reconcile(state: PodState, nowMs: number): Decision {
  if (state.endingSinceMs !== undefined) return end(state, nowMs);
  if (state.ending !== undefined) return rest(state, nowMs, 'evicted');
  if (isTerminal(state.pod) || outcomeOf(state, nowMs) !== undefined) return rest(state, nowMs, 'podEnded');
  if (isPastDeadline(state, nowMs)) return rest(state, nowMs, 'deadline');
  return live(state, nowMs);
}

// ---- Living ------------------------------------------------------------------------------------

function live(state: PodState, nowMs: number): Decision {
  const turn = new Turn();
  turn.wakeAt(deadlineOf(state));
  tidyUp(state, nowMs, turn);
  turn.act(...state.oldSandboxes.map((sandbox) => ({ type: 'removeSandbox' as const, sandbox })));

  const doubles = runningOf(state).filter((container) => currentOf(state, container.name) !== container);
  stopAll(state, doubles, { deadlineMs: nowMs + graceMsOf(state), nowMs, why: 'podEnded', turn }); // started by another hand

  const blocked = state.setbacks.get('');
  if (blocked !== undefined && nowMs < blocked.retryAtMs) {
    turn.wakeAt(blocked.retryAtMs);
    return turn.decision();
  }
  if (!state.volumesReady) turn.act({ type: 'prepareVolumes' });
  else if (state.volumesStale === true) turn.act({ type: 'updateVolumes' });
  if (!prepareSandbox(state, nowMs, turn) || !state.volumesReady) return turn.decision();
  const stale = [
    ...state.containers.filter((container) => isStale(state, container)),
    ...aheadOf(state).filter((container) => !isComing(state, container, nowMs)),
  ];
  if (stale.length > 0) {
    turn.act(...stale.map((container) => ({ type: 'remove' as const, container })));
    return turn.decision(); // their names are wanted again
  }
  // Whoever looks into a pod may want to see why it does not get through its start.
  for (const container of state.pod.spec.ephemeralContainers ?? [])
    if (missingTarget(state, container) === undefined) advance(state, container, 'ephemeral', { nowMs, turn });
  if (!isInitialized(state)) {
    advanceInit(state, nowMs, turn);
    return turn.decision();
  }
  for (const init of state.pod.spec.initContainers ?? [])
    if (isSidecar(init)) advance(state, init, 'init', { nowMs, turn });
  let held = false;
  for (const container of state.pod.spec.containers) {
    // A post-start hook that is not through holds back the containers behind its own, as long as these are new.
    if (held && currentOf(state, container.name) === undefined) continue;
    advance(state, container, 'container', { nowMs, turn });
    held ||= isHolding(state, container, nowMs);
  }
  return turn.decision();
}

function isHolding(state: PodState, container: Container, nowMs: number): boolean {
  if (container.lifecycle?.postStart === undefined) return false;
  const plan = planContainer(state, container, nowMs);
  return plan.step === 'running'
    ? state.hooking.has(plan.current.is.id)
    : plan.step === 'start' || plan.step === 'pulling';
}

/** Whether containers can be started: the sandbox runs and has its network. */
function prepareSandbox(state: PodState, nowMs: number, turn: Turn): boolean {
  const { sandbox } = state;
  if (sandbox === undefined || sandbox.is.state !== 'running') {
    // Whoever still runs does so in namespaces that nothing holds open: the pod starts anew, with a new sandbox.
    const running = runningOf(state);
    stopAll(state, running, { deadlineMs: nowMs + graceMsOf(state), nowMs, why: 'sandboxLost', turn });
    if (running.length > 0 || !state.networkReady) return false;
    if (sandbox?.is.state === 'exited') turn.act({ type: 'removeSandbox', sandbox });
    turn.act({ type: 'startSandbox', attempt: nextSandbox(sandbox) });
    return false;
  }
  if ((!state.attached || state.unverified) && state.networkReady) turn.act({ type: 'attachNetwork', sandbox });
  return state.attached;
}

const nextSandbox = (before: PodContainer | undefined): number =>
  before === undefined ? 0 : before.is.state === 'exited' ? before.attempt + 1 : before.attempt;

/** Init containers run one after another; the first that is not done is the one to look at. */
function advanceInit(state: PodState, nowMs: number, turn: Turn): void {
  for (const init of state.pod.spec.initContainers ?? []) {
    if (isInitDone(state, init)) {
      if (isSidecar(init)) advance(state, init, 'init', { nowMs, turn });
      continue;
    }
    const left = currentOf(state, init.name);
    if (left?.is.state === 'exited' && left.is.exitCode === 0)
      turn.act({ type: 'remove', container: left }); // done for a sandbox that is no more
    else advance(state, init, 'init', { nowMs, turn });
    return;
  }
}

function advance(
  state: PodState,
  container: Container,
  kind: ContainerKind,
  { nowMs, turn }: { readonly nowMs: number; readonly turn: Turn },
): void {
  const plan = planContainer(state, container, nowMs);
  switch (plan.step) {
    case 'start':
      if (plan.pull) turn.act({ type: 'pull', container });
      else turn.act({ type: 'start', kind, container, attempt: plan.attempt, crashes: plan.crashes });
      return;
    case 'running': {
      const { current } = plan;
      const verdict = state.probes.get(current.is.id);
      const healthy = verdict?.alive !== false;
      if (healthy && current.is.image === container.image) return;
      const why = healthy ? 'imageChanged' : verdict.started ? 'unhealthy' : 'startupFailed';
      const probe = why === 'startupFailed' ? container.startupProbe : container.livenessProbe;
      const seconds = healthy ? undefined : probe?.terminationGracePeriodSeconds;
      const deadlineMs = nowMs + (seconds === undefined ? graceMsOf(state) : seconds * 1000);
      stopAll(state, [current], { deadlineMs, nowMs, why, turn });
      return;
    }
    case 'backOff':
      return turn.wakeAt(nowMs < cannotStartTurnsAt(plan.current) ? cannotStartTurnsAt(plan.current) : plan.untilMs);
    case 'setback': {
      const turnsAt = setbackTurnsAt(plan.setback);
      return turn.wakeAt(nowMs < turnsAt ? turnsAt : plan.setback.retryAtMs);
    }
    case 'pulling':
    case 'done':
      return;
  }
}

/** Those before the last two are removed, though not while the last may still be on its way to serving: the engine has enough to do then. */
function tidyUp(state: PodState, nowMs: number, turn: Turn): void {
  for (const container of olderThanTheLast(state)) {
    const current = currentOf(state, container.name);
    const startedMs = current?.is.state === 'running' ? (current.at?.startedMs ?? current.is.startedAtMs) : undefined;
    const fromMs = state.tidy === true || startedMs === undefined ? nowMs : startedMs + tidyAfterMs;
    // A start that seems to lie ahead is one by a clock that was set back.
    if (nowMs >= fromMs || fromMs > nowMs + tidyAfterMs) turn.act({ type: 'remove', container });
    else turn.wakeAt(fromMs);
  }
}

const aheadOf = ({ ahead = [] }: PodState): readonly PodContainer[] => ahead;

/** The last attempt and the one before it (for its logs) are kept. */
function olderThanTheLast(state: PodState): readonly PodContainer[] {
  const kept = state.tidy === true ? 0 : 1;
  const newest = new Map<string, number>();
  for (const { name, attempt } of state.containers) newest.set(name, Math.max(attempt, newest.get(name) ?? 0));
  return state.containers.filter(
    (container) => container.is.state !== 'running' && container.attempt < (newest.get(container.name) ?? 0) - kept,
  );
}

// ---- Ending ------------------------------------------------------------------------------------

/** The pod is over but still known: nothing runs any more, what it printed can still be read. */
function rest(state: PodState, nowMs: number, why: StopReason): Decision {
  const turn = new Turn();
  const running = runningOf(state);
  const deadlineMs = Math.min(nowMs + graceMsOf(state), state.ending?.deadlineMs ?? Infinity);
  stopAll(state, running, { deadlineMs, nowMs, why, turn, inOrder: true });
  if (running.length > 0) return turn.decision();
  for (const container of aheadOf(state)) turn.act({ type: 'remove', container });
  for (const sandbox of sandboxesOf(state)) turn.act({ type: 'removeSandbox', sandbox });
  if (leavesNothing(state.pod) || (state.tidy === true && isTerminal(state.pod))) {
    for (const container of state.containers) turn.act({ type: 'remove', container });
    if (turn.idle && state.volumesReady) turn.act({ type: 'removeVolumes' });
  } else if (turn.idle && state.volumesReady && (state.pod.spec.volumes ?? []).length > 0)
    turn.act({ type: 'unmountVolumes' });
  return turn.decision();
}

/** The pod was deleted: end it, leave nothing, say so. */
function end(state: PodState, nowMs: number): Decision {
  const turn = new Turn();
  const running = runningOf(state);
  const outOfTrafficMs = withdrawalEndsMs(state);
  if (running.length > 0 && outOfTrafficMs !== undefined && nowMs < outOfTrafficMs) {
    if (state.withdrawal === undefined) turn.act({ type: 'withdraw', untilMs: outOfTrafficMs });
    turn.wakeAt(outOfTrafficMs);
    return turn.decision();
  }
  if (running.length > 0) {
    const graceEndsMs = (state.endingSinceMs ?? nowMs) + graceMsOf(state);
    const deadlineMs = Math.min(graceEndsMs, state.ending?.deadlineMs ?? Infinity);
    stopAll(state, running, { deadlineMs, nowMs, why: 'deleted', turn, inOrder: true });
    return turn.decision();
  }
  for (const container of [...state.containers, ...aheadOf(state)]) turn.act({ type: 'remove', container });
  for (const sandbox of sandboxesOf(state)) turn.act({ type: 'removeSandbox', sandbox });
  if (turn.idle && state.volumesReady) turn.act({ type: 'removeVolumes' });
  if (turn.idle && !state.gone) turn.act({ type: 'confirmDeletion' });
  return turn.decision();
}

/**
 * Until when the pod, which was deleted, may wait to be taken out of traffic; undefined where it need not, or not any more. The grace goes
 * on meanwhile: who is killed at its end stays as it was.
 */
function withdrawalEndsMs(state: PodState): number | undefined {
  const { pod, gone, served, withdrawal, stopping, ending } = state;
  if (gone || served !== true || withdrawal === 'done' || stopping.size > 0 || ending !== undefined) return undefined;
  if (state.endingSinceMs === undefined || isTerminal(pod)) return undefined;
  return state.endingSinceMs + withdrawalBoundMs(pod, graceMsOf(state));
}

interface StopOptions {
  readonly deadlineMs: number;
  readonly nowMs: number;
  readonly why: StopReason;
  readonly turn: Turn;
  /** Sidecars go after those that they serve. */
  readonly inOrder?: boolean;
}

/** One that is being stopped already is ended where its time has become shorter. When the time is over, all go. */
function stopAll(
  state: PodState,
  running: readonly PodContainer[],
  { deadlineMs, nowMs, why, turn, inOrder = false }: StopOptions,
): void {
  const leastMs = Math.min(lateGraceMs, graceMsOf(state));
  // Nobody waits for a shell that somebody left open: when the pod's own are gone, so is it.
  if (running.every(({ kind }) => kind === 'ephemeral')) deadlineMs = nowMs;
  const now = new Set(inOrder && nowMs < deadlineMs ? nextToStop(state.pod, running) : running);
  for (const container of running) {
    const stopping = state.stopping.get(container.is.id);
    if (stopping === undefined) {
      if (!now.has(container)) turn.wakeAt(deadlineMs);
      else turn.act({ type: 'stop', container, deadlineMs: Math.max(deadlineMs, nowMs + leastMs), why });
      continue;
    }
    const untilMs = Math.min(stopping.deadlineMs, Math.max(deadlineMs, stopping.sinceMs + leastMs));
    if (nowMs >= untilMs) turn.act({ type: 'kill', container });
    else turn.wakeAt(untilMs);
  }
}

function graceMsOf({ pod, gone }: PodState): number {
  const seconds = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds;
  return gone ? Math.min(forcedGraceMs, seconds * 1000) : seconds * 1000;
}

const runningOf = (state: PodState): readonly PodContainer[] =>
  state.containers.filter((container) => container.is.state === 'running');

const sandboxesOf = (state: PodState): readonly PodContainer[] =>
  state.sandbox === undefined ? state.oldSandboxes : [state.sandbox, ...state.oldSandboxes];

/** Gathers one decision. */
class Turn {
  readonly #actions: Action[] = [];
  #wakeAtMs: number | undefined;

  act(...actions: readonly Action[]): void {
    this.#actions.push(...actions);
  }
  wakeAt(ms: number | undefined): void {
    if (ms !== undefined) this.#wakeAtMs = Math.min(ms, this.#wakeAtMs ?? Infinity);
  }
  get idle(): boolean {
    return this.#actions.length === 0;
  }
  decision(): Decision {
    return { actions: this.#actions, ...(this.#wakeAtMs === undefined ? {} : { wakeAtMs: this.#wakeAtMs }) };
  }
}
