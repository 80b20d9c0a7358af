import type { Job } from './objects.ts';

/** What Jobs and their pods are marked with, and what is asked of them in more than one place. */

/** On each pod of a Job; the selector that the API makes asks for it. */
export const controllerUidLabel = 'batch.kubernetes.io/controller-uid';
export const jobNameLabel = 'batch.kubernetes.io/job-name';
/** The same under the names that they had first; tools still select by them. */
export const formerControllerUidLabel = 'controller-uid';
export const formerJobNameLabel = 'job-name';

/** Which of the numbers of an Indexed Job a pod has: an annotation, and a label of the same name. */
export const completionIndex = 'batch.kubernetes.io/job-completion-index';
export const completionIndexVariable = 'JOB_COMPLETION_INDEX';
/** How often the index of a pod had failed when the pod was made (`backoffLimitPerIndex`). */
export const indexFailures = 'batch.kubernetes.io/job-index-failure-count';
/** The same, of failures that the failure policy ignores. */
export const indexIgnoredFailures = 'batch.kubernetes.io/job-index-ignored-failure-count';

/** Holds a pod of a Job until it has been counted. */
export const jobTracking = 'batch.kubernetes.io/job-tracking';

/** The one who sees to Jobs that name nobody in `managedBy`. */
export const builtInJobController = 'kubernetes.io/job-controller';

/** The most indexes, and pods at once of an Indexed Job: what one status can tell. */
export const maxIndexes = 100_000;

/** How a Job ended; undefined while it has not. */
export function endOfJob({ status }: Job): 'Complete' | 'Failed' | undefined {
  for (const type of ['Complete', 'Failed'] as const) if (isTrue(status, type)) return type;
  return undefined;
}

export const isTrue = ({ conditions = [] }: Job['status'], type: string): boolean =>
  conditions.some((condition) => condition.type === type && condition.status === 'True');

/** Whether a Job's pods have numbers. */
export const isIndexed = ({ spec }: Job): boolean => spec.completionMode === 'Indexed';
