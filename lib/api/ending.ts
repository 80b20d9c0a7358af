import type { ApiObject, Namespace } from './objects.ts';

/**
 * Whether an object, as a deletion or an update returned it, was its last state: deletion was asked for and nothing holds
 * it any more, no grace period and no finalizer. For those who write their own changes through to a view.
 */
export function isGone(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds > 0 || finalizers.length > 0) return false;
  return object.kind !== 'Namespace' || ((object as Namespace).spec.finalizers ?? []).length === 0;
}
