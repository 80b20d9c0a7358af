import { controllerUidLabel, completionIndex, indexFailures, jobNameLabel, jobTracking } from '../../lib/api/jobs.ts';
import type { CronJob, CronJobSpec, CronJobStatus, Job, JobSpec, JobStatus, Pod } from '../../lib/api/objects.ts';
import { aPod, aPodSpec, meta, type MetaOptions, type PodOptions } from './builders.ts';

export interface JobOptions extends MetaOptions {
  readonly spec?: Partial<JobSpec>;
  readonly status?: JobStatus;
  readonly template?: PodOptions;
}

/** A Job as the API serves it, with the selector of its uid: one pod, once. */
export function aJob(options: JobOptions = {}): Job {
  const metadata = meta('Job', options.name ?? 'pi', options);
  const labels = {
    [controllerUidLabel]: metadata.uid,
    'controller-uid': metadata.uid,
    [jobNameLabel]: metadata.name,
    'job-name': metadata.name,
  };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata,
    spec: {
      parallelism: 1,
      ...(options.spec !== undefined && 'parallelism' in options.spec ? {} : { completions: 1 }),
      completionMode: 'NonIndexed',
      backoffLimit: 6,
      suspend: false,
      podReplacementPolicy: 'TerminatingOrFailed',
      selector: { matchLabels: { [controllerUidLabel]: metadata.uid } },
      template: { metadata: { labels }, spec: { ...aPodSpec(options.template), restartPolicy: 'Never' } },
      ...options.spec,
    },
    status: options.status ?? {},
  };
}

export interface JobPodOptions extends PodOptions {
  readonly index?: number;
  /** How often its index had failed before. */
  readonly failures?: number;
  /** Default: true, it waits for the count. */
  readonly tracked?: boolean;
  readonly exitCode?: number;
  /** When it ended, in seconds after its creation. */
  readonly endedAfter?: number;
  /** What is left of the time that it was given to end; only for one that is deleted. */
  readonly graceSeconds?: number;
}

/** A pod as the loop makes it for a Job. */
export function aJobPod(job: Job, options: JobPodOptions = {}): Pod {
  const { index, failures, tracked = true, exitCode, endedAfter } = options;
  const pod = aPod({
    ...options,
    labels: { ...job.spec.template.metadata?.labels, ...options.labels },
    ...(tracked && { finalizers: [jobTracking] }),
    annotations: {
      ...options.annotations,
      ...(index !== undefined && { [completionIndex]: String(index) }),
      ...(failures !== undefined && { [indexFailures]: String(failures) }),
    },
  });
  const finishedAt = new Date(Date.parse(pod.metadata.creationTimestamp) + (endedAfter ?? 0) * 1000).toISOString();
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(options.graceSeconds !== undefined && { deletionGracePeriodSeconds: options.graceSeconds }),
      ownerReferences: [
        { apiVersion: 'batch/v1', kind: 'Job', name: job.metadata.name, uid: job.metadata.uid, controller: true },
      ],
    },
    status: {
      ...pod.status,
      ...(exitCode !== undefined && {
        containerStatuses: [
          {
            name: 'app',
            ready: false,
            restartCount: 0,
            image: 'x',
            imageID: '',
            state: { terminated: { exitCode, finishedAt } },
          },
        ],
      }),
      ...(endedAfter !== undefined &&
        exitCode === undefined && {
          conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: finishedAt }],
        }),
    },
  };
}

export interface CronJobOptions extends MetaOptions {
  readonly spec?: Partial<CronJobSpec>;
  readonly status?: CronJobStatus;
}

/** Every five minutes, unless it says otherwise. */
export function aCronJob(options: CronJobOptions = {}): CronJob {
  const { selector: _, template, ...spec } = aJob().spec;
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: meta('CronJob', options.name ?? 'tidy', options),
    spec: {
      schedule: '*/5 * * * *',
      concurrencyPolicy: 'Allow',
      suspend: false,
      jobTemplate: { spec: { ...spec, template: { spec: template.spec } } },
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
      ...options.spec,
    },
    status: options.status ?? {},
  };
}
