import type { Key } from './keys.ts';
import { makeKey } from './keys.ts';
import { meetsAny, nodeTermOf } from './node-selector.ts';
import type { Labels, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass, Volume } from './objects.ts';

/** What disks that outlive pods have in common for all who deal with them. Names as Kubernetes v1 has them where it has any. */

/** A claim that a pod uses, and a volume that a claim has, are held by these until that is over. */
export const claimProtection = 'kubernetes.io/pvc-protection';
export const volumeProtection = 'kubernetes.io/pv-protection';
/** A node's agent has made this disk, and must remove it before the volume can go. Put on and taken off by the agent alone. */
export const diskFinalizer = 'troupe.dev/local-disk';

/** The node that the scheduler chose for the first pod of a claim. */
export const selectedNodeAnnotation = 'volume.kubernetes.io/selected-node';
/** On a volume: who made it. */
export const provisionedByAnnotation = 'pv.kubernetes.io/provisioned-by';
/** On a volume: the controller, not a person, reserved it for its claim. */
export const boundByControllerAnnotation = 'pv.kubernetes.io/bound-by-controller';
/** On a Node: the folder for disks of the local class. */
export const disksFolderAnnotation = 'troupe.dev/disks-folder';
/** On a volume of the local class: the node whose agent makes and removes the disk. */
export const diskNodeLabel = 'troupe.dev/disk-node';
const defaultClassAnnotation = 'storageclass.kubernetes.io/is-default-class';

export const localProvisioner = 'troupe.dev/local';
export const hostnameLabel = 'kubernetes.io/hostname';

export const defaultClassAnnotations: Labels = { [defaultClassAnnotation]: 'true' };
export const isDefaultClass = ({ metadata }: StorageClass): boolean =>
  metadata.annotations?.[defaultClassAnnotation] === 'true';

/** Both halves are written: the volume is this claim's, and the claim says so. */
export const isBoundClaim = ({ spec, status }: PersistentVolumeClaim): boolean =>
  status.phase === 'Bound' && (spec.volumeName ?? '') !== '';

/** Whether the volume is reserved for just this life of the claim. */
export const isOwnedBy = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean =>
  volume.spec.claimRef?.uid === claim.metadata.uid;

export const isProvisioned = (volume: PersistentVolume): boolean =>
  volume.metadata.annotations?.[provisionedByAnnotation] === localProvisioner;

/** The keys of the claims that a pod mounts, each once; none for most pods. */
export function claimKeysOf({ metadata, spec }: Pick<Pod, 'metadata' | 'spec'>): readonly Key[] {
  let keys: Set<Key> | undefined;
  for (const volume of spec.volumes ?? []) {
    const name = claimNameOf(volume);
    if (name !== undefined) (keys ??= new Set()).add(makeKey(metadata.namespace, name));
  }
  return keys === undefined ? none : [...keys];
}
const none: readonly Key[] = [];

export const claimNameOf = (volume: Volume): string | undefined => volume.persistentVolumeClaim?.claimName;

/** Whether the volume can be reached from a node with these labels and this name. */
export function canReach(volume: PersistentVolume, node: { readonly name: string; readonly labels?: Labels }): boolean {
  const required = volume.spec.nodeAffinity?.required;
  return required === undefined || meetsAny(required.nodeSelectorTerms.map(nodeTermOf), node);
}
