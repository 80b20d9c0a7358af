import { isIndexed } from '../../lib/api/jobs.ts';
import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { CronJob, Job, Pod } from '../../lib/api/objects.ts';
import { jobDurationText, jobStatusText } from '../../lib/api/printing/batch.ts';
import type { Outline } from './outline.ts';
import { podWords } from './pod-words.ts';

/** How far a Job is and why, with its pods that are still there. */
export function describeJob(job: Job, pods: readonly Pod[], nowMs: number): Outline {
  const { spec, status } = job;
  const counts = [
    `${status.active ?? 0} active (${status.ready ?? 0} ready)`,
    `${status.succeeded ?? 0} succeeded`,
    `${status.failed ?? 0} failed`,
    ...(status.terminating === undefined ? [] : [`${status.terminating} terminating`]),
  ];
  const verdict = status.conditions?.find(({ type }) => ['FailureTarget', 'Failed'].includes(type));
  return [
    ['Status', jobStatusText(job)],
    ['Why', verdict === undefined ? undefined : `${verdict.reason ?? ''}: ${verdict.message ?? ''}`],
    ['Selector', formatSelector(selectorOfLabelSelector(spec.selector))],
    ['Parallelism', String(spec.parallelism)],
    ['Completions', spec.completions === undefined ? 'a work queue' : String(spec.completions)],
    ['Completion mode', spec.completionMode],
    ['Suspended', spec.suspend ? 'yes' : undefined],
    [
      'Back-off limit',
      spec.backoffLimitPerIndex === undefined
        ? String(spec.backoffLimit)
        : `${spec.backoffLimitPerIndex} for each index`,
    ],
    ['Deadline', spec.activeDeadlineSeconds === undefined ? undefined : `${spec.activeDeadlineSeconds}s`],
    [
      'Time to live',
      spec.ttlSecondsAfterFinished === undefined ? undefined : `${spec.ttlSecondsAfterFinished}s after its end`,
    ],
    ['Started', status.startTime],
    ['Completed', status.completionTime],
    ['Duration', jobDurationText(job, nowMs)],
    ['Pods', counts.join(', ')],
    ['Completed indexes', isIndexed(job) ? (status.completedIndexes ?? '<none>') : undefined],
    ['Failed indexes', status.failedIndexes],
    ['Pod status', pods.map((pod) => `${pod.metadata.name}: ${podWords(pod)}`).sort()],
  ];
}

/** When it is due, what it made, and what of it still runs. */
export function describeCronJob({ spec, status }: CronJob): Outline {
  return [
    ['Schedule', spec.schedule],
    ['Time zone', spec.timeZone ?? 'UTC'],
    ['Suspended', spec.suspend ? 'yes' : 'no'],
    ['Side by side', spec.concurrencyPolicy],
    ['Starting deadline', spec.startingDeadlineSeconds === undefined ? undefined : `${spec.startingDeadlineSeconds}s`],
    ['Kept', `${spec.successfulJobsHistoryLimit} that succeeded, ${spec.failedJobsHistoryLimit} that failed`],
    ['Last due', status.lastScheduleTime ?? '<none>'],
    ['Last success', status.lastSuccessfulTime ?? '<none>'],
    ['Active Jobs', (status.active ?? []).map(({ name = '' }) => name)],
  ];
}
