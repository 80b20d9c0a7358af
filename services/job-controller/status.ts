import { endOfJob, isIndexed, isTrue } from '../../lib/api/jobs.ts';
import type { Job, JobCondition, JobStatus } from '../../lib/api/objects.ts';
import { withCondition } from '../../lib/api/pods.ts';
import { rfc3339 } from '../../lib/base/clock.ts';
import { formatIndexes } from './indexes.ts';
import type { Tally } from './tally.ts';
import { newVerdict, verdictOf } from './verdict.ts';

/**
 * What is to be said of a Job. The verdict comes first, as a condition; that it is Complete or Failed is said when nothing of it
 * runs any more and everything is counted. Counters that are 0 are left out, as the stored form has them.
 */
export function statusOf(job: Job, tally: Tally, tracked: number, nowMs: number): JobStatus {
  const { status } = job;
  const verdict = verdictOf(job) ?? newVerdict(job, tally, nowMs);
  let conditions: readonly JobCondition[] = status.conditions ?? [];
  const set = (condition: JobCondition): void => {
    conditions = withCondition<JobCondition>(conditions, condition, nowMs);
  };
  const resumed = !job.spec.suspend && isTrue(status, 'Suspended');
  let end: JobStatus['completionTime'];
  if (verdict !== undefined) {
    const { type, reason, message } = verdict;
    set({ type, status: 'True', reason, message });
    const isLast =
      tracked === 0 &&
      tally.active.length === 0 &&
      tally.terminating.length === 0 &&
      tally.uncounted.failed.length === 0;
    if (isLast && tally.uncounted.succeeded.length === 0 && endOfJob(job) === undefined) {
      set({ type: type === 'SuccessCriteriaMet' ? 'Complete' : 'Failed', status: 'True', reason, message });
      if (type === 'SuccessCriteriaMet') end = rfc3339(nowMs);
    }
  } else if (job.spec.suspend)
    set({ type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' });
  else if (resumed) set({ type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' });

  const started =
    job.spec.suspend && verdict === undefined
      ? status.startTime
      : ((resumed ? undefined : status.startTime) ?? rfc3339(nowMs));
  const { uncounted, counted } = tally;
  return {
    ...(conditions.length > 0 && { conditions }),
    ...(started !== undefined && { startTime: started }),
    ...((end ?? status.completionTime) !== undefined && { completionTime: end ?? status.completionTime }),
    ...count('active', tally.active.length),
    ready: tally.ready,
    ...count('terminating', tally.terminating.length),
    ...count('succeeded', counted.succeeded),
    ...count('failed', counted.failed),
    ...(isIndexed(job) && tally.completed.size > 0 && { completedIndexes: formatIndexes(tally.completed) }),
    ...(isIndexed(job) && tally.failedIndexes.size > 0 && { failedIndexes: formatIndexes(tally.failedIndexes) }),
    ...(uncounted.succeeded.length + uncounted.failed.length > 0 && {
      uncountedTerminatedPods: {
        ...(uncounted.succeeded.length > 0 && { succeeded: uncounted.succeeded }),
        ...(uncounted.failed.length > 0 && { failed: uncounted.failed }),
      },
    }),
  };
}

const count = (field: string, value: number): Record<string, number> => (value === 0 ? {} : { [field]: value });

/** When it ended, in milliseconds; undefined while it has not. */
export function finishedMs(job: Job): number | undefined {
  const end = endOfJob(job);
  const time = job.status.conditions?.find(({ type }) => type === end)?.lastTransitionTime;
  return end === undefined || time === undefined ? undefined : Date.parse(time);
}
