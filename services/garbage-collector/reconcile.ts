import type { Resource } from '../../lib/api/kinds.ts';
import type { ApiObject, ObjectMeta } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';

/** Finalizers that the API puts on an owner whose deletion asks for more than removing it. */
export const orphanFinalizer = 'orphan';
export const foregroundFinalizer = 'foregroundDeletion';

/** An object that names an owner, and the resource it belongs to. */
export interface Dependent {
  readonly resource: Resource;
  readonly object: ApiObject;
}

/** What is due for one owner. Steps of one plan may be done in any order, except `finish`, which comes after all of them. */
export interface Plan {
  readonly remove: readonly Dependent[];
  /** Take the owner's reference off these; they live on. */
  readonly strip: readonly Dependent[];
  /** The finalizer to take off the owner, which lets it go. */
  readonly finish: string | undefined;
}
const nothing: Plan = { remove: [], strip: [], finish: undefined };

/**
 * What becomes of the dependents of one owner. `owner` is its present state, undefined when it is certain that no object
 * with that uid exists; `isGone` tells the same of the other owners a dependent may have.
 *
 * - An owner that goes with `orphan` leaves its dependents alive and ownerless (F105, F108).
 * - One that goes with `foregroundDeletion` waits until those that block it are gone.
 * - Of one that is gone already, what has no other owner left goes too.
 */
export function reconcile(
  uid: string,
  owner: ApiObject | undefined,
  dependents: readonly Dependent[],
  isGone: (uid: string) => boolean,
): Plan {
  if (owner === undefined) {
    const alone = ({ object }: Dependent): boolean =>
      ownersOf(object).every((ref) => ref.uid === uid || isGone(ref.uid));
    return {
      remove: dependents.filter((each) => alone(each) && !isDeleting(each.object)),
      strip: dependents.filter((each) => !alone(each)),
      finish: undefined,
    };
  }
  if (!isDeleting(owner)) return nothing;
  if (hasFinalizer(owner, orphanFinalizer)) return { remove: [], strip: dependents, finish: orphanFinalizer };
  if (!hasFinalizer(owner, foregroundFinalizer)) return nothing;
  const blocking = dependents.some(({ object }) =>
    ownersOf(object).some((ref) => ref.uid === uid && ref.blockOwnerDeletion === true),
  );
  return {
    remove: dependents.filter(({ object }) => !isDeleting(object)),
    strip: [],
    finish: blocking ? undefined : foregroundFinalizer,
  };
}

export const ownersOf = (object: ApiObject): NonNullable<ObjectMeta['ownerReferences']> =>
  object.metadata.ownerReferences ?? [];

const hasFinalizer = (object: ApiObject, finalizer: string): boolean =>
  object.metadata.finalizers?.includes(finalizer) === true;

/** Goes with more to do than to vanish. */
export const needsHelpToGo = (object: ApiObject): boolean =>
  isDeleting(object) && (hasFinalizer(object, orphanFinalizer) || hasFinalizer(object, foregroundFinalizer));

/** The object without its references to that owner. */
export function stripped<T extends ApiObject>(object: T, uid: string): T {
  const { ownerReferences = [], ...metadata } = object.metadata;
  const left = ownerReferences.filter((ref) => ref.uid !== uid);
  return { ...object, metadata: left.length === 0 ? metadata : { ...metadata, ownerReferences: left } };
}

/** The object without that finalizer. */
export function finished<T extends ApiObject>(object: T, finalizer: string): T {
  const finalizers = (object.metadata.finalizers ?? []).filter((each) => each !== finalizer);
  return { ...object, metadata: { ...object.metadata, finalizers } };
}
