import type { PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus } from '../../lib/api/objects.ts';
import { meta, type MetaOptions } from './builders.ts';

export interface BudgetOptions extends MetaOptions {
  readonly spec?: Partial<PodDisruptionBudgetSpec>;
  readonly status?: Partial<PodDisruptionBudgetStatus>;
}

/** A budget of the pods with app=web: one of them stays. */
export function aBudget(options: BudgetOptions = {}): PodDisruptionBudget {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: meta('PodDisruptionBudget', options.name ?? 'web', options),
    spec: {
      ...(options.spec?.maxUnavailable === undefined && { minAvailable: 1 }),
      selector: { matchLabels: { app: 'web' } },
      ...options.spec,
    },
    status: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, ...options.status },
  };
}
