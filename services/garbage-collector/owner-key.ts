import { isCustom, kinds, resourceOfKind, type KindInfo, type Resource } from '../../lib/api/kinds.ts';
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
  if (resource === undefined || key === undefined || uid === undefined || !(resource in kinds || isCustom(resource)))
    throw new Error(`"${text}" names no owner`);
  return { resource: resource as Resource, key, uid };
}

export const ownerIdOf = (resource: Resource, object: ApiObject): OwnerId => ({
  resource,
  key: keyOf(object),
  uid: object.metadata.uid,
});

/** The kind that users defined under these names. */
export type CustomOwner = (apiVersion: string, kind: string) => Pick<KindInfo, 'resource' | 'namespaced'> | undefined;

/** The owner that a reference names; undefined for kinds that are not served here, which are left alone. */
export function referredOwner(
  namespace: string | undefined,
  ref: OwnerReference,
  customOwner: CustomOwner = () => undefined,
): OwnerId | undefined {
  const builtIn = resourceOfKind(ref.apiVersion, ref.kind);
  const kind = builtIn === undefined ? customOwner(ref.apiVersion, ref.kind) : kinds[builtIn];
  if (kind === undefined) return undefined;
  const resource = kind.resource as Resource;
  return { resource, key: makeKey(kind.namespaced ? namespace : undefined, ref.name), uid: ref.uid };
}
