import type { Condition, Namespace } from '../../lib/api/objects.ts';
import { withCondition } from '../../lib/api/pods.ts';

/** What is left of one resource in a namespace that goes. */
export interface Remains {
  readonly resource: string;
  readonly count: number;
  /** Finalizers that hold objects of it, each with the number of objects. */
  readonly finalizers: ReadonlyMap<string, number>;
}

/** The namespace with conditions that say what it waits for, by resource and finalizer; the very same object when they say so already. */
export function withRemains(
  namespace: Namespace,
  remains: readonly Remains[],
  failures: readonly string[],
  nowMs: number,
): Namespace {
  const left = remains.filter(({ count }) => count > 0);
  const held = new Map<string, number>();
  for (const { finalizers } of left) {
    for (const [name, count] of finalizers) held.set(name, (held.get(name) ?? 0) + count);
  }
  const resources = left.map(({ resource, count }) => `${resource} has ${count} resource instances`).sort();
  const finalizers = [...held].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  const conditions = [
    condition('NamespaceDeletionContentFailure', failures, {
      bad: 'ContentDeletionFailed',
      good: 'ContentDeleted',
      says: 'Failed to delete all resource types: ',
      otherwise: 'All content successfully deleted, may be waiting on finalization',
    }),
    condition('NamespaceContentRemaining', resources, {
      bad: 'SomeResourcesRemain',
      good: 'ContentRemoved',
      says: 'Some resources are remaining: ',
      otherwise: 'All content successfully removed',
    }),
    condition('NamespaceFinalizersRemaining', finalizers, {
      bad: 'SomeFinalizersRemain',
      good: 'ContentHasNoFinalizers',
      says: 'Some content in the namespace has finalizers remaining: ',
      otherwise: 'All content-preserving finalizers finished',
    }),
  ].reduce<readonly Condition[] | undefined>(
    (list, next) => withCondition<Condition>(list, next, nowMs),
    namespace.status.conditions,
  );
  if (conditions === undefined || conditions === namespace.status.conditions) return namespace;
  return { ...namespace, status: { ...namespace.status, conditions } };
}

interface Wording {
  readonly bad: string;
  readonly good: string;
  readonly says: string;
  readonly otherwise: string;
}

const condition = (type: string, trouble: readonly string[], words: Wording): Condition =>
  trouble.length === 0
    ? { type, status: 'False', reason: words.good, message: words.otherwise }
    : { type, status: 'True', reason: words.bad, message: words.says + trouble.join(', ') };
