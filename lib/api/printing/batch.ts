import { endOfJob, isTrue } from '../jobs.ts';
import type { CronJob, Job } from '../objects.ts';
import { ageOfTime, durationText } from './age.ts';
import { whatRuns } from './workload.ts';

export const jobRow = (job: Job, nowMs: number): readonly string[] => [
  job.metadata.name,
  jobStatusText(job),
  completionsText(job),
  jobDurationText(job, nowMs),
  ageOfTime(job.metadata.creationTimestamp, nowMs),
  ...whatRuns(job.spec.template.spec, job.spec.selector),
];

/** In one word; what it is about to become counts, too. */
export function jobStatusText(job: Job): string {
  const end = endOfJob(job);
  if (end !== undefined) return end;
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating';
  return ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find((type) => isTrue(job.status, type)) ?? 'Running';
}

function completionsText({ spec, status }: Job): string {
  const done = status.succeeded ?? 0;
  if (spec.completions !== undefined) return `${done}/${spec.completions}`;
  return spec.parallelism > 1 ? `${done}/1 of ${spec.parallelism}` : `${done}/1`;
}

/** From its start to its end, or until now; empty before its start. */
export function jobDurationText(job: Job, nowMs: number): string {
  const { startTime, completionTime, conditions = [] } = job.status;
  if (startTime === undefined) return '';
  const failed = conditions.find(({ type, status }) => type === 'Failed' && status === 'True')?.lastTransitionTime;
  const end = completionTime ?? failed;
  return durationText((end === undefined ? nowMs : Date.parse(end)) - Date.parse(startTime));
}

export function cronJobRow({ metadata, spec, status }: CronJob, nowMs: number): readonly string[] {
  const { containers } = spec.jobTemplate.spec.template.spec;
  return [
    metadata.name,
    spec.schedule,
    spec.timeZone ?? '<none>',
    spec.suspend ? 'True' : 'False',
    String(status.active?.length ?? 0),
    status.lastScheduleTime === undefined ? '<none>' : ageOfTime(status.lastScheduleTime, nowMs),
    ageOfTime(metadata.creationTimestamp, nowMs),
    containers.map(({ name }) => name).join(','),
    containers.map(({ image }) => image).join(','),
    '<none>',
  ];
}
