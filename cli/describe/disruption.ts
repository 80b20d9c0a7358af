import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { PodDisruptionBudget } from '../../lib/api/objects.ts';
import type { Outline } from './outline.ts';

/** What a budget promises, and what it allows now and why. */
export function describeBudget({ spec, status }: PodDisruptionBudget): Outline {
  const { minAvailable, maxUnavailable, selector } = spec;
  const allowed = status.conditions?.find(({ type }) => type === 'DisruptionAllowed');
  return [
    [
      'Selector',
      selector === undefined ? '<none>' : formatSelector(selectorOfLabelSelector(selector)) || '<every pod>',
    ],
    ['Min available', minAvailable === undefined ? undefined : String(minAvailable)],
    ['Max unavailable', maxUnavailable === undefined ? undefined : String(maxUnavailable)],
    ['Pods', `${status.currentHealthy} healthy, ${status.desiredHealthy} needed, ${status.expectedPods} expected`],
    ['Allowed now', String(status.disruptionsAllowed)],
    ['Why', allowed === undefined ? undefined : `${allowed.reason ?? ''}: ${allowed.message ?? ''}`],
    ['Unhealthy pods', spec.unhealthyPodEvictionPolicy ?? 'IfHealthyBudget'],
    ['Going', Object.keys(status.disruptedPods ?? {}).sort()],
  ];
}
