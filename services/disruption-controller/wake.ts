import { keyOf } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector, type Selector } from '../../lib/api/labels.ts';
import type { ApiObject, Pod, PodDisruptionBudget } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isReady } from '../../lib/api/pods.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import type { Views } from './controller.ts';
import { daemonsWanted, runsWanted } from './scales.ts';

/** Budgets are counted when they, the health of a pod that they select, or the scale of a set in their namespace changes. */
export function wakeOnChanges(queue: KeyQueue, views: Omit<Views, 'definitions'>): void {
  const { budgets, pods } = views;
  budgets.onChange(({ key }) => {
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    if (before !== undefined && after !== undefined && factsOf(before) === factsOf(after)) return;
    const namespace = (after ?? before)?.metadata.namespace;
    for (const budget of budgets.list(namespace))
      if (selects(budget, before) || selects(budget, after)) queue.add(keyOf(budget));
  });
  const onScale = <T extends ApiObject>(view: View<T>, wanted: (object: T) => number): void => {
    view.onChange(({ before, after }) => {
      const factsOf = (object: T | undefined): string => (object && `${object.metadata.uid} ${wanted(object)}`) ?? '';
      if (factsOf(before) === factsOf(after)) return;
      for (const budget of budgets.list((after ?? before)?.metadata.namespace)) queue.add(keyOf(budget));
    });
  };
  const replicas = ({ spec }: { readonly spec: { readonly replicas: number } }): number => spec.replicas;
  onScale(views.rcs, replicas);
  onScale(views.sets, replicas);
  onScale(views.deployments, replicas);
  onScale(views.daemons, daemonsWanted);
  onScale(views.jobs, runsWanted);
}

/** All of a pod that a budget counts by. */
const factsOf = (pod: Pod): string =>
  JSON.stringify([isActive(pod), isReady(pod), pod.metadata.uid, controllerOf(pod)?.uid, pod.metadata.labels]);

/** By the budget as it is in the view, which is another object after each change. */
const known = new WeakMap<PodDisruptionBudget, Selector | 'none'>();

function selects(budget: PodDisruptionBudget, pod: Pod | undefined): boolean {
  if (pod === undefined) return false;
  let selector = known.get(budget);
  if (selector === undefined) {
    selector = budget.spec.selector === undefined ? 'none' : selectorOfLabelSelector(budget.spec.selector);
    known.set(budget, selector);
  }
  return selector !== 'none' && matches(selector, pod.metadata.labels ?? {});
}
