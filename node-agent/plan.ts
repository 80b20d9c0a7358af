import { allContainers, containerStatusIn } from '../lib/api/container-choice.ts';
import type { Container, ContainerStatus, EphemeralContainer, Pod } from '../lib/api/objects.ts';
import { restartBackoffOf, restartDelayMs } from '../lib/api/restart-backoff.ts';
import type { PodEnding } from './eviction/pod-ending.ts';
import type { PodContainer } from './labels.ts';

/** What the agent knows of one pod at one moment. Plain data: decisions and the status are functions of it. Times in ms by the agent's steady clock. */
export interface PodState {
  /** The newest that the API said. */
  readonly pod: Pod;
  /** When the pod started; where it is absent, its status tells. */
  readonly startedMs?: number;
  /** The API has it no more (or has another pod of its name). */
  readonly gone: boolean;
  /** When the agent first saw that the pod must end; undefined while it may live. */
  readonly endingSinceMs: number | undefined;
  /** The node itself ends the pod, which stays known to the API as failed. */
  readonly ending?: PodEnding | undefined;
  /** The node is short of disk: containers that ended are not kept for their output. */
  readonly tidy?: boolean;
  /** A Service selects the pod: before it is stopped it has to be out of traffic. */
  readonly served?: boolean;
  readonly withdrawal?: 'underWay' | 'done' | undefined;
  /** The newest sandbox, and what is left of older ones. */
  readonly sandbox: PodContainer | undefined;
  readonly oldSandboxes: readonly PodContainer[];
  /** Every attempt of every container, newest attempt first, but for those that are ahead. */
  readonly containers: readonly PodContainer[];
  /** Made ahead of the word how the attempt before ended, and not started (`ahead.ts`). */
  readonly ahead?: readonly PodContainer[];
  /** The node can give addresses. */
  readonly networkReady: boolean;
  /** The sandbox has its address; always so on the host's network. */
  readonly attached: boolean;
  /** It was so when the agent took over, and has not been looked at yet. */
  readonly unverified: boolean;
  readonly volumesReady: boolean;
  /** What they are filled from may have changed. */
  readonly volumesStale?: boolean;
  /** Under the container's name; `''` is what concerns the whole pod (volumes, sandbox). */
  readonly setbacks: ReadonlyMap<string, Setback>;
  /** Under the container's name: what is known of its image beyond trying. */
  readonly images: ReadonlyMap<string, 'absent' | 'pulling' | 'present'>;
  /** Under the container's id: those that are being stopped. */
  readonly stopping: ReadonlyMap<string, { readonly sinceMs: number; readonly deadlineMs: number }>;
  /** Under the container's name: the newest that was removed because the pod is over. */
  readonly removed: ReadonlyMap<string, PodContainer>;
  /** Under the container's id: those that this agent has ever stopped, and why. */
  readonly stopped: ReadonlyMap<string, StopReason>;
  /** Ids of containers whose post-start hook is not through: they run, but have not started. */
  readonly hooking: ReadonlySet<string>;
  /** Under the container's id, for those that have probes. */
  readonly probes: ReadonlyMap<string, ProbeVerdict>;
  /** Under the container's id: what it left at its termination message path. */
  readonly messages: ReadonlyMap<string, string>;
  readonly hostIp: string;
}

/** Why a container is made to end. */
export type StopReason =
  | 'deleted'
  | 'deadline'
  | 'unhealthy'
  | 'startupFailed'
  | 'hookFailed'
  | 'imageChanged'
  | 'sandboxLost'
  | 'podEnded'
  | 'evicted';

/** Ended by us for these, a container is not through, whatever its exit code says. */
const unfinished: ReadonlySet<StopReason> = new Set(['unhealthy', 'startupFailed', 'hookFailed', 'sandboxLost']);

/** Something could not be done; it is tried again. */
export interface Setback {
  readonly reason: string;
  readonly message: string;
  readonly failures: number;
  readonly atMs: number;
  readonly retryAtMs: number;
}

export interface ProbeVerdict {
  readonly started: boolean;
  readonly ready: boolean;
  readonly alive: boolean;
}

/** What is to become of one container next. */
export type ContainerPlan =
  | { readonly step: 'running'; readonly current: PodContainer }
  | { readonly step: 'start'; readonly attempt: number; readonly crashes: number; readonly pull: boolean }
  | { readonly step: 'pulling' }
  | { readonly step: 'setback'; readonly setback: Setback }
  /** It crashed; the next attempt comes at `untilMs`. */
  | {
      readonly step: 'backOff';
      readonly untilMs: number;
      readonly delayMs: number;
      /** False where it ended well and is only kept from starting again and again without a pause. */
      readonly crashed: boolean;
      readonly current: PodContainer;
    }
  /** It ended and stays so. */
  | { readonly step: 'done'; readonly succeeded: boolean };

/** A container that ran so long starts with a clean record. */
const forgivenAfterMs = 600_000;
/** One that ends well is started again at once, though no more often than this. */
const startsEveryMs = 1_000;
/** What our clock and the engine's may differ by. */
const clockSlackMs = 5_000;

/** A failed pull is told as such for a moment, then as the wait that follows: this is when the words change. */
export const setbackTurnsAt = (setback: Setback): number => setback.atMs + 1_000;

/** The same for a container that the engine could not start; one that did start has turned before it began. */
export const cannotStartTurnsAt = (container: PodContainer): number =>
  container.is.error !== undefined && container.is.startedAtMs === undefined ? endedMsOf(container) + 1_000 : 0;

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';

export const isEphemeral = ({ spec }: Pod, { name }: Container): boolean =>
  spec.ephemeralContainers?.some((each) => each.name === name) === true;

/** Whose processes an ephemeral container is to see beside its own, as long as that one does not run; undefined: it may start. */
export function missingTarget(
  state: PodState,
  { targetContainerName: target = '' }: EphemeralContainer,
): string | undefined {
  const { hostPID, shareProcessNamespace } = state.pod.spec;
  if (target === '' || hostPID === true || shareProcessNamespace === true) return undefined;
  return currentOf(state, target)?.is.state === 'running' ? undefined : target;
}

/** The attempt that counts: the newest that runs, else the newest. */
export function currentOf(state: PodState, name: string): PodContainer | undefined {
  const attempts = state.containers.filter((container) => container.name === name);
  return attempts.find((container) => container.is.state === 'running') ?? attempts[0];
}

export function planContainer(state: PodState, container: Container, nowMs: number): ContainerPlan {
  const { pod } = state;
  const current = currentOf(state, container.name);
  if (current === undefined) return planVanished(state, container, nowMs);
  const { is } = current;
  if (is.state === 'running') return { step: 'running', current };
  if (is.state === 'created' && is.error === undefined) {
    return begin(state, container, { attempt: current.attempt, crashes: current.crashes, nowMs }); // made, but never started
  }
  const why = state.stopped.get(is.id);
  // One that answers SIGTERM with exit code 0 has not succeeded where it was ended before it was through.
  const succeeded = is.state === 'exited' && is.exitCode === 0 && !(why !== undefined && unfinished.has(why));
  if (why !== 'imageChanged' && !isRestarted(pod, container, succeeded)) return { step: 'done', succeeded };

  const next = { attempt: current.attempt + 1, nowMs };
  const isBlameless = why === 'imageChanged' || why === 'sandboxLost' || is.image !== container.image;
  if (isBlameless) return begin(state, container, { ...next, crashes: 0 });
  const endedMs = endedMsOf(current);
  const startedMs = current.at?.startedMs ?? is.startedAtMs ?? endedMs;
  const crashes = endedMs - startedMs >= forgivenAfterMs ? 0 : current.crashes;
  const untilMs = succeeded ? startedMs + startsEveryMs : endedMs + restartDelayMs(restartBackoffOf(pod), crashes);
  const delayMs = Math.max(0, untilMs - endedMs);
  // Where the clock was set back no wait is longer than it is meant to be.
  if (nowMs < untilMs && untilMs - nowMs <= delayMs + clockSlackMs)
    return { step: 'backOff', untilMs, delayMs, crashed: !succeeded, current };
  return begin(state, container, { ...next, crashes: succeeded ? crashes : crashes + 1 });
}

/**
 * The engine has no trace of it: it is new, or somebody removed it behind our back. What ran once and is not to be restarted is
 * never run a second time; how it ended nobody can tell any more.
 */
function planVanished(state: PodState, container: Container, nowMs: number): ContainerPlan {
  const known = containerStatusIn(state.pod, container.name);
  if (!hasRun(known)) return begin(state, container, { attempt: 0, crashes: 0, nowMs });
  const succeeded = known.state?.terminated?.exitCode === 0;
  const isInit = state.pod.spec.initContainers?.includes(container) === true;
  if (!(isInit && succeeded) && !isRestarted(state.pod, container, succeeded)) return { step: 'done', succeeded };
  return begin(state, container, { attempt: known.restartCount + 1, crashes: 0, nowMs });
}

export const hasRun = (
  known: ContainerStatus | undefined,
): known is ContainerStatus & { readonly containerID: string } =>
  known?.containerID !== undefined && known.containerID !== '';

/** When it ended; for one that could not be started, when that was tried. */
export const endOf = ({ is }: PodContainer): number => is.finishedAtMs ?? is.startedAtMs ?? is.createdAtMs;

/** The same by the steady clock. */
export const endedMsOf = (container: PodContainer): number =>
  container.at?.endedMs ?? container.is.finishedAtMs ?? container.at?.startedMs ?? endOf(container);

/** Init containers are run again only when they failed; a sidecar always, an ephemeral container never. */
function isRestarted(pod: Pod, container: Container, succeeded: boolean): boolean {
  if (isEphemeral(pod, container)) return false;
  if (isSidecar(container)) return true;
  const policy = pod.spec.restartPolicy;
  const isInit = pod.spec.initContainers?.some((init) => init.name === container.name) === true;
  if (policy === 'Never') return false;
  return policy === 'Always' && !isInit ? true : !succeeded;
}

function begin(
  state: PodState,
  container: Container,
  next: { readonly attempt: number; readonly crashes: number; readonly nowMs: number },
): ContainerPlan {
  const image = state.images.get(container.name);
  if (image === 'pulling') return { step: 'pulling' };
  const setback = state.setbacks.get(container.name);
  if (setback !== undefined && next.nowMs < setback.retryAtMs) return { step: 'setback', setback };
  const pull = container.imagePullPolicy === 'Always' ? image !== 'present' : image === 'absent';
  return { step: 'start', attempt: next.attempt, crashes: next.crashes, pull };
}

/** The containers that belong to the present sandbox: one that came before it has to run its init containers again. */
export function isOfPresentSandbox(
  { sandbox }: { readonly sandbox: PodContainer | undefined },
  { sandboxId, is }: PodContainer,
): boolean {
  if (sandbox === undefined) return false;
  return sandboxId === undefined ? is.createdAtMs >= sandbox.is.createdAtMs : sandboxId === sandbox.is.id;
}

/** Made, never started, and of no use any more: for a sandbox that is gone, or of an image that the pod no longer wants. */
export function isStale(state: PodState, container: PodContainer): boolean {
  if (container.is.state !== 'created' || container.is.error !== undefined || state.sandbox === undefined) return false;
  const wish = allContainers(state.pod.spec).find(({ name }) => name === container.name);
  return !isOfPresentSandbox(state, container) || wish?.image !== container.is.image;
}

/**
 * Whether all init containers have done their work: one that ended well, or a sidecar that has started. An app
 * container in the present sandbox proves it even where the init containers' remains were cleaned away.
 */
export function isInitialized(state: PodState): boolean {
  const inits = state.pod.spec.initContainers ?? [];
  if (inits.length === 0) return true;
  if (state.containers.some((container) => container.kind === 'container' && isOfPresentSandbox(state, container)))
    return true;
  return inits.every((init) => isInitDone(state, init));
}

export function isInitDone(state: PodState, init: Container): boolean {
  const current = currentOf(state, init.name);
  if (current === undefined) return false;
  if (isSidecar(init)) return current.is.state === 'running' && hasStarted(state, current);
  const fresh = state.sandbox === undefined || isOfPresentSandbox(state, current);
  return fresh && current.is.state === 'exited' && current.is.exitCode === 0;
}

/** Runs, its post-start hook is through, and its startup probe, where it has one, has passed. */
export const hasStarted = (state: PodState, { is }: PodContainer): boolean =>
  is.state === 'running' && !state.hooking.has(is.id) && (state.probes.get(is.id)?.started ?? true);

/** When the pod's time is up (activeDeadlineSeconds after its start); undefined when it has no deadline or no start. */
export function deadlineOf({ pod, startedMs }: Pick<PodState, 'pod' | 'startedMs'>): number | undefined {
  const { activeDeadlineSeconds: seconds } = pod.spec;
  const start = startedMs ?? Date.parse(pod.status.startTime ?? '');
  return seconds === undefined || Number.isNaN(start) ? undefined : start + seconds * 1000;
}

/** Its time ran out before it had ended by itself. */
export function isPastDeadline(state: PodState, nowMs: number): boolean {
  const deadline = deadlineOf(state);
  if (deadline === undefined || nowMs < deadline) return false;
  const outcome = outcomeOf(state, nowMs);
  const own = state.containers.filter(({ kind }) => kind !== 'ephemeral');
  return outcome === undefined || Math.max(0, ...own.map(endedMsOf)) >= deadline;
}

/** How the pod ended, once no container runs or will run again (F56); undefined while it lives. */
export function outcomeOf(state: PodState, nowMs: number): 'Succeeded' | 'Failed' | undefined {
  const { spec } = state.pod;
  const initPlans = (spec.initContainers ?? [])
    .filter((init) => !isSidecar(init))
    .map((init) => planContainer(state, init, nowMs));
  if (initPlans.some((plan) => plan.step === 'done' && !plan.succeeded)) return 'Failed';
  const plans = spec.containers.map((container) => planContainer(state, container, nowMs));
  if (!plans.every((plan) => plan.step === 'done')) return undefined;
  return plans.every((plan) => plan.succeeded) ? 'Succeeded' : 'Failed';
}
