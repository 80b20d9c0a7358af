import { sameJson } from '../api/json.ts';
import { makeKey } from '../api/keys.ts';
import type { OwnerReference } from '../api/objects.ts';
import { isDeleting } from '../api/pods.ts';
import { ApiError, hasReason } from '../base/errors.ts';
import type { Client } from '../client/client.ts';
import { copyOf, copyOfLabel, type Config } from './config-copies.ts';
import type { Resolved } from './resolve-config.ts';

interface Keeping {
  readonly client: Client;
  /** What was seen to be there once: a copy does not change, and does not go while its owner is there. */
  readonly known: { has(id: string): boolean; add(id: string): void };
}

/** What stands for one template in the history of a workload, and has the pods of it made: a ReplicaSet, a ControllerRevision. */
export interface Keeper {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string };
}

/**
 * Makes the copies that the pods of `keeper` need, owned by it, and by others whose pods have the same data. A second call changes
 * nothing. Conflict: somebody else is at it, look again. NotFound: a copy is gone and so is what it was made of.
 */
export async function ensureCopies(keeping: Keeping, keeper: Keeper, needed: Resolved['needed']): Promise<void> {
  for (const need of needed) {
    const id = `${keeper.metadata.uid}/${need.reference.resource}/${need.name}`;
    if (keeping.known.has(id)) continue;
    await ensure(keeping.client, keeper, need);
    keeping.known.add(id);
  }
}

async function ensure(
  client: Client,
  keeper: Keeper,
  { reference, name, source }: Resolved['needed'][number],
): Promise<void> {
  const { resource } = reference;
  const { namespace = '' } = keeper.metadata;
  const owner = ownerReferenceOf(keeper);
  const found: Config | undefined = await client.get(resource, makeKey(namespace, name));
  if (found === undefined) {
    if (source === undefined)
      throw new ApiError(
        'NotFound',
        `${resource} "${name}", which keeps former data of "${reference.name}", is gone: change "${reference.name}" or the template`,
      );
    try {
      await client.create(resource, copyOf(reference, source, owner));
    } catch (error) {
      if (hasReason(error, 'AlreadyExists')) throw new ApiError('Conflict', `${resource} "${name}" has just been made`);
      throw error;
    }
    return;
  }
  if (isDeleting(found)) throw new ApiError('Conflict', `${resource} "${name}" is on its way out`);
  if (source !== undefined && !isCopyOf(found, source))
    throw new ApiError(
      'AlreadyExists',
      `${resource} "${name}" is there and no copy of "${reference.name}": remove it, or give one of them another name`,
    );
  const owners = found.metadata.ownerReferences ?? [];
  if (owners.some(({ uid }) => uid === owner.uid)) return;
  const metadata = { ...found.metadata, ownerReferences: [...owners, owner] };
  await client.update(resource, { ...found, metadata });
}

const isCopyOf = (found: Config, source: Config): boolean =>
  found.immutable === true &&
  found.metadata.labels?.[copyOfLabel] !== undefined &&
  sameJson(dataOf(found), dataOf(source));
const dataOf = (config: Config): unknown => {
  const { data = {}, binaryData = {} } = config as { data?: object; binaryData?: object };
  return { data, binaryData };
};

/** Not its controller: the same copy may serve several. */
const ownerReferenceOf = ({ apiVersion, kind, metadata: { name, uid } }: Keeper): OwnerReference => ({
  ...{ apiVersion, kind, name, uid },
});
