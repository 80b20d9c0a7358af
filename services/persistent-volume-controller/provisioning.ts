import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import {
  boundByControllerAnnotation,
  diskNodeLabel,
  disksFolderAnnotation,
  hostnameLabel,
  localProvisioner,
  provisionedByAnnotation,
} from '../../lib/api/storage.ts';
import type { Draft } from '../../lib/client/client.ts';
import { requestOf } from '../../lib/api/volume-matching.ts';

/** Says by whom the disk of a claim is: two controllers that make one make the same. */
export const provisionedName = (claim: PersistentVolumeClaim): string => `pvc-${claim.metadata.uid}`;

/** Why the local provisioner cannot serve this claim on any node; undefined when it can. */
export function cannotProvision({ spec }: PersistentVolumeClaim): string | undefined {
  const far = spec.accessModes.filter((mode) => mode !== 'ReadWriteOnce' && mode !== 'ReadWriteOncePod');
  if (far.length > 0)
    return (
      `a disk of ${localProvisioner} is on one node, so that ${far.join(', ')} cannot be had; ` +
      'ask for ReadWriteOnce, which all pods on that node can share'
    );
  if (spec.selector !== undefined)
    return 'a claim with a selector is served by volumes that are there, never by new ones';
  return undefined;
}

/** Why no disk can be made on this node; undefined when one can. */
export function cannotHoldDisks(node: Node): string | undefined {
  if (folderOf(node) === '')
    return `node ${node.metadata.name} does not say where its disks are (${disksFolderAnnotation})`;
  if ((node.metadata.labels?.[hostnameLabel] ?? '') === '')
    return `node ${node.metadata.name} has no label ${hostnameLabel}`;
  return undefined;
}

const folderOf = (node: Node): string => node.metadata.annotations?.[disksFolderAnnotation] ?? '';

/** For classes that do not wait for a pod: a node that is ready and has the fewest disks; of equal ones the first by name. */
export function nodeForDisk(nodes: readonly Node[], disksOn: (node: string) => number): Node | undefined {
  const able = nodes.filter(
    (node) =>
      cannotHoldDisks(node) === undefined &&
      conditionOf(node.status, 'Ready')?.status === 'True' &&
      node.spec.unschedulable !== true &&
      !(node.spec.taints ?? []).some(({ effect }) => effect !== 'PreferNoSchedule'),
  );
  const rank = ({ metadata }: Node): number => disksOn(metadata.name);
  return able.toSorted((a, b) => rank(a) - rank(b) || (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}

/** How a volume names its claim. */
export const referenceTo = ({
  metadata,
}: PersistentVolumeClaim): NonNullable<PersistentVolume['spec']['claimRef']> => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  namespace: metadata.namespace ?? '',
  name: metadata.name,
  uid: metadata.uid,
});

/** The volume for a claim on a node, reserved for it from the start. Its disk is made by the node's agent. */
export function localVolume(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: Node,
): Draft<PersistentVolume> {
  const name = provisionedName(claim);
  const fsType = storageClass.parameters?.['fsType'];
  const hostname = node.metadata.labels?.[hostnameLabel] ?? '';
  return {
    metadata: {
      name,
      labels: { [diskNodeLabel]: node.metadata.name },
      annotations: { [provisionedByAnnotation]: localProvisioner, [boundByControllerAnnotation]: 'yes' },
    },
    spec: {
      capacity: { storage: requestOf(claim) },
      accessModes: claim.spec.accessModes,
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy,
      storageClassName: storageClass.metadata.name,
      volumeMode: 'Filesystem',
      claimRef: referenceTo(claim),
      local: { path: `${folderOf(node)}/${name}`, ...(fsType === undefined ? {} : { fsType }) },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: hostnameLabel, operator: 'In', values: [hostname] }] }],
        },
      },
    },
  };
}
