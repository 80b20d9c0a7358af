import type { PersistentVolume } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import {
  canReach,
  diskFinalizer,
  diskNodeLabel,
  hostnameLabel,
  isProvisioned,
  volumeProtection,
} from '../../lib/api/storage.ts';

export type DiskStep =
  /** Make the disk, then say so by the finalizer. */
  | { readonly type: 'make' }
  /** Remove the disk, if the volume's data is not to be kept, then let the volume go. */
  | { readonly type: 'letGo'; readonly removes: boolean }
  | { readonly type: 'refuse'; readonly message: string };

/** What this node has to do about a volume; undefined: nothing. Depends on its arguments only. */
export function diskStep(volume: PersistentVolume, node: string, folder: string): DiskStep | undefined {
  const { metadata, spec } = volume;
  if (!isProvisioned(volume) || metadata.labels?.[diskNodeLabel] !== node) return undefined;
  const has = (finalizer: string): boolean => metadata.finalizers?.includes(finalizer) === true;
  const path = `${folder}/${metadata.name}`;
  const isOurs =
    spec.local?.path === path &&
    spec.nodeAffinity !== undefined &&
    canReach(volume, { name: node, labels: { [hostnameLabel]: node } });
  const where = `${spec.local?.path ?? 'no path'} is not where this node keeps the disk of ${metadata.name}: ${path}`;
  if (!isDeleting(volume)) {
    if (has(diskFinalizer)) return undefined;
    return isOurs ? { type: 'make' } : { type: 'refuse', message: where };
  }
  if (!has(diskFinalizer) || has(volumeProtection)) return undefined;
  if (spec.persistentVolumeReclaimPolicy !== 'Delete') return { type: 'letGo', removes: false };
  return isOurs ? { type: 'letGo', removes: true } : { type: 'refuse', message: where };
}
