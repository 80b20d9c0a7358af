import { lastDue, nextDue, parseSchedule, utc, wallIn } from '../../../lib/api/cron.ts';
import { endOfJob } from '../../../lib/api/jobs.ts';
import type { CronJob, CronJobStatus, Job, ObjectReference } from '../../../lib/api/objects.ts';
import { isDeleting } from '../../../lib/api/pods.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';

/** What is to be done for a CronJob, in this order. Deciding is kept apart from doing. */
export interface Plan {
  /** Former Jobs that a new one takes the place of. */
  readonly replace: readonly Job[];
  /** The time at which the Job to be made was due. */
  readonly startMs: number | undefined;
  /** Finished Jobs beyond those that are kept. */
  readonly forget: readonly Job[];
  /** What to tell about a time at which nothing is made. */
  readonly skipped: { readonly reason: 'JobAlreadyActive' | 'MissedSchedule'; readonly dueMs: number } | undefined;
  readonly againInMs: number | undefined;
}

/** Timers take no longer ones; the loop looks again anyway. */
const longestMs = 3_600_000;

/**
 * What a CronJob asks for now. `jobs` are those that it controls. Of several times that were missed the last one counts. Depends on its
 * arguments only: the Job of a time bears the time in its name, so that deciding twice makes it once.
 */
export function decide(cron: CronJob, jobs: readonly Job[], nowMs: number): Plan {
  const { spec, status, metadata } = cron;
  const active = jobs.filter(isRunning);
  const plan = { replace: [], startMs: undefined, forget: tooOld(cron, jobs), skipped: undefined };
  if (spec.suspend) return { ...plan, againInMs: undefined };
  const schedule = parseSchedule(spec.schedule);
  const wall = spec.timeZone === undefined ? utc : wallIn(spec.timeZone);
  const next = nextDue(schedule, wall, nowMs);
  const againInMs = next === undefined ? undefined : Math.min(next - nowMs, longestMs);
  // A clock that was ahead and is right again must not keep it waiting for a time that it has made a Job for.
  const lastMs = Math.min(Date.parse(status.lastScheduleTime ?? metadata.creationTimestamp), nowMs);
  const dueMs = lastDue(schedule, wall, lastMs, nowMs);
  if (dueMs === undefined) return { ...plan, againInMs };
  if (spec.startingDeadlineSeconds !== undefined && dueMs + spec.startingDeadlineSeconds * 1000 < nowMs)
    return { ...plan, againInMs, skipped: { reason: 'MissedSchedule', dueMs } };
  if (spec.concurrencyPolicy === 'Forbid' && active.length > 0)
    return { ...plan, againInMs, skipped: { reason: 'JobAlreadyActive', dueMs } };
  return { ...plan, againInMs, startMs: dueMs, replace: spec.concurrencyPolicy === 'Replace' ? active : [] };
}

const isRunning = (job: Job): boolean => endOfJob(job) === undefined && !isDeleting(job);

function tooOld({ spec }: CronJob, jobs: readonly Job[]): readonly Job[] {
  const beyond = (end: 'Complete' | 'Failed', kept: number): readonly Job[] =>
    jobs
      .filter((job) => endOfJob(job) === end && !isDeleting(job))
      .sort((a, b) => startedMs(b) - startedMs(a) || (a.metadata.name < b.metadata.name ? 1 : -1))
      .slice(kept);
  return [...beyond('Complete', spec.successfulJobsHistoryLimit), ...beyond('Failed', spec.failedJobsHistoryLimit)];
}
const startedMs = ({ metadata, status }: Job): number => Date.parse(status.startTime ?? metadata.creationTimestamp);

/** What is to be said of a CronJob, with `startedMs` the time of the Job that was just made. */
export function cronStatusOf({ status }: CronJob, jobs: readonly Job[], dueMs: number | undefined): CronJobStatus {
  const active = jobs
    .filter(isRunning)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map(referenceOf);
  const successes = jobs.flatMap((job) => (endOfJob(job) === 'Complete' ? [job.status.completionTime ?? ''] : []));
  const lastSuccess = [...successes, status.lastSuccessfulTime ?? ''].sort().at(-1);
  const lastSchedule = dueMs === undefined ? status.lastScheduleTime : rfc3339(dueMs);
  return {
    ...(active.length > 0 && { active }),
    ...(lastSchedule !== undefined && { lastScheduleTime: lastSchedule }),
    ...(lastSuccess !== undefined && lastSuccess !== '' && { lastSuccessfulTime: lastSuccess }),
  };
}

const referenceOf = ({ apiVersion, kind, metadata }: Job): ObjectReference => ({
  apiVersion,
  kind,
  name: metadata.name,
  ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
  uid: metadata.uid,
});
