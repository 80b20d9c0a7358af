import { hasReason } from '../../lib/base/errors.ts';
import type { Client } from '../../lib/client/client.ts';
import { defaultClassAnnotations, localProvisioner } from '../../lib/api/storage.ts';

/** Made where a cluster has no class at all, so that a claim that asks for nothing special gets a disk. */
export async function ensureDefaultClass(client: Pick<Client, 'list' | 'create'>): Promise<void> {
  const { items } = await client.list('storageclasses');
  if (items.length > 0) return;
  try {
    await client.create('storageclasses', {
      metadata: { name: 'local', annotations: defaultClassAnnotations },
      provisioner: localProvisioner,
      reclaimPolicy: 'Delete',
      volumeBindingMode: 'WaitForFirstConsumer',
    });
  } catch (error) {
    if (!hasReason(error, 'AlreadyExists')) throw error;
  }
}
