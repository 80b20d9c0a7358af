import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../lib/api/objects.ts';
import { meta, type MetaOptions } from './builders.ts';

export interface VolumeOptions extends MetaOptions {
  readonly size?: string;
  readonly modes?: PersistentVolume['spec']['accessModes'];
  readonly className?: string;
  /** The node it is on; without one it can be reached from everywhere. */
  readonly node?: string;
  readonly policy?: 'Retain' | 'Delete';
  readonly claimRef?: PersistentVolume['spec']['claimRef'];
  readonly phase?: PersistentVolume['status']['phase'];
}

/** A disk in a folder. */
export function aVolume(options: VolumeOptions = {}): PersistentVolume {
  const name = options.name ?? 'disk';
  const nodeAffinity = {
    required: {
      nodeSelectorTerms: [
        {
          matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In' as const, values: [options.node ?? ''] }],
        },
      ],
    },
  };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: meta('PersistentVolume', name, options, false),
    spec: {
      capacity: { storage: options.size ?? '1Gi' },
      accessModes: options.modes ?? ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: options.policy ?? 'Retain',
      volumeMode: 'Filesystem',
      ...(options.node === undefined
        ? { hostPath: { path: `/srv/${name}` } }
        : { local: { path: `/srv/${name}` }, nodeAffinity }),
      ...(options.className === undefined ? {} : { storageClassName: options.className }),
      ...(options.claimRef === undefined ? {} : { claimRef: options.claimRef }),
    },
    status: { phase: options.phase ?? (options.claimRef === undefined ? 'Available' : 'Bound') },
  };
}

export interface ClaimOptions extends MetaOptions {
  readonly size?: string;
  readonly modes?: PersistentVolume['spec']['accessModes'];
  /** Default: the empty class, of volumes that people made. */
  readonly className?: string | undefined;
  readonly volumeName?: string;
  readonly selector?: PersistentVolumeClaim['spec']['selector'];
  readonly phase?: PersistentVolumeClaim['status']['phase'];
}

/** A claim for 1Gi, bound when it names a volume. */
export function aClaim(options: ClaimOptions = {}): PersistentVolumeClaim {
  const { volumeName, selector, modes = ['ReadWriteOnce'], size = '1Gi' } = options;
  const className = 'className' in options ? options.className : '';
  const phase = options.phase ?? (volumeName === undefined ? 'Pending' : 'Bound');
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: meta('PersistentVolumeClaim', options.name ?? 'data', options),
    spec: {
      accessModes: modes,
      resources: { requests: { storage: size } },
      volumeMode: 'Filesystem',
      ...(className === undefined ? {} : { storageClassName: className }),
      ...(volumeName === undefined ? {} : { volumeName }),
      ...(selector === undefined ? {} : { selector }),
    },
    status: { phase, ...(phase === 'Bound' ? { accessModes: modes, capacity: { storage: size } } : {}) },
  };
}

/** How a volume names its claim. */
export const refOf = ({ metadata }: PersistentVolumeClaim): NonNullable<PersistentVolume['spec']['claimRef']> => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  namespace: metadata.namespace ?? '',
  name: metadata.name,
  uid: metadata.uid,
});

export interface ClassOptions extends MetaOptions {
  readonly provisioner?: string;
  readonly binding?: StorageClass['volumeBindingMode'];
  readonly policy?: 'Retain' | 'Delete';
  readonly isDefault?: boolean;
}

/** A class whose disks the nodes make. */
export function aClass(options: ClassOptions = {}): StorageClass {
  const annotations =
    options.isDefault === true ? { 'storageclass.kubernetes.io/is-default-class': 'true' } : undefined;
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: meta('StorageClass', options.name ?? 'local', { ...(annotations && { annotations }), ...options }, false),
    provisioner: options.provisioner ?? 'troupe.dev/local',
    reclaimPolicy: options.policy ?? 'Delete',
    volumeBindingMode: options.binding ?? 'WaitForFirstConsumer',
  };
}
