import { isAbsent, type MutableJson } from '../json.ts';
import { ensured, fill } from './fill.ts';

/** A budget that says nothing keeps one pod. */
export function defaultPodDisruptionBudget(budget: MutableJson): void {
  const spec = ensured(budget, 'spec');
  if (spec !== undefined && isAbsent(spec['maxUnavailable'])) fill(spec, 'minAvailable', 1);
  const status = ensured(budget, 'status');
  if (status === undefined) return;
  for (const count of ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'])
    fill(status, count, 0);
}
