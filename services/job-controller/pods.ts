import { completionIndex, indexFailures, jobTracking } from '../../lib/api/jobs.ts';
import type { ContainerStatus, Job, Pod } from '../../lib/api/objects.ts';
import { isDeleting, isTerminal } from '../../lib/api/pods.ts';

/** How a pod of a Job stands. Pure; what it says of a pod only ever moves from the first two to the last two. */
export type Standing = 'active' | 'terminating' | 'succeeded' | 'failed';

/**
 * A pod on its way out counts as failed at once, or with `podReplacementPolicy: Failed` when it has ended. One whose end the
 * node has confirmed, or that was removed by force, is held by nothing but finalizers: it has ended too, whatever its phase.
 */
export function standingOf(job: Job, pod: Pod): Standing {
  if (pod.status.phase === 'Succeeded') return 'succeeded';
  if (pod.status.phase === 'Failed') return 'failed';
  if (!isDeleting(pod)) return 'active';
  return job.spec.podReplacementPolicy === 'Failed' && !isOver(pod) ? 'terminating' : 'failed';
}

/** Nothing of it runs any more. */
export const isOver = (pod: Pod): boolean =>
  isTerminal(pod) || (isDeleting(pod) && (pod.metadata.deletionGracePeriodSeconds ?? 0) === 0);

/** Was told to end and has not yet. */
export const isLeaving = (pod: Pod): boolean => isDeleting(pod) && !isOver(pod);

/** Waits to be counted. */
export const isTracked = (pod: Pod): boolean => pod.metadata.finalizers?.includes(jobTracking) === true;

/** The pod's number among those of an Indexed Job; undefined where it has none. */
export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[completionIndex] ?? '';
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

/** How often its index had failed when the pod was made. */
export function failuresBefore(pod: Pod): number {
  const text = pod.metadata.annotations?.[indexFailures] ?? '';
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
}

export const containersOf = ({ status }: Pod): readonly ContainerStatus[] => [
  ...(status.initContainerStatuses ?? []),
  ...(status.containerStatuses ?? []),
];

/** When it ended, or was told to; the last moment that is known of it. */
export function endedMs(pod: Pod): number {
  const { metadata, status } = pod;
  const moments = [
    ...containersOf(pod).map(({ state }) => state?.terminated?.finishedAt),
    ...(status.conditions ?? []).map(({ lastTransitionTime }) => lastTransitionTime),
    metadata.creationTimestamp,
  ].map((time) => Date.parse(time ?? ''));
  const asked = Date.parse(metadata.deletionTimestamp ?? '') - (metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  return Math.max(...[...moments, isTerminal(pod) ? NaN : asked].filter((ms) => !Number.isNaN(ms)));
}
