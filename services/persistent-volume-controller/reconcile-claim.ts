import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import {
  claimProtection,
  diskFinalizer,
  diskNodeLabel,
  isDefaultClass,
  isOwnedBy,
  isProvisioned,
  localProvisioner,
  selectedNodeAnnotation,
} from '../../lib/api/storage.ts';
import { bestVolume, mismatch } from '../../lib/api/volume-matching.ts';
import { cannotHoldDisks, cannotProvision } from './provisioning.ts';

/** One write, or a word to people. Each may be the last before a crash: what follows is decided by what is found then. */
export type ClaimStep =
  | { readonly type: 'setClass'; readonly className: string }
  /** The volume becomes this claim's: the one write that decides, conditional on the volume's revision. */
  | { readonly type: 'reserve'; readonly volume: PersistentVolume }
  | { readonly type: 'provision'; readonly storageClass: StorageClass; readonly node: Node }
  /** Takes back a volume whose disk was never made. */
  | { readonly type: 'unprovision'; readonly volume: PersistentVolume }
  /** Lets the scheduler choose a node again. */
  | { readonly type: 'forgetNode' }
  /** The claim names its volume. */
  | { readonly type: 'name'; readonly volume: PersistentVolume }
  /** The claim's status says that it is bound, and what it got. */
  | { readonly type: 'bind'; readonly volume: PersistentVolume }
  | { readonly type: 'lose'; readonly reason: string; readonly message: string }
  /** Nobody uses it any more: it may go. */
  | { readonly type: 'unprotect' }
  | {
      readonly type: 'tell';
      readonly severity: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
    };

/** What is to be known of the world around one claim. */
export interface ClaimFacts {
  /** A pod on some node uses it. */
  readonly inUse: boolean;
  /** The node of a pod that uses it, which named its node itself where the claim is not bound yet. */
  readonly userNode: string | undefined;
  readonly volume: (name: string) => PersistentVolume | undefined;
  /** Those whose claimRef has the namespace and name of this claim. */
  readonly reserved: readonly PersistentVolume[];
  /** All volumes of a class. */
  readonly ofClass: (className: string) => readonly PersistentVolume[];
  readonly storageClass: (name: string) => StorageClass | undefined;
  readonly classes: readonly StorageClass[];
  readonly node: (name: string) => Node | undefined;
  /** The node for a disk of a class that does not wait for a pod. */
  readonly anyNode: () => Node | undefined;
}

/**
 * The next step for a claim; undefined when it rests. Depends on its arguments only. A volume belongs to the claim that its claimRef
 * names by uid and to no other, so that two claims never get one volume whatever is lost between two writes: whoever
 * comes later finds the reservation and goes on from there.
 */
export function reconcileClaim(claim: PersistentVolumeClaim, facts: ClaimFacts): ClaimStep | undefined {
  if (isDeleting(claim)) {
    const held = claim.metadata.finalizers?.includes(claimProtection) === true;
    return held && !facts.inUse ? { type: 'unprotect' } : undefined;
  }
  const name = claim.spec.volumeName ?? '';
  return name === '' ? findVolume(claim, facts) : followVolume(claim, name, facts);
}

// ---- With a volume in mind -----------------------------------------------------------------------

function followVolume(claim: PersistentVolumeClaim, name: string, facts: ClaimFacts): ClaimStep | undefined {
  const volume = facts.volume(name);
  const wasBound = claim.status.phase !== 'Pending';
  if (volume === undefined) {
    if (claim.status.phase === 'Lost') return undefined;
    if (wasBound) return lost('ClaimLost', `volume "${name}" is gone, and the data on it with it`);
    return wait('FailedBinding', `volume "${name}" not found`);
  }
  if (isOwnedBy(volume, claim)) {
    if (!isMade(volume)) return undefined; // its node's agent is at it
    return isBoundTo(claim, volume) ? undefined : { type: 'bind', volume };
  }
  if (claim.status.phase === 'Lost') return undefined;
  if (wasBound) return lost('ClaimMisbound', `volume "${name}" is bound to another claim now`);
  const owner = volume.spec.claimRef;
  const isKeptForUs = owner?.name === claim.metadata.name && owner.namespace === claim.metadata.namespace;
  if (owner !== undefined && (!isKeptForUs || (owner.uid ?? '') !== ''))
    return wait('FailedBinding', `volume "${name}" is bound to another claim`);
  if (isDeleting(volume)) return wait('FailedBinding', `volume "${name}" is being deleted`);
  const why = mismatch(claim, volume, claim.spec.storageClassName ?? volume.spec.storageClassName ?? '');
  if (why !== undefined) return wait('VolumeMismatch', `volume "${name}" does not do for this claim: ${why}`);
  return { type: 'reserve', volume };
}

/** A disk that a node's agent has to make is there when the agent has put its finalizer on. */
export const isMade = (volume: PersistentVolume): boolean =>
  !isProvisioned(volume) || volume.metadata.finalizers?.includes(diskFinalizer) === true;

const isBoundTo = ({ status }: PersistentVolumeClaim, { spec }: PersistentVolume): boolean =>
  status.phase === 'Bound' &&
  status.capacity?.['storage'] === spec.capacity['storage'] &&
  JSON.stringify(status.accessModes) === JSON.stringify(spec.accessModes);

// ---- In search of one ----------------------------------------------------------------------------

function findVolume(claim: PersistentVolumeClaim, facts: ClaimFacts): ClaimStep | undefined {
  const own = facts.reserved.filter((volume) => isOwnedBy(volume, claim)).toSorted(byName)[0];
  if (own !== undefined) return takeOwn(claim, own, facts);
  const kept = facts.reserved.filter(({ spec }) => (spec.claimRef?.uid ?? '') === '').toSorted(byName);
  const className = claim.spec.storageClassName ?? '';
  const fitting = kept.find((volume) => !isDeleting(volume) && mismatch(claim, volume, className) === undefined);
  if (fitting !== undefined) return { type: 'reserve', volume: fitting };
  if (claim.spec.storageClassName === undefined) {
    const standard = facts.classes.filter(isDefaultClass).toSorted(newestFirst)[0];
    if (standard !== undefined) return { type: 'setClass', className: standard.metadata.name };
  }
  return findByClass(claim, className, facts);
}

/** The volume has been reserved for us, perhaps by somebody who did not get further. */
function takeOwn(claim: PersistentVolumeClaim, volume: PersistentVolume, facts: ClaimFacts): ClaimStep | undefined {
  if (isDeleting(volume)) return undefined; // look again when it is gone
  if (isMade(volume)) return { type: 'name', volume };
  const place = volume.metadata.labels?.[diskNodeLabel] ?? '';
  const wanted = selectedNodeOf(claim);
  if (wanted !== '' && wanted !== place) return { type: 'unprovision', volume };
  if (facts.node(place) === undefined) return wanted === '' ? { type: 'unprovision', volume } : { type: 'forgetNode' };
  return undefined;
}

function findByClass(claim: PersistentVolumeClaim, className: string, facts: ClaimFacts): ClaimStep {
  const storageClass = facts.storageClass(className);
  const selected = selectedNodeOf(claim);
  const wanted = selected === '' ? facts.userNode : selected;
  const node = wanted === undefined ? undefined : facts.node(wanted);
  if (selected !== '' && node === undefined) return { type: 'forgetNode' };
  if (storageClass?.volumeBindingMode === 'WaitForFirstConsumer' && node === undefined)
    return wait('WaitForFirstConsumer', 'waiting for first consumer to be created before binding', 'Normal');
  const at = node === undefined ? undefined : { name: node.metadata.name, labels: node.metadata.labels ?? {} };
  const volume = bestVolume(claim, facts.ofClass(className), className, at);
  if (volume !== undefined) return { type: 'reserve', volume };
  if (className === '')
    return wait(
      'FailedBinding',
      'no persistent volumes available for this claim and no storage class is set',
      'Normal',
    );
  if (storageClass === undefined) return wait('ProvisioningFailed', `storageclass "${className}" not found`);
  if (storageClass.provisioner !== localProvisioner)
    return wait(
      'ExternalProvisioning',
      `waiting for a volume, either from the provisioner "${storageClass.provisioner}" or made by hand`,
      'Normal',
    );
  return provision(claim, storageClass, { node, facts });
}

function provision(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  { node, facts }: { readonly node: Node | undefined; readonly facts: ClaimFacts },
): ClaimStep {
  const never = cannotProvision(claim);
  if (never !== undefined) return wait('ProvisioningFailed', never);
  const place = node ?? facts.anyNode();
  if (place === undefined) return wait('ProvisioningFailed', 'no node is ready to hold a disk');
  const why = cannotHoldDisks(place);
  if (why !== undefined) return wait('ProvisioningFailed', why);
  return { type: 'provision', storageClass, node: place };
}

export const selectedNodeOf = ({ metadata }: PersistentVolumeClaim): string =>
  metadata.annotations?.[selectedNodeAnnotation] ?? '';

const wait = (reason: string, message: string, severity: 'Normal' | 'Warning' = 'Warning'): ClaimStep => ({
  type: 'tell',
  severity,
  reason,
  message,
});
const lost = (reason: string, message: string): ClaimStep => ({ type: 'lose', reason, message });

type Named = { readonly metadata: { readonly name: string; readonly creationTimestamp: string } };
const byName = (a: Named, b: Named): number => (a.metadata.name < b.metadata.name ? -1 : 1);
const newestFirst = (a: Named, b: Named): number =>
  b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp) || byName(a, b);
