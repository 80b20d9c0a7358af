import type { HorizontalPodAutoscaler, ScalingRules } from '../../lib/api/objects.ts';
import { metricName, metricText } from '../../lib/api/printing/autoscaling.ts';
import type { Outline } from './outline.ts';

/** What it goes by, what it sees, what it did last, and what holds it. */
export function describeAutoscaler({ spec, status }: HorizontalPodAutoscaler): Outline {
  const { kind, name } = spec.scaleTargetRef;
  return [
    ['Scales', `${kind}/${name}`],
    ['Between', `${spec.minReplicas} and ${spec.maxReplicas} pods`],
    [
      'Metrics (is / should be)',
      spec.metrics.map((metric, index) => {
        const text = metricText(metric, status.currentMetrics?.[index]);
        return `${metricName(metric)}: ${text.slice(text.lastIndexOf(': ') + 1).trim()}`;
      }),
    ],
    ['Pods', `${status.currentReplicas ?? 0} now, ${status.desiredReplicas ?? 0} wanted`],
    ['Scaled last', status.lastScaleTime ?? '<never>'],
    ['Up', rulesText(spec.behavior?.scaleUp)],
    ['Down', rulesText(spec.behavior?.scaleDown)],
    [
      'Conditions',
      (status.conditions ?? []).map(
        (condition) => `${condition.type} ${condition.status} (${condition.reason ?? ''}): ${condition.message ?? ''}`,
      ),
    ],
  ];
}

function rulesText(rules: ScalingRules | undefined): string | undefined {
  if (rules === undefined) return undefined;
  const { selectPolicy = 'Max', policies = [], stabilizationWindowSeconds, tolerance } = rules;
  if (selectPolicy === 'Disabled') return 'never';
  const steps = policies.map(
    ({ type, value, periodSeconds }) => `${value}${type === 'Percent' ? ' %' : ' pods'} in ${periodSeconds}s`,
  );
  const choice = steps.length > 1 ? `${selectPolicy === 'Max' ? 'the most' : 'the least'} of ` : '';
  return [
    `${choice}${steps.join(', ')}`,
    ...(stabilizationWindowSeconds === undefined ? [] : [`steady for ${stabilizationWindowSeconds}s`]),
    ...(tolerance === undefined ? [] : [`tolerance ${tolerance}`]),
  ].join('; ');
}
