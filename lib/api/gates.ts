import type { Pod, PodCondition } from './objects.ts';

/** A pod is placed when nobody holds a gate of it closed any more (`spec.schedulingGates`, Kubernetes API, "Pod Scheduling Readiness"). */
export const isGated = ({ spec }: Pick<Pod, 'spec'>): boolean =>
  spec.nodeName === undefined && (spec.schedulingGates?.length ?? 0) > 0;

/** What is said of a pod that is made with gates. */
export const gatedCondition = {
  type: 'PodScheduled',
  status: 'False',
  reason: 'SchedulingGated',
  message: 'Scheduling is blocked due to non-empty scheduling gates',
} as const satisfies PodCondition;
