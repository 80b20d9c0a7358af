import { matches, selectorOfLabelSelector } from './labels.ts';
import type { PersistentVolume, PersistentVolumeClaim } from './objects.ts';
import { isDeleting } from './pods.ts';
import { compareQuantities } from './quantity.ts';
import { canReach } from './storage.ts';

/** A node as far as disks are concerned. */
export interface DiskNode {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
}

const sizeOf = (volume: PersistentVolume): string | number => volume.spec.capacity['storage'] ?? 0;
export const requestOf = ({ spec }: PersistentVolumeClaim): string | number =>
  spec.resources.requests?.['storage'] ?? 0;

/** Why a volume does not do for a claim; undefined when it does. Whose it is does not matter here. */
export function mismatch(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
  className: string,
): string | undefined {
  const { spec } = volume;
  if (compareQuantities(sizeOf(volume), requestOf(claim)) < 0)
    return `it has ${sizeOf(volume)}, and ${requestOf(claim)} are asked for`;
  const missing = claim.spec.accessModes.filter((mode) => !spec.accessModes.includes(mode));
  if (missing.length > 0) return `it does not offer ${missing.join(', ')}`;
  if ((spec.storageClassName ?? '') !== className)
    return `it is of class "${spec.storageClassName ?? ''}", not "${className}"`;
  if (spec.volumeMode !== claim.spec.volumeMode) return 'its volumeMode is another';
  const { selector } = claim.spec;
  if (selector !== undefined && !matches(selectorOfLabelSelector(selector), volume.metadata.labels))
    return `its labels do not match the claim's selector`;
  return undefined;
}

/** Nobody's, and nobody has been there before. */
export const isFree = (volume: PersistentVolume): boolean =>
  volume.spec.claimRef === undefined &&
  !isDeleting(volume) &&
  volume.status.phase !== 'Released' &&
  volume.status.phase !== 'Failed';

/** The smallest free volume that does for the claim and can be reached from the node; of equal ones the first by name. */
export function bestVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  className: string,
  node: DiskNode | undefined,
): PersistentVolume | undefined {
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (!isFree(volume) || (node !== undefined && !canReach(volume, node))) continue;
    if (mismatch(claim, volume, className) !== undefined) continue;
    if (best === undefined || isBetter(volume, best)) best = volume;
  }
  return best;
}

function isBetter(a: PersistentVolume, b: PersistentVolume): boolean {
  const order = compareQuantities(sizeOf(a), sizeOf(b));
  return order < 0 || (order === 0 && a.metadata.name < b.metadata.name);
}
