import { makeKey } from '../keys.ts';
import type { AccessMode, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../objects.ts';
import { isDefaultClass } from '../storage.ts';

const shortModes: Readonly<Record<AccessMode, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

/** `RWO,ROX`: each mode once, in a fixed order. */
export const modesText = (modes: readonly AccessMode[] | undefined): string =>
  (Object.keys(shortModes) as readonly AccessMode[])
    .filter((mode) => modes?.includes(mode) === true)
    .map((mode) => shortModes[mode])
    .join(',');

const unset = '<unset>';
const phaseOf = (object: PersistentVolume | PersistentVolumeClaim): string =>
  object.metadata.deletionTimestamp === undefined ? (object.status.phase ?? 'Pending') : 'Terminating';

export const volumeRow = (volume: PersistentVolume, age: string): readonly string[] => {
  const { metadata, spec, status } = volume;
  return [
    metadata.name,
    String(spec.capacity['storage'] ?? ''),
    modesText(spec.accessModes),
    spec.persistentVolumeReclaimPolicy,
    phaseOf(volume),
    spec.claimRef === undefined ? '' : makeKey(spec.claimRef.namespace, spec.claimRef.name ?? ''),
    spec.storageClassName ?? '',
    unset,
    status.reason ?? '',
    age,
    spec.volumeMode,
  ];
};

/** What the claim got; nothing while it waits. */
export const claimRow = (claim: PersistentVolumeClaim, age: string): readonly string[] => {
  const { metadata, spec, status } = claim;
  const isBound = (spec.volumeName ?? '') !== '';
  return [
    metadata.name,
    phaseOf(claim),
    spec.volumeName ?? '',
    isBound ? String(status.capacity?.['storage'] ?? '') : '',
    isBound ? modesText(status.accessModes) : '',
    spec.storageClassName ?? '',
    unset,
    age,
    spec.volumeMode,
  ];
};

export const classRow = (storageClass: StorageClass, age: string): readonly string[] => [
  isDefaultClass(storageClass) ? `${storageClass.metadata.name} (default)` : storageClass.metadata.name,
  storageClass.provisioner,
  storageClass.reclaimPolicy,
  storageClass.volumeBindingMode,
  String(storageClass.allowVolumeExpansion ?? false),
  age,
];
