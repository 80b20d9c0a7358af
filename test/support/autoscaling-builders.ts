import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalerStatus,
  MetricSpec,
} from '../../lib/api/objects.ts';
import { meta, type MetaOptions } from './builders.ts';

export const cpuAt = (averageUtilization: number): MetricSpec => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
});

export interface AutoscalerOptions extends MetaOptions {
  readonly spec?: Partial<HorizontalPodAutoscalerSpec>;
  readonly status?: HorizontalPodAutoscalerStatus;
}

/** An autoscaler as the API serves it: of the Deployment `web`, between 1 and 10, at 50 % cpu. */
export function anAutoscaler(options: AutoscalerOptions = {}): HorizontalPodAutoscaler {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: meta('HorizontalPodAutoscaler', options.name ?? 'web', options),
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      minReplicas: 1,
      maxReplicas: 10,
      metrics: [cpuAt(50)],
      ...options.spec,
    },
    status: options.status ?? {},
  };
}
