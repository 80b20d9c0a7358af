import type { ContainerStatus, Pod } from '../api/objects.ts';
import { conditionOf, isAvailable, isDeleting } from '../api/pods.ts';

/** Why a rollout cannot be good: one of its pods says so. */
export interface Failure {
  /** As the pod has it: `CrashLoopBackOff`, `ImagePullBackOff`. */
  readonly reason: string;
  readonly message: string;
}

/** What a container waits for that will not come by itself. */
const hopeless: ReadonlySet<string> = new Set([
  ...['CrashLoopBackOff', 'ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName'],
  ...['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'PostStartHookError'],
]);
/** Once may be an accident, such as a database that starts later; what has ended so often and still is not available is a fault. */
const ends = 2;

/** The first failure among the pods of a new template, by name; a pod that is available has none, whatever it went through. */
export function failureAmong(pods: readonly Pod[], minReadySeconds: number, nowMs: number): Failure | undefined {
  return lacking(pods, minReadySeconds, nowMs)
    .map(failureOf)
    .find((failure) => failure !== undefined);
}

/** What the first of the pods that are not available waits for, in words: the cause that a missed deadline has. */
export function delayAmong(pods: readonly Pod[], minReadySeconds: number, nowMs: number): string | undefined {
  return lacking(pods, minReadySeconds, nowMs)
    .map(delayOf)
    .find((delay) => delay !== undefined);
}

/** Those that are not available yet, by name. */
export const lacking = (pods: readonly Pod[], minReadySeconds: number, nowMs: number): readonly Pod[] =>
  pods
    .filter((pod) => !isDeleting(pod) && !isAvailable(pod, minReadySeconds, nowMs))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));

function delayOf({ metadata, status }: Pod): string | undefined {
  const { initContainerStatuses = [], containerStatuses = [] } = status;
  const told = [...initContainerStatuses, ...containerStatuses].map(({ name, state, lastState }) => {
    const { reason = 'waiting', message } = state?.waiting ?? {};
    if (message !== undefined && message !== '') return `container ${name}: ${reason}: ${message}`;
    const ended = lastState?.terminated;
    const isUp = state?.running !== undefined;
    return ended === undefined || isUp ? undefined : `container ${name}: ended with exit code ${ended.exitCode}`;
  });
  const conditions = ['PodScheduled', 'Initialized', 'Ready'].map((type) => {
    const condition = conditionOf(status, type);
    if (condition?.status !== 'False' || condition.message === undefined) return undefined;
    return [condition.reason, condition.message].filter((part) => part !== undefined && part !== '').join(': ');
  });
  const words = [...told, ...conditions].find((each) => each !== undefined);
  return words === undefined ? undefined : `pod ${metadata.name}: ${words}`;
}

export function failureOf(pod: Pod): Failure | undefined {
  const { phase, reason = 'Failed', message, containerStatuses = [], initContainerStatuses = [] } = pod.status;
  const who = `pod ${pod.metadata.name}`;
  if (phase === 'Failed') return { reason, message: message === undefined ? `${who} failed` : `${who}: ${message}` };
  for (const status of [...initContainerStatuses, ...containerStatuses]) {
    const found = failureIn(status);
    if (found !== undefined)
      return { reason: found.reason, message: `${who}: container ${status.name}: ${found.message}` };
  }
  return undefined;
}

function failureIn({ state, lastState, restartCount, ready }: ContainerStatus): Failure | undefined {
  const waiting = state?.waiting;
  const ended = state?.terminated ?? lastState?.terminated;
  const last = ended === undefined ? '' : `${ended.reason ?? 'ended'} with exit code ${ended.exitCode}`;
  const { reason = '' } = waiting ?? {};
  if (hopeless.has(reason)) {
    const message = [reason, waiting?.message, last].filter((part) => part !== undefined && part !== '').join(': ');
    return { reason, message };
  }
  if (restartCount < ends || ready || ended === undefined || ended.exitCode === 0) return undefined;
  return { reason: 'CrashLoopBackOff', message: `it ended ${restartCount} times, last ${last}` };
}
