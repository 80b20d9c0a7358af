import { splitKey, type Key } from '../api/keys.ts';
import type { Labels, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../api/objects.ts';
import { isDeleting } from '../api/pods.ts';
import {
  canReach,
  isBoundClaim,
  isDefaultClass,
  isOwnedBy,
  localProvisioner,
  selectedNodeAnnotation,
} from '../api/storage.ts';
import { isFree, mismatch } from '../api/volume-matching.ts';
import type { View } from '../view/view.ts';

/** What of a node decides whether disks reach it. Users of disks are told apart by the object itself. */
export interface DiskNode {
  readonly name: string;
  readonly labels: Labels;
  /** Disks that outlive pods can be made there. */
  readonly hasDisks: boolean;
}

/** Where claims and what they are bound to is looked up. */
export interface DiskViews {
  readonly claims: Pick<View<PersistentVolumeClaim>, 'get'>;
  readonly volumes: Pick<View<PersistentVolume>, 'get' | 'list'>;
  readonly classes: Pick<View<StorageClass>, 'get' | 'list'>;
}

/** What the claims of one pod ask of the node it goes to. */
export interface DiskAsk {
  /** Why the pod can go nowhere yet, whatever the nodes are. */
  readonly blocked?: string;
  /** What blocks is that a volume has not been heard of yet. */
  readonly isLate?: boolean;
  /** Bound already: the node must reach each of them. */
  readonly volumes: readonly PersistentVolume[];
  /** Those that get their disk on the node that the pod goes to. */
  readonly toPlace: readonly ClaimToPlace[];
  /** Where pods that share a claim of one node, or of one pod, are. */
  readonly shared: readonly SharedClaim[];
}
export interface ClaimToPlace {
  readonly claim: PersistentVolumeClaim;
  /** Volumes that are there and would do, wherever they are. */
  readonly candidates: readonly PersistentVolume[];
  /** A disk can be made on any node that has a folder for disks. */
  readonly canBeMade: boolean;
}
export interface SharedClaim {
  readonly onePodOnly: boolean;
  /** The nodes where it is in use now, and by how many pods. */
  readonly users: ReadonlyMap<DiskNode, number>;
}

type Users = (claim: Key) => ReadonlyMap<DiskNode, number> | undefined;
type IsAlive = (node: string) => boolean;

/**
 * What the claims of a pod ask, as things stand. A function of its arguments and what the views hold. A claim for which a node was
 * chosen, and whose disk may be in the making there, is asked for on that node as long as the node lives.
 */
export function diskAskOf(keys: readonly Key[], views: DiskViews, users: Users, isAlive: IsAlive): DiskAsk {
  const volumes: PersistentVolume[] = [];
  const toPlace: ClaimToPlace[] = [];
  const shared: SharedClaim[] = [];
  const unbound: string[] = [];
  for (const key of keys) {
    const { name } = splitKey(key);
    const claim = views.claims.get(key);
    const never = claim === undefined ? `persistentvolumeclaim "${name}" not found` : hopeless(claim);
    if (claim === undefined || never !== undefined) return { ...nothing, blocked: never ?? '' };
    const found = users(key);
    if (found !== undefined && isOfOneNode(claim))
      shared.push({ onePodOnly: claim.spec.accessModes.includes('ReadWriteOncePod'), users: found });
    if (isBoundClaim(claim)) {
      const volume = views.volumes.get(claim.spec.volumeName ?? '');
      if (volume === undefined || !isOwnedBy(volume, claim))
        return { ...nothing, isLate: true, blocked: notFound(claim) };
      volumes.push(volume);
      continue;
    }
    const storageClass = classOf(claim, views);
    // With a volume named by its maker it is bound without us; named after we chose, it is bound in a moment.
    const isNamed = (claim.spec.volumeName ?? '') !== '' && selectedNodeOf(claim) === undefined;
    if (isNamed || storageClass?.volumeBindingMode !== 'WaitForFirstConsumer') unbound.push(name);
    else toPlace.push(placeable(claim, storageClass, views, isAlive));
  }
  if (unbound.length === 0) return { volumes, toPlace, shared };
  return { ...nothing, blocked: `pod has unbound immediate PersistentVolumeClaims: ${unbound.join(', ')}` };
}

const notFound = ({ metadata, spec }: PersistentVolumeClaim): string =>
  `persistentvolume "${spec.volumeName ?? ''}" of persistentvolumeclaim "${metadata.name}" not found`;

const nothing: DiskAsk = { volumes: [], toPlace: [], shared: [] };

function hopeless({ metadata, status, ...rest }: PersistentVolumeClaim): string | undefined {
  if (isDeleting({ metadata, ...rest })) return `persistentvolumeclaim "${metadata.name}" is being deleted`;
  if (status.phase === 'Lost') return `persistentvolumeclaim "${metadata.name}" has lost its volume`;
  return undefined;
}

/** The class that a claim has, or will be given because it names none. */
const classOf = ({ spec }: PersistentVolumeClaim, { classes }: DiskViews): StorageClass | undefined =>
  spec.storageClassName === undefined ? classes.list().find(isDefaultClass) : classes.get(spec.storageClassName);

const isOfOneNode = ({ spec }: PersistentVolumeClaim): boolean =>
  spec.accessModes.every((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');

function placeable(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  { volumes }: DiskViews,
  isAlive: IsAlive,
): ClaimToPlace {
  const className = storageClass.metadata.name;
  const canBeMade = storageClass.provisioner === localProvisioner;
  const chosen = selectedNodeOf(claim);
  if (chosen !== undefined && isAlive(chosen)) return { claim, candidates: [], canBeMade };
  const candidates = volumes
    .list()
    .filter((volume) => isFree(volume) && mismatch(claim, volume, className) === undefined);
  return { claim: chosen === undefined ? claim : forgetting(claim), candidates, canBeMade };
}

/** The node that was chosen before is gone: another is free to be. */
function forgetting(claim: PersistentVolumeClaim): PersistentVolumeClaim {
  const { [selectedNodeAnnotation]: _, ...annotations } = claim.metadata.annotations ?? {};
  return { ...claim, metadata: { ...claim.metadata, annotations } };
}

export const selectedNodeOf = ({ metadata }: PersistentVolumeClaim): string | undefined =>
  metadata.annotations?.[selectedNodeAnnotation] || undefined;

// ---- Why not there -------------------------------------------------------------------------------

export const outOfReach = ({ volumes, toPlace }: DiskAsk, node: DiskNode): string | undefined =>
  volumes.some((volume) => !canReach(volume, node)) ||
  toPlace.some(({ claim }) => (selectedNodeOf(claim) ?? node.name) !== node.name)
    ? 'with volume node affinity conflict'
    : undefined;

export const withoutDisk = ({ toPlace }: DiskAsk, node: DiskNode): string | undefined =>
  toPlace.every(
    ({ claim, candidates, canBeMade }) =>
      selectedNodeOf(claim) === node.name ||
      (canBeMade && node.hasDisks) ||
      candidates.some((volume) => canReach(volume, node)),
  )
    ? undefined
    : 'without a persistent volume to bind';

export function takenByOthers({ shared }: DiskAsk, node: DiskNode): string | undefined {
  for (const { onePodOnly, users } of shared) {
    if (users.size === 0) continue;
    if (onePodOnly) return 'with a ReadWriteOncePod claim in use by another pod';
    if (!users.has(node)) return 'with a ReadWriteOnce claim in use on another node';
  }
  return undefined;
}
