import { afterUpdate, managersOf, toManagedFields, type Hand, type Manager } from '../../../lib/api/apply/managers.ts';
import { isAbsent, listAt, objectAt, sameJson, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { apiVersionOf, type KindInfo } from '../../../lib/api/kinds.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { metadataOf, type Core } from './core.ts';
import { shapeOfKind, type Kind } from './kinds.ts';
import type { SubresourceOption, WriteOptions } from './registry.ts';

/** In whose name a request changes an object. */
export const handOf = (
  core: Core,
  info: KindInfo,
  operation: 'Apply' | 'Update',
  {
    fieldManager = 'unknown',
    subresource = '',
  }: WriteOptions & Omit<SubresourceOption, 'subresource'> & { readonly subresource?: string },
): Hand => ({
  manager: fieldManager,
  operation,
  apiVersion: apiVersionOf(info),
  subresource,
  time: rfc3339(core.clock.now()),
});

/**
 * Keeps who set which fields, for objects that somebody has applied to: nobody else pays for it. What the request says of managers counts
 * where it says something, and an empty list ends the keeping.
 */
export function trackManagers(info: Kind, hand: Hand, next: MutableJson, previous: Json): void {
  const before = objectAt(previous, 'metadata')['managedFields'];
  const metadata = metadataOf(next);
  if (isAbsent(metadata['managedFields'])) {
    if (isAbsent(before)) return;
    metadata['managedFields'] = before;
  }
  const known = managersOf(metadata);
  setManagers(
    next,
    afterUpdate(known, hand, { shape: shapeOfKind(info), before: previous, after: next }),
    listAt(metadata, 'managedFields'),
  );
}

/** Puts managers into the object; those that differ from `before` in their times alone stay as they were. */
export function setManagers(next: MutableJson, managers: readonly Manager[], before: readonly unknown[]): void {
  const metadata = metadataOf(next);
  const entries = toManagedFields(managers);
  const timeless = (list: readonly unknown[]): readonly unknown[] =>
    list.map((each) => ({ ...(each as Json), time: '' }));
  if (entries.length === 0) delete metadata['managedFields'];
  else metadata['managedFields'] = sameJson(timeless(entries), timeless(before)) ? before : entries;
}
