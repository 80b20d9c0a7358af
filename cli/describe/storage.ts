import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import { makeKey } from '../../lib/api/keys.ts';
import type {
  NodeSelectorTerm,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  StorageClass,
} from '../../lib/api/objects.ts';
import { modesText } from '../../lib/api/printing/storage.ts';
import { claimKeysOf, isDefaultClass } from '../../lib/api/storage.ts';
import { inner, pairs, type Entry, type Outline } from './outline.ts';

export function describePersistentVolume({ spec, status }: PersistentVolume): Outline {
  const { local, hostPath, nfs, gcePersistentDisk } = spec;
  const source = Object.entries({ local, hostPath, nfs, gcePersistentDisk }).find(([, value]) => value !== undefined);
  const claim = spec.claimRef === undefined ? undefined : makeKey(spec.claimRef.namespace, spec.claimRef.name ?? '');
  return [
    ['Status', status.phase],
    ['Reason', status.reason],
    ['Message', status.message],
    ['Claim', claim ?? '<none>'],
    ['Class', spec.storageClassName ?? '<none>'],
    ['Reclaim policy', spec.persistentVolumeReclaimPolicy],
    ['Access modes', modesText(spec.accessModes)],
    ['Capacity', String(spec.capacity['storage'] ?? '')],
    ['Nodes', spec.nodeAffinity?.required?.nodeSelectorTerms.map(termText) ?? 'all'],
    [
      'Source',
      source === undefined
        ? 'of a kind that no node here can mount'
        : inner(
            ['Type', source[0]],
            ...Object.entries(source[1] ?? {}).map(([key, value]): Entry => [key, String(value)]),
          ),
    ],
  ];
}

const termText = ({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): string =>
  [...matchExpressions, ...matchFields]
    .map(({ key, operator, values = [] }) => `${key} ${operator} [${values.join(', ')}]`)
    .join(' and ');

export const describePersistentVolumeClaim = (
  claim: PersistentVolumeClaim,
  podsOfNamespace: readonly Pod[],
): Outline => {
  const { metadata, spec, status } = claim;
  const key = makeKey(metadata.namespace, metadata.name);
  const users = podsOfNamespace.filter((pod) => claimKeysOf(pod).includes(key)).map((pod) => pod.metadata.name);
  return [
    ['Status', status.phase],
    ['Volume', spec.volumeName ?? '<none>'],
    ['Class', spec.storageClassName ?? '<none>'],
    ['Asked for', String(spec.resources.requests?.['storage'] ?? '')],
    ['Capacity', status.capacity === undefined ? undefined : String(status.capacity['storage'] ?? '')],
    ['Access modes', modesText(status.accessModes ?? spec.accessModes)],
    ['Selector', spec.selector === undefined ? undefined : formatSelector(selectorOfLabelSelector(spec.selector))],
    ['Used by', users.sort()],
  ];
};

export const describeStorageClass = (storageClass: StorageClass): Outline => [
  ['Default', isDefaultClass(storageClass) ? 'yes' : 'no'],
  ['Provisioner', storageClass.provisioner],
  ['Parameters', storageClass.parameters === undefined ? undefined : pairs(storageClass.parameters)],
  ['Reclaim policy', storageClass.reclaimPolicy],
  ['Binding', storageClass.volumeBindingMode],
  ['Mount options', storageClass.mountOptions?.join(', ')],
];
