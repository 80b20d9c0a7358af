import type { ApiObject, Condition, IntOrString, LabelSelector } from './meta.ts';
import type { PodTemplateSpec } from './workload.ts';

export interface DaemonSet extends ApiObject {
  readonly spec: DaemonSetSpec;
  readonly status: DaemonSetStatus;
}
export interface DaemonSetSpec {
  readonly selector: LabelSelector;
  readonly template: PodTemplateSpec;
  readonly updateStrategy: DaemonSetUpdateStrategy;
  readonly minReadySeconds?: number;
  readonly revisionHistoryLimit: number;
}
export interface DaemonSetUpdateStrategy {
  readonly type: 'RollingUpdate' | 'OnDelete';
  /** Of a RollingUpdate only; numbers of nodes, or percentages of those that fit, rounded up. One of the two is 0. */
  readonly rollingUpdate?: { readonly maxUnavailable: IntOrString; readonly maxSurge: IntOrString };
}
/** All figures are of nodes. */
export interface DaemonSetStatus {
  readonly currentNumberScheduled: number;
  readonly numberMisscheduled: number;
  readonly desiredNumberScheduled: number;
  readonly numberReady: number;
  readonly observedGeneration?: number;
  readonly updatedNumberScheduled?: number;
  readonly numberAvailable?: number;
  readonly numberUnavailable?: number;
  readonly collisionCount?: number;
  readonly conditions?: readonly Condition[];
}

/** What an object was at one time: `data` is a patch that makes it so again. */
export interface ControllerRevision extends ApiObject {
  readonly data?: Readonly<Record<string, unknown>>;
  readonly revision: number;
}
