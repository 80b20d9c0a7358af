import type { ApiObject, Condition, IntOrString, LabelSelector, Time } from './meta.ts';

export interface PodDisruptionBudget extends ApiObject {
  readonly spec: PodDisruptionBudgetSpec;
  readonly status: PodDisruptionBudgetStatus;
}

export interface PodDisruptionBudgetSpec {
  /** One of the two; percentages are of the pods that there should be, rounded up. */
  readonly minAvailable?: IntOrString;
  readonly maxUnavailable?: IntOrString;
  /** Empty selects every pod of the namespace, absent none. */
  readonly selector?: LabelSelector;
  /** Default: IfHealthyBudget. */
  readonly unhealthyPodEvictionPolicy?: 'IfHealthyBudget' | 'AlwaysAllow';
}

export interface PodDisruptionBudgetStatus {
  readonly observedGeneration?: number;
  /** Evictions that were granted and are not in the counts yet, by pod name. */
  readonly disruptedPods?: Readonly<Record<string, Time>>;
  readonly disruptionsAllowed: number;
  readonly currentHealthy: number;
  readonly desiredHealthy: number;
  readonly expectedPods: number;
  readonly conditions?: readonly Condition[];
}
