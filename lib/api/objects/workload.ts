import type { ApiObject, Condition, IntOrString, Labels, LabelSelector, Time } from './meta.ts';
import type { PodSpec } from './pod.ts';

export interface PodTemplateSpec {
  readonly metadata?: {
    readonly labels?: Labels;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly spec: PodSpec;
}
/** A template of pods, kept by itself. */
export interface PodTemplate extends ApiObject {
  readonly template: PodTemplateSpec;
}
export interface ReplicationController extends ApiObject {
  readonly spec: {
    readonly replicas: number;
    readonly minReadySeconds?: number;
    readonly selector: Labels;
    readonly template: PodTemplateSpec;
  };
  readonly status: ReplicationControllerStatus;
}
export interface ReplicationControllerStatus {
  readonly replicas: number;
  readonly fullyLabeledReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
}
export interface ReplicaSet extends ApiObject {
  readonly spec: {
    readonly replicas: number;
    readonly minReadySeconds?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
  };
  readonly status: ReplicaSetStatus;
}
export interface ReplicaSetStatus extends ReplicationControllerStatus {
  readonly terminatingReplicas?: number;
}
export interface Deployment extends ApiObject {
  readonly spec: DeploymentSpec;
  readonly status: DeploymentStatus;
}
export interface DeploymentSpec {
  readonly replicas: number;
  readonly selector: LabelSelector;
  readonly template: PodTemplateSpec;
  readonly strategy: DeploymentStrategy;
  readonly minReadySeconds?: number;
  readonly revisionHistoryLimit: number;
  readonly paused?: boolean;
  readonly progressDeadlineSeconds: number;
}
export interface DeploymentStrategy {
  readonly type: 'RollingUpdate' | 'Recreate';
  /** Of a RollingUpdate only; numbers of pods, or percentages of `replicas`. */
  readonly rollingUpdate?: { readonly maxUnavailable: IntOrString; readonly maxSurge: IntOrString };
}
export interface DeploymentStatus {
  readonly observedGeneration?: number;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly unavailableReplicas?: number;
  readonly terminatingReplicas?: number;
  readonly conditions?: readonly DeploymentCondition[];
  readonly collisionCount?: number;
}
export interface DeploymentCondition extends Condition {
  /** When its reason or message last changed. */
  readonly lastUpdateTime?: Time;
}
export interface Scale extends ApiObject {
  readonly spec: { readonly replicas?: number };
  readonly status: { readonly replicas: number; readonly selector?: string };
}
