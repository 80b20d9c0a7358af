import type { Container, Pod } from '../lib/api/objects.ts';
import type { PodEnding } from './eviction/pod-ending.ts';
import type { PodContainer } from './labels.ts';

/** What the agent knows of one pod at one moment. Plain data: decisions and the status are functions of it. Times in ms since 1970. */
export interface PodState {
  /** The newest that the API said. */
  readonly pod: Pod;
  /** The API has it no more (or has another pod of its name). */
  readonly gone: boolean;
  /** When the agent first saw that the pod must end; undefined while it may live. */
  readonly endingSinceMs: number | undefined;
  /** The node itself ends the pod, which stays known to the API as failed. */
  readonly ending?: PodEnding | undefined;
  /** The newest sandbox, and what is left of older ones. */
  readonly sandbox: PodContainer | undefined;
  readonly oldSandboxes: readonly PodContainer[];
  /** Every attempt of every container, newest attempt first. */
  readonly containers: readonly PodContainer[];
  /** The node can give addresses. */
  readonly networkReady: boolean;
  /** The sandbox has its address; always so on the host's network. */
  readonly attached: boolean;
  /** It was so when the agent took over, and has not been looked at yet. */
  readonly unverified: boolean;
  readonly volumesReady: boolean;
  /** Under the container's name; `''` is what concerns the whole pod (volumes, sandbox). */
  readonly setbacks: ReadonlyMap<string, Setback>;
  /** Under the container's name: what is known of its image beyond trying. */
  readonly images: ReadonlyMap<string, 'absent' | 'pulling' | 'present'>;
  /** Under the container's id: those that are being stopped. */
  readonly stopping: ReadonlyMap<string, { readonly deadlineMs: number }>;
  /** Under the container's id, for those that have probes. */
  readonly probes: ReadonlyMap<string, ProbeVerdict>;
  /** Under the container's id: what it left at its termination message path. */
  readonly messages: ReadonlyMap<string, string>;
  readonly hostIp: string;
}

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
  | { readonly step: 'backOff'; readonly untilMs: number; readonly delayMs: number; readonly current: PodContainer }
  /** It ended and stays so. */
  | { readonly step: 'done'; readonly succeeded: boolean; readonly current: PodContainer };

const crashFirstMs = 10_000;
const crashMaxMs = 300_000;
/** A container that ran so long starts with a clean record. */
const forgivenAfterMs = 600_000;

/** The wait after a crash when `crashes` came before it in a row: none at first, then 10 s doubling to 300 s (F54; API spec 3.3). */
export const crashDelayMs = (crashes: number): number =>
  crashes === 0 ? 0 : Math.min(crashMaxMs, crashFirstMs * 2 ** Math.min(crashes - 1, 10));

/** A failed pull is told as such for a moment, then as the wait that follows: this is when the words change. */
export const setbackTurnsAt = (setback: Setback): number => setback.atMs + 1_000;

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';

/** The attempt that counts: the newest that runs, else the newest. */
export function currentOf(state: PodState, name: string): PodContainer | undefined {
  const attempts = state.containers.filter((container) => container.name === name);
  return attempts.find((container) => container.is.state === 'running') ?? attempts[0];
}

export function planContainer(state: PodState, container: Container, nowMs: number): ContainerPlan {
  const { pod } = state;
  const current = currentOf(state, container.name);
  if (current === undefined) return begin(state, container, { ...firstAttempt(pod, container), nowMs });
  const { is } = current;
  if (is.state === 'running') return { step: 'running', current };
  if (is.state === 'created' && is.error === undefined) {
    return begin(state, container, { attempt: current.attempt, crashes: current.crashes, nowMs }); // made, but never started
  }
  const succeeded = is.state === 'exited' && is.exitCode === 0;
  if (!isRestarted(pod, container, succeeded)) return { step: 'done', succeeded, current };

  const endedMs = endOf(current);
  const ranMs = endedMs - (is.startedAtMs ?? endedMs);
  const crashes = ranMs >= forgivenAfterMs ? 0 : current.crashes;
  const delayMs = crashDelayMs(crashes);
  if (nowMs < endedMs + delayMs) return { step: 'backOff', untilMs: endedMs + delayMs, delayMs, current };
  return begin(state, container, { attempt: current.attempt + 1, crashes: crashes + 1, nowMs });
}

/** When it ended; for one that could not be started, when that was tried. */
export const endOf = ({ is }: PodContainer): number => is.finishedAtMs ?? is.startedAtMs ?? is.createdAtMs;

/** Init containers are run again only when they failed; a sidecar always. */
function isRestarted(pod: Pod, container: Container, succeeded: boolean): boolean {
  if (isSidecar(container)) return true;
  const policy = pod.spec.restartPolicy;
  const isInit = pod.spec.initContainers?.some((init) => init.name === container.name) === true;
  if (policy === 'Never') return false;
  return policy === 'Always' && !isInit ? true : !succeeded;
}

/** Where the engine remembers nothing of a container that ran before, its count goes on from what the API knows. */
function firstAttempt(pod: Pod, { name }: Container): { readonly attempt: number; readonly crashes: number } {
  const known = pod.status.containerStatuses?.find((status) => status.name === name);
  const ran = known?.containerID !== undefined && known.containerID !== '';
  return { attempt: ran ? known.restartCount + 1 : 0, crashes: 0 };
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
export function isOfPresentSandbox(state: PodState, container: PodContainer): boolean {
  return state.sandbox !== undefined && container.is.createdAtMs >= state.sandbox.is.createdAtMs;
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
  if (isSidecar(init)) return current.is.state === 'running' && (state.probes.get(current.is.id)?.started ?? true);
  const fresh = state.sandbox === undefined || isOfPresentSandbox(state, current);
  return fresh && current.is.state === 'exited' && current.is.exitCode === 0;
}

/** When the pod's time is up (activeDeadlineSeconds after its start); undefined when it has no deadline or no start. */
export function deadlineOf(pod: Pod): number | undefined {
  const { activeDeadlineSeconds: seconds } = pod.spec;
  const start = Date.parse(pod.status.startTime ?? '');
  return seconds === undefined || Number.isNaN(start) ? undefined : start + seconds * 1000;
}

/** Its time ran out before it had ended by itself. */
export function isPastDeadline(state: PodState, nowMs: number): boolean {
  const deadline = deadlineOf(state.pod);
  if (deadline === undefined || nowMs < deadline) return false;
  const outcome = outcomeOf(state, nowMs);
  return outcome === undefined || Math.max(0, ...state.containers.map(endOf)) >= deadline;
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
