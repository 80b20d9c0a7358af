import type { Container } from '../lib/api/objects.ts';
import { isTerminal } from '../lib/api/pods.ts';
import type { Attempt } from './create-container.ts';
import type { PodContainer } from './labels.ts';
import { currentOf, isOfPresentSandbox, isPastDeadline, isSidecar, planContainer, type PodState } from './plan.ts';

/**
 * The attempt that follows a death is made at the kernel's word of it, while the engine still tidies up after the dead: the two do not wait for
 * each other. It is started, as ever, only once the engine has said how the one before it ended, and if that calls for this very attempt;
 * else it is removed. Until then it counts for nothing (docs/decisions/attempts-made-ahead.md).
 */

/** A wait that is shorter than this is used for making what follows. */
const soonMs = 1_000;

/**
 * The attempt to make now that the kernel has told of a container's end, of which the engine knows nothing yet; undefined where it may not be wanted:
 * only such as are started again whatever their exit code, at once or soon, with nothing else to be done before.
 */
export function attemptAhead(state: PodState, containerId: string, nowMs: number): Attempt | undefined {
  const { pod, stopped, stopping, sandbox, attached, unverified, volumesReady, volumesStale } = state;
  if (state.gone || state.endingSinceMs !== undefined || state.ending !== undefined) return undefined;
  if (isTerminal(pod) || isPastDeadline(state, nowMs)) return undefined;
  if (sandbox?.is.state !== 'running' || !attached || unverified || !volumesReady || volumesStale === true)
    return undefined;
  const dead = state.containers.find(({ is }) => is.id === containerId);
  if (dead?.is.state !== 'running' || stopped.has(containerId) || stopping.has(containerId)) return undefined;
  if (currentOf(state, dead.name) !== dead || state.ahead?.some(({ name }) => name === dead.name) === true)
    return undefined;
  const container = wishFor(state, dead.name);
  if (container === undefined || !isOfPresentSandbox(state, dead)) return undefined;
  if (!isSidecar(container) && (pod.spec.restartPolicy !== 'Always' || dead.kind !== 'container')) return undefined;
  if (container.imagePullPolicy === 'Always' || container.image !== dead.is.image) return undefined;
  // One that has ended well before will do so again: how many crashes there were in a row would not be right.
  const before = state.containers.find(({ name, attempt }) => name === dead.name && attempt < dead.attempt);
  if (before?.is.exitCode === 0) return undefined;
  const crashed: PodContainer = {
    ...dead,
    is: { ...dead.is, state: 'exited', exitCode: 137, finishedAtMs: nowMs },
    at: { seenMs: nowMs, ...dead.at, endedMs: nowMs },
  };
  const containers = state.containers.map((each) => (each === dead ? crashed : each));
  const next = nextStart({ ...state, containers }, container, nowMs);
  return next === undefined ? undefined : { kind: dead.kind, container, ...next, ahead: true };
}

/** Whether an attempt that was made ahead is the one to come: the one before it still runs for all that is known, or has ended as was thought. */
export function isComing(state: PodState, made: PodContainer, nowMs: number): boolean {
  const container = wishFor(state, made.name);
  if (container?.image !== made.is.image || !isOfPresentSandbox(state, made)) return false;
  const current = currentOf(state, made.name);
  if (current?.is.state === 'running') return made.attempt === current.attempt + 1;
  const next = nextStart(state, container, nowMs);
  return next?.attempt === made.attempt && next.crashes === made.crashes;
}

/** The attempt that is to be started now or soon, without a pull before it. */
function nextStart(
  state: PodState,
  container: Container,
  nowMs: number,
): { readonly attempt: number; readonly crashes: number } | undefined {
  let plan = planContainer(state, container, nowMs);
  if (plan.step === 'backOff' && plan.untilMs - nowMs <= soonMs) plan = planContainer(state, container, plan.untilMs);
  return plan.step === 'start' && !plan.pull ? { attempt: plan.attempt, crashes: plan.crashes } : undefined;
}

const wishFor = ({ pod: { spec } }: PodState, name: string): Container | undefined =>
  [...(spec.initContainers ?? []), ...spec.containers].find((each) => each.name === name);
