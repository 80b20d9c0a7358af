import { keyOf } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector, type Selector } from '../../lib/api/labels.ts';
import type { PodDisruptionBudget } from '../../lib/api/objects.ts';
import type { View } from '../../lib/view/view.ts';
import type { BudgetsOf } from './preempt.ts';

/** What the budgets of a pod allow, as far as they are known. One that was not counted yet, or not since its last change, allows nothing. */
export function budgetsIn(budgets: View<PodDisruptionBudget>): BudgetsOf {
  const selectors = new WeakMap<PodDisruptionBudget, Selector | 'none'>();
  const selectorOf = (budget: PodDisruptionBudget): Selector | 'none' => {
    let selector = selectors.get(budget);
    if (selector === undefined) {
      selector = budget.spec.selector === undefined ? 'none' : selectorOfLabelSelector(budget.spec.selector);
      selectors.set(budget, selector);
    }
    return selector;
  };
  return ({ metadata: { namespace, labels, name } }) =>
    budgets.list(namespace).flatMap((budget) => {
      const selector = selectorOf(budget);
      if (selector === 'none' || !matches(selector, labels ?? {})) return [];
      const { disruptionsAllowed, disruptedPods, observedGeneration = 0 } = budget.status;
      if (disruptedPods?.[name] !== undefined) return []; // it was granted already
      const isCounted = observedGeneration >= (budget.metadata.generation ?? 0);
      return { key: keyOf(budget), allowed: isCounted ? disruptionsAllowed : 0 };
    });
}
