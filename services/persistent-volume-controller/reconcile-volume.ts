import type { PersistentVolume, PersistentVolumeClaim } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import { diskFinalizer, diskNodeLabel, isProvisioned, volumeProtection } from '../../lib/api/storage.ts';
import { isMade } from './reconcile-claim.ts';

type Phase = NonNullable<PersistentVolume['status']['phase']>;

export type VolumeStep =
  | { readonly type: 'setPhase'; readonly phase: Phase; readonly reason?: string; readonly message?: string }
  /** Its claim has another volume: this one is free again. */
  | { readonly type: 'unreserve' }
  /** Asks for its deletion; its disk goes with it where its node's agent made one. */
  | { readonly type: 'delete' }
  /** No claim has it: it may go. */
  | { readonly type: 'unprotect' }
  /** The machine on which its disk was is no part of the cluster any more. */
  | { readonly type: 'giveUpDisk'; readonly node: string };

export interface VolumeFacts {
  /** The claim that claimRef names by uid; undefined when that life of it is over, or it names none. */
  readonly claim: PersistentVolumeClaim | undefined;
  readonly nodeExists: (name: string) => boolean;
}

/** The next step for a volume; undefined when it rests. Depends on its arguments only. */
export function reconcileVolume(volume: PersistentVolume, facts: VolumeFacts): VolumeStep | undefined {
  const { claim } = facts;
  const has = (finalizer: string): boolean => volume.metadata.finalizers?.includes(finalizer) === true;
  if (isDeleting(volume)) {
    if (has(volumeProtection))
      return claim?.spec.volumeName === volume.metadata.name ? undefined : { type: 'unprotect' };
    const node = volume.metadata.labels?.[diskNodeLabel] ?? '';
    return has(diskFinalizer) && !facts.nodeExists(node) ? { type: 'giveUpDisk', node } : undefined;
  }
  if ((volume.spec.claimRef?.uid ?? '') === '') return phase(volume, 'Available');
  if (claim === undefined) return reclaim(volume);
  const name = claim.spec.volumeName ?? '';
  if (name === volume.metadata.name) return phase(volume, isMade(volume) ? 'Bound' : 'Pending');
  if (name !== '') return isProvisioned(volume) ? { type: 'delete' } : { type: 'unreserve' };
  return phase(volume, isMade(volume) ? 'Available' : 'Pending');
}

/** Its claim is gone. */
function reclaim(volume: PersistentVolume): VolumeStep | undefined {
  if (!isMade(volume)) return { type: 'delete' };
  if (volume.spec.persistentVolumeReclaimPolicy === 'Retain') return phase(volume, 'Released');
  if (isProvisioned(volume)) return { type: 'delete' };
  return phase(volume, 'Failed', {
    reason: 'VolumeFailedDelete',
    message: 'nobody made this volume who could delete it: remove what is on it by hand, then the PersistentVolume',
  });
}

function phase(
  volume: PersistentVolume,
  wanted: Phase,
  why: { readonly reason?: string; readonly message?: string } = {},
): VolumeStep | undefined {
  const { status } = volume;
  if (status.phase === wanted && status.reason === why.reason) return undefined;
  return { type: 'setPhase', phase: wanted, ...why };
}
