import { resourceOf } from '../../lib/api/custom/resource-of.ts';
import { makeKey } from '../../lib/api/keys.ts';
import type { CustomResourceDefinition, Pod } from '../../lib/api/objects.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import { hasReason } from '../../lib/base/errors.ts';
import type { Client } from '../../lib/client/client.ts';

/** How many pods those want whose kinds users defined, by their uid. */
export type CustomScales = ReadonlyMap<string, number>;

const timeoutMs = 2_000;

/**
 * Asks for the scales of the pods' controllers of kinds that users defined. A kind without one, or a controller that is gone, is left out. Rejects while the
 * API is away.
 */
export async function customScales(
  pods: readonly Pod[],
  definitions: readonly CustomResourceDefinition[],
  client: Pick<Client, 'scale'>,
): Promise<CustomScales> {
  const custom = definitions.filter(({ spec }) => pods.some((pod) => controllerOf(pod)?.kind === spec.names.kind));
  const scales = new Map<string, number>();
  if (custom.length === 0) return scales;
  const owners = new Map(
    pods.flatMap((pod) => {
      const owner = controllerOf(pod);
      return owner === undefined ? [] : [[owner.uid, { owner, namespace: pod.metadata.namespace }] as const];
    }),
  );
  await Promise.all(
    [...owners.values()].map(async ({ owner, namespace }) => {
      const found = resourceOf(owner, custom);
      if ('why' in found || !found.resource.includes('.')) return;
      const scale = await client
        .scale(found.resource, makeKey(namespace, owner.name), { timeoutMs })
        .catch((error: unknown) => {
          if (hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error;
          return undefined; // it has no scale
        });
      if (scale?.metadata.uid === owner.uid) scales.set(owner.uid, scale.spec.replicas ?? 0);
    }),
  );
  return scales;
}
