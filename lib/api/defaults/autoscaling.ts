import { isAbsent, type MutableJson } from '../json.ts';
import { each, ensured, fill, fillText, inside } from './fill.ts';

/** One pod at least, 80 % of the cpu that pods request, and the usual haste where only a part of it is said (Kubernetes, autoscaling/v2 defaults). */
export function defaultAutoscaler(autoscaler: MutableJson): void {
  ensured(autoscaler, 'status');
  const spec = ensured(autoscaler, 'spec');
  if (spec === undefined) return;
  fill(spec, 'minReplicas', 1);
  if (isAbsent(spec['metrics']) || (Array.isArray(spec['metrics']) && spec['metrics'].length === 0))
    spec['metrics'] = [
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
    ];
  const behavior = inside(spec, 'behavior');
  if (behavior === undefined) return;
  for (const [direction, usual] of Object.entries(usualRules)) {
    const rules = ensured(behavior, direction);
    if (rules === undefined) continue;
    fillText(rules, 'selectPolicy', usual.selectPolicy);
    if (usual.stabilizationWindowSeconds !== undefined)
      fill(rules, 'stabilizationWindowSeconds', usual.stabilizationWindowSeconds);
    if (each(rules, 'policies').length === 0) rules['policies'] = usual.policies.map((policy) => ({ ...policy }));
  }
}

/** Up at once, by four pods or to the double in 15 s, whichever is more; down to what the last five minutes wanted at most. */
export const usualRules = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ],
  },
  scaleDown: {
    // The window is the autoscaler's own (--downscale-stabilization) where none is said.
    stabilizationWindowSeconds: undefined,
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
  },
} as const;
