import { kinds, resourceOfKind, type Resource } from '../../lib/api/kinds.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import type { ApiObject, OwnerReference } from '../../lib/api/objects.ts';

/** An owner as this loop's queue names it: where it is and which life of it. */
export interface OwnerId {
  readonly resource: Resource;
  readonly key: Key;
  readonly uid: string;
}

export const formatOwner = ({ resource, key, uid }: OwnerId): string => `${resource} ${key} ${uid}`;

/** Throws an Error when the text is none of `formatOwner`. */
export function parseOwner(text: string): OwnerId {
  const [resource, key, uid] = text.split(' ');
  if (resource === undefined || key === undefined || uid === undefined || !(resource in kinds))
    throw new Error(`"${text}" names no owner`);
  return { resource: resource as Resource, key, uid };
}

export const ownerIdOf = (resource: Resource, object: ApiObject): OwnerId => ({
  resource,
  key: keyOf(object),
  uid: object.metadata.uid,
});

/** The owner that a reference names; undefined for kinds that are not served here, which are left alone. */
export function referredOwner(namespace: string | undefined, ref: OwnerReference): OwnerId | undefined {
  const resource = resourceOfKind(ref.apiVersion, ref.kind);
  if (resource === undefined) return undefined;
  return { resource, key: makeKey(kinds[resource].namespaced ? namespace : undefined, ref.name), uid: ref.uid };
}
