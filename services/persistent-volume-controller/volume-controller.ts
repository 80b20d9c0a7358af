import { rfc3339 } from '../../lib/base/clock.ts';
import { ignoreNotFound } from '../../lib/base/errors.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../lib/api/objects.ts';
import { boundByControllerAnnotation, diskFinalizer, isOwnedBy, volumeProtection } from '../../lib/api/storage.ts';
import type { Controller } from '../../lib/controller/controller.ts';
import { claimKeyOf, filed, refreshed, takeSteps, Teller, without, type Parts } from './parts.ts';
import { reconcileVolume, type VolumeStep } from './reconcile-volume.ts';

/** Follows each volume through its life, and reclaims it when its claim is gone. Writes the status of volumes, and their end. */
export function newVolumeController(parts: Parts): Controller {
  const { claims, volumes, nodes, client, recorder, clock } = parts;
  const teller = new Teller(recorder);

  const updated = async (volume: PersistentVolume): Promise<'again'> => {
    filed(volumes, await client.update('persistentvolumes', volume));
    return 'again';
  };

  async function perform(volume: PersistentVolume, step: VolumeStep): Promise<'again' | 'rest'> {
    const { metadata, spec } = volume;
    switch (step.type) {
      case 'setPhase': {
        const { phase, reason, message } = step;
        const since = { lastPhaseTransitionTime: rfc3339(clock.now()) };
        const why = { ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) };
        if (phase === 'Failed') teller.tell(volume, 'Warning', reason ?? 'Failed', message ?? '');
        volumes.wrote(
          await client.updateStatus('persistentvolumes', { ...volume, status: { phase, ...why, ...since } }),
        );
        return 'again';
      }
      case 'unreserve': {
        const { claimRef: _, ...rest } = spec;
        const { [boundByControllerAnnotation]: _ours, ...annotations } = metadata.annotations ?? {};
        return updated({ ...volume, metadata: { ...metadata, annotations }, spec: rest });
      }
      case 'delete': {
        const { uid, resourceVersion } = metadata;
        const call = client.delete('persistentvolumes', metadata.name, { preconditions: { uid, resourceVersion } });
        const last = await ignoreNotFound(call);
        if (last === undefined) volumes.wroteDeletion(volume);
        else filed(volumes, last);
        return 'again';
      }
      case 'unprotect':
        return updated({ ...volume, metadata: { ...metadata, finalizers: without(volume, volumeProtection) } });
      case 'giveUpDisk':
        teller.tell(volume, 'Warning', 'DiskGivenUp', `its node "${step.node}" is gone, and the disk with it`);
        return updated({ ...volume, metadata: { ...metadata, finalizers: without(volume, diskFinalizer) } });
    }
  }

  /** Whose the volume is. That its claim is gone is asked of the API itself: what follows may destroy data. */
  async function claimOf(volume: PersistentVolume): Promise<PersistentVolumeClaim | undefined> {
    const key = claimKeyOf(volume);
    if (key === undefined) return undefined;
    const seen = claims.get(key);
    if (seen !== undefined && isOwnedBy(volume, seen)) return seen;
    const { status, spec } = volume;
    if ((spec.claimRef?.uid ?? '') === '' || status.phase === 'Released' || status.phase === 'Failed') return undefined;
    const now = await refreshed(client, 'persistentvolumeclaims', claims, key);
    return now !== undefined && isOwnedBy(volume, now) ? now : undefined;
  }

  return {
    name: 'persistent-volumes',
    sync: (key) =>
      takeSteps(
        async () => {
          const volume = volumes.get(key);
          if (volume === undefined) return undefined;
          const claim = await claimOf(volume);
          return reconcileVolume(volume, { claim, nodeExists: (name) => nodes.get(name) !== undefined });
        },
        async (step) => {
          const volume = volumes.get(key);
          if (volume === undefined) return 'rest';
          // A node that our view does not have may have come back, and its disks with it.
          if (step.type === 'giveUpDisk' && (await client.get('nodes', step.node)) !== undefined) return 'rest';
          return perform(volume, step);
        },
        async () => void (await refreshed(client, 'persistentvolumes', volumes, key)),
      ),
  };
}
