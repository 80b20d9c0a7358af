import type { ApiObject, Condition, Labels, LabelSelector, ObjectReference, Time } from './meta.ts';
import type { PodTemplateSpec } from './workload.ts';

export interface Job extends ApiObject {
  readonly spec: JobSpec;
  readonly status: JobStatus;
}

export interface JobSpec {
  /** So many pods at once, at most. */
  readonly parallelism: number;
  /** So many must succeed; absent: a work queue, done when one has succeeded and none runs any more. */
  readonly completions?: number;
  readonly completionMode: 'NonIndexed' | 'Indexed';
  readonly backoffLimit: number;
  /** Of an Indexed Job only: failures are borne per index. */
  readonly backoffLimitPerIndex?: number;
  readonly maxFailedIndexes?: number;
  readonly activeDeadlineSeconds?: number;
  readonly ttlSecondsAfterFinished?: number;
  readonly suspend: boolean;
  readonly podFailurePolicy?: { readonly rules: readonly PodFailurePolicyRule[] };
  readonly podReplacementPolicy: 'TerminatingOrFailed' | 'Failed';
  /** Made by the API from the uid unless `manualSelector` is set. */
  readonly selector: LabelSelector;
  readonly manualSelector?: boolean;
  readonly managedBy?: string;
  readonly template: PodTemplateSpec;
}

export interface PodFailurePolicyRule {
  readonly action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count';
  readonly onExitCodes?: {
    /** Any container when absent. */
    readonly containerName?: string;
    readonly operator: 'In' | 'NotIn';
    readonly values: readonly number[];
  };
  readonly onPodConditions?: readonly { readonly type: string; readonly status: string }[];
}

export interface JobStatus {
  readonly conditions?: readonly JobCondition[];
  readonly startTime?: Time;
  /** Of a Job that succeeded only. */
  readonly completionTime?: Time;
  readonly active?: number;
  readonly ready?: number;
  readonly terminating?: number;
  readonly succeeded?: number;
  readonly failed?: number;
  /** Such as `0-3,5`. */
  readonly completedIndexes?: string;
  readonly failedIndexes?: string;
  /** Pods that have ended and are not in the counts yet, by their uids. */
  readonly uncountedTerminatedPods?: UncountedPods;
}

export interface UncountedPods {
  readonly succeeded?: readonly string[];
  readonly failed?: readonly string[];
}

export interface JobCondition extends Condition {
  readonly lastProbeTime?: Time;
}

export interface CronJob extends ApiObject {
  readonly spec: CronJobSpec;
  readonly status: CronJobStatus;
}

export interface CronJobSpec {
  /** Five fields, or `@hourly` and the like: `parseSchedule`. */
  readonly schedule: string;
  /** Of the IANA's; UTC when absent. */
  readonly timeZone?: string;
  readonly startingDeadlineSeconds?: number;
  readonly concurrencyPolicy: 'Allow' | 'Forbid' | 'Replace';
  readonly suspend: boolean;
  readonly jobTemplate: {
    readonly metadata?: { readonly labels?: Labels; readonly annotations?: Labels };
    readonly spec: Omit<JobSpec, 'selector'>;
  };
  readonly successfulJobsHistoryLimit: number;
  readonly failedJobsHistoryLimit: number;
}

export interface CronJobStatus {
  readonly active?: readonly ObjectReference[];
  /** When the last Job that was made was due. */
  readonly lastScheduleTime?: Time;
  readonly lastSuccessfulTime?: Time;
}
