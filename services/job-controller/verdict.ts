import { isIndexed } from '../../lib/api/jobs.ts';
import type { Job } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { keyOf } from '../../lib/api/keys.ts';
import { containersOf, endedMs } from './pods.ts';
import type { Tally } from './tally.ts';

/** How a Job is going to end. */
export interface Verdict {
  readonly type: 'SuccessCriteriaMet' | 'FailureTarget';
  readonly reason: string;
  readonly message: string;
}

/** The verdict that the status holds already: it is never taken back. */
export function verdictOf({ status }: Job): Verdict | undefined {
  for (const type of ['SuccessCriteriaMet', 'FailureTarget'] as const) {
    const found = conditionOf(status, type);
    if (found?.status === 'True') return { type, reason: found.reason ?? '', message: found.message ?? '' };
  }
  return undefined;
}

/** When the time of a Job that runs is over; undefined where it has no limit, or does not run. */
export function deadlineMs({ spec, status }: Job): number | undefined {
  const started = Date.parse(status.startTime ?? '');
  if (spec.activeDeadlineSeconds === undefined || spec.suspend || Number.isNaN(started)) return undefined;
  return started + spec.activeDeadlineSeconds * 1000;
}

/** The verdict that is due and not in the status yet. A suspended Job is judged when it goes on. */
export const newVerdict = (job: Job, tally: Tally, nowMs: number): Verdict | undefined =>
  verdictOf(job) !== undefined || job.spec.suspend ? undefined : judge(job, tally, nowMs);

/** What the tally means; undefined: go on. That it has succeeded counts for more than that it would have failed. */
function judge(job: Job, tally: Tally, nowMs: number): Verdict | undefined {
  const { spec } = job;
  if (hasSucceeded(job, tally))
    return {
      type: 'SuccessCriteriaMet',
      reason: 'CompletionsReached',
      message: 'Reached expected number of succeeded pods',
    };
  const failed = (reason: string, message: string): Verdict => ({ type: 'FailureTarget', reason, message });
  const fatal = tally.failures.find(({ action }) => action === 'FailJob');
  if (fatal !== undefined) return failed('PodFailurePolicy', fatal.message);
  if (tally.failed > spec.backoffLimit || restartedTooOften(job, tally))
    return failed('BackoffLimitExceeded', `Job has reached the specified backoff limit${lastFailure(tally)}`);
  if ((deadlineMs(job) ?? Infinity) <= nowMs)
    return failed('DeadlineExceeded', 'Job was active longer than specified deadline');
  if (spec.maxFailedIndexes !== undefined && tally.failedIndexes.size > spec.maxFailedIndexes)
    return failed('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
  if (isIndexed(job) && tally.completed.size + tally.failedIndexes.size >= (spec.completions ?? 0))
    return failed('FailedIndexes', 'Job has failed indexes');
  return undefined;
}

/** Of the failures whose pods are still there, the last, and why; empty where none tells. */
function lastFailure({ failures }: Tally): string {
  const [last] = failures
    .map(({ pod }) => pod)
    .sort((a, b) => endedMs(b) - endedMs(a) || (keyOf(a) < keyOf(b) ? -1 : 1));
  if (last === undefined) return '';
  const { status, metadata } = last;
  const ended = containersOf(last).find(({ state }) => (state?.terminated?.exitCode ?? 0) !== 0);
  const why =
    ended === undefined
      ? (status.message ?? status.reason)
      : `container ${ended.name} ended with exit code ${ended.state?.terminated?.exitCode}`;
  return `; pod ${metadata.name} failed last${why === undefined ? '' : `: ${why}`}`;
}

/** A work queue is done when one of its pods found it empty and the others have come to their end. */
function hasSucceeded({ spec }: Job, { succeeded, active, terminating }: Tally): boolean {
  if (spec.completions === undefined) return succeeded > 0 && active.length === 0 && terminating.length === 0;
  return succeeded >= spec.completions;
}

/** With `restartPolicy: OnFailure` containers fail in their pod, which lives on. */
function restartedTooOften({ spec }: Job, { active }: Tally): boolean {
  if (spec.template.spec.restartPolicy !== 'OnFailure') return false;
  const restarts = active
    .flatMap(({ status }) => [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])])
    .reduce((sum, { restartCount }) => sum + restartCount, 0);
  return spec.backoffLimit === 0 ? restarts > 0 : restarts >= spec.backoffLimit;
}
