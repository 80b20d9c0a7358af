import type { HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus } from '../objects.ts';
import { ageOfTime } from './age.ts';

const mostShown = 2;

export const autoscalerRow = (autoscaler: HorizontalPodAutoscaler, nowMs: number): readonly string[] => {
  const { metadata, spec, status } = autoscaler;
  return [
    metadata.name,
    `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`,
    targetsText(autoscaler),
    String(spec.minReplicas),
    String(spec.maxReplicas),
    String(status.currentReplicas ?? 0),
    ageOfTime(metadata.creationTimestamp, nowMs),
  ];
};

/** What is, and what should be, of each metric: `cpu: 31%/80%`. */
function targetsText({ spec, status }: HorizontalPodAutoscaler): string {
  const texts = spec.metrics.map((metric, index) => metricText(metric, status.currentMetrics?.[index]));
  if (texts.length === 0) return '<none>';
  const more = texts.length - mostShown;
  return texts.slice(0, mostShown).join(', ') + (more > 0 ? ` + ${more} more...` : '');
}

/** `status` stands at the same place of the list; one of another metric is not taken for it. */
export function metricText(spec: MetricSpec, status: MetricStatus | undefined): string {
  const target = targetOf(spec);
  const current = status === undefined || metricName(status) !== metricName(spec) ? undefined : currentOf(status);
  const is = current === undefined ? undefined : figureOf(target, current);
  return `${shortName(spec)}${is ?? '<unknown>'}/${figureOf(target, target) ?? '<unknown>'}`;
}

/** What is measured, in words that tell it from the others. */
export function metricName(metric: MetricSpec | MetricStatus): string {
  switch (metric.type) {
    case 'Resource':
      return `resource ${metric.resource.name}`;
    case 'ContainerResource':
      return `resource ${metric.containerResource.name} of container ${metric.containerResource.container}`;
    case 'Pods':
      return `${metric.pods.metric.name} of pods`;
    case 'Object': {
      const { kind, name } = metric.object.describedObject;
      return `${metric.object.metric.name} of ${kind} ${name}`;
    }
    case 'External':
      return `external ${metric.external.metric.name}`;
  }
}

const shortName = (metric: MetricSpec): string =>
  metric.type === 'Resource'
    ? `${metric.resource.name}: `
    : metric.type === 'ContainerResource'
      ? `${metric.containerResource.container}/${metric.containerResource.name}: `
      : '';

export function targetOf(metric: MetricSpec): MetricTarget {
  switch (metric.type) {
    case 'Resource':
      return metric.resource.target;
    case 'ContainerResource':
      return metric.containerResource.target;
    case 'Pods':
      return metric.pods.target;
    case 'Object':
      return metric.object.target;
    case 'External':
      return metric.external.target;
  }
}

export function currentOf(metric: MetricStatus): MetricValueStatus {
  switch (metric.type) {
    case 'Resource':
      return metric.resource.current;
    case 'ContainerResource':
      return metric.containerResource.current;
    case 'Pods':
      return metric.pods.current;
    case 'Object':
      return metric.object.current;
    case 'External':
      return metric.external.current;
  }
}

/** In the terms of the target. */
function figureOf({ type }: MetricTarget, value: MetricValueStatus): string | undefined {
  if (type === 'Utilization')
    return value.averageUtilization === undefined ? undefined : `${value.averageUtilization}%`;
  if (type === 'Value') return value.value === undefined ? undefined : String(value.value);
  return value.averageValue === undefined ? undefined : `${value.averageValue}`;
}
