import type { ApiObject, Condition, LabelSelector, ObjectReference, ResourceList, Time } from './meta.ts';
import type { ResourceRequirements, Volume } from './pod.ts';
import type { NodeSelector } from './placing.ts';

export type AccessMode = 'ReadWriteOnce' | 'ReadOnlyMany' | 'ReadWriteMany' | 'ReadWriteOncePod';

/** A disk. Exactly one source is set. */
export interface PersistentVolume extends ApiObject {
  readonly spec: PersistentVolumeSpec;
  readonly status: {
    readonly phase?: 'Pending' | 'Available' | 'Bound' | 'Released' | 'Failed';
    readonly message?: string;
    readonly reason?: string;
    readonly lastPhaseTransitionTime?: Time;
  };
}
export interface PersistentVolumeSpec extends Pick<Volume, 'hostPath' | 'nfs' | 'gcePersistentDisk'> {
  readonly capacity: ResourceList;
  readonly accessModes: readonly AccessMode[];
  readonly local?: { readonly path: string; readonly fsType?: string };
  /** Whose the disk is; without uid it is kept for a claim of that name. */
  readonly claimRef?: ObjectReference;
  readonly persistentVolumeReclaimPolicy: 'Retain' | 'Delete';
  readonly storageClassName?: string;
  readonly mountOptions?: readonly string[];
  readonly volumeMode: 'Filesystem';
  /** The nodes from which it can be reached; all where it is absent. */
  readonly nodeAffinity?: { readonly required?: NodeSelector };
}

/** A wish for a disk, and the right to the one it got. */
export interface PersistentVolumeClaim extends ApiObject {
  readonly spec: {
    readonly accessModes: readonly AccessMode[];
    readonly selector?: LabelSelector;
    readonly resources: ResourceRequirements;
    /** The PersistentVolume: asked for by its maker, or given by the controller. Set once. */
    readonly volumeName?: string;
    /** Absent: the default class. Empty: a volume without a class. */
    readonly storageClassName?: string;
    readonly volumeMode: 'Filesystem';
  };
  readonly status: {
    readonly phase?: 'Pending' | 'Bound' | 'Lost';
    readonly accessModes?: readonly AccessMode[];
    readonly capacity?: ResourceList;
    readonly conditions?: readonly Condition[];
  };
}

/** A kind of disk, and who makes it. */
export interface StorageClass extends ApiObject {
  readonly provisioner: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly reclaimPolicy: 'Retain' | 'Delete';
  readonly mountOptions?: readonly string[];
  readonly allowVolumeExpansion?: boolean;
  readonly volumeBindingMode: 'Immediate' | 'WaitForFirstConsumer';
}
