import assert from 'node:assert/strict';
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../../lib/api/objects.ts';
import { reconcileClaim, type ClaimStep } from '../../../services/persistent-volume-controller/reconcile-claim.ts';
import { aNode } from '../../support/builders.ts';
import { aClaim, aClass, aVolume, refOf, type ClaimOptions } from '../../support/storage-builders.ts';

const node = aNode({
  name: 'n1',
  labels: { 'kubernetes.io/hostname': 'n1' },
  annotations: { 'troupe.dev/disks-folder': '/data/disks' },
});
const selected = { 'volume.kubernetes.io/selected-node': 'n1' };
const protection = ['kubernetes.io/pvc-protection'];
const local = (options: ClaimOptions = {}): PersistentVolumeClaim => aClaim({ className: 'local', ...options });

/** A disk made for the claim by the local provisioner; its agent has made it, or not yet. */
function made(claim: PersistentVolumeClaim, isMade = true, options: object = {}): PersistentVolume {
  return aVolume({
    name: `pvc-${claim.metadata.uid}`,
    node: 'n1',
    className: 'local',
    claimRef: refOf(claim),
    labels: { 'troupe.dev/disk-node': 'n1' },
    annotations: { 'pv.kubernetes.io/provisioned-by': 'troupe.dev/local' },
    finalizers: isMade ? ['troupe.dev/local-disk'] : [],
    ...options,
  });
}

interface World {
  readonly claim: PersistentVolumeClaim;
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly nodes?: readonly Node[];
  readonly inUse?: boolean;
  readonly userNode?: string;
}

function decide({ claim, volumes = [], classes = [aClass()], nodes = [node], inUse = false, userNode }: World): string {
  const step = reconcileClaim(claim, {
    inUse,
    userNode,
    volume: (name) => volumes.find((volume) => volume.metadata.name === name),
    reserved: volumes.filter((volume) => volume.spec.claimRef?.name === claim.metadata.name),
    ofClass: (name) => volumes.filter((volume) => (volume.spec.storageClassName ?? '') === name),
    storageClass: (name) => classes.find(({ metadata }) => metadata.name === name),
    classes,
    node: (name) => nodes.find(({ metadata }) => metadata.name === name),
    anyNode: () => nodes[0],
  });
  return step === undefined ? 'rest' : shown(step);
}

function shown(step: ClaimStep): string {
  if ('volume' in step) return `${step.type} ${step.volume.metadata.name}`;
  if (step.type === 'provision') return `provision on ${step.node.metadata.name}`;
  if (step.type === 'setClass') return `setClass ${step.className}`;
  return 'message' in step ? `${step.type} ${step.reason}: ${step.message}` : step.type;
}

describe('persistent-volume-controller/reconcile-claim', () => {
  const claim = aClaim();
  const other = aClaim({ name: 'other' });
  const first = local();
  const chosen = local({ annotations: selected });

  const cases: readonly (World & { readonly it: string; readonly want: string | RegExp })[] = [
    { it: 'says that there is nothing for it', claim, want: /^tell FailedBinding: no persistent volumes available/ },
    {
      it: 'takes the smallest that is large enough, of equal ones the first by name',
      claim: aClaim({ size: '2Gi' }),
      volumes: [
        aVolume({ name: 'small', size: '1Gi' }),
        aVolume({ name: 'large', size: '9Gi' }),
        aVolume({ name: 'fit-b', size: '3Gi' }),
        aVolume({ name: 'fit-a', size: '3072Mi' }),
      ],
      want: 'reserve fit-a',
    },
    {
      it: 'takes none of another class, without its mode, with other labels, of another, or used before',
      claim: aClaim({ modes: ['ReadWriteOnce', 'ReadOnlyMany'], selector: { matchLabels: { tier: 'fast' } } }),
      volumes: [
        aVolume({
          name: 'class',
          className: 'local',
          modes: ['ReadWriteOnce', 'ReadOnlyMany'],
          labels: { tier: 'fast' },
        }),
        aVolume({ name: 'modes', labels: { tier: 'fast' } }),
        aVolume({ name: 'labels', modes: ['ReadWriteOnce', 'ReadOnlyMany'], labels: { tier: 'slow' } }),
        aVolume({
          name: 'used',
          modes: ['ReadWriteOnce', 'ReadOnlyMany'],
          labels: { tier: 'fast' },
          phase: 'Released',
        }),
        aVolume({
          name: 'owned',
          modes: ['ReadWriteOnce', 'ReadOnlyMany'],
          labels: { tier: 'fast' },
          claimRef: refOf(other),
        }),
        aVolume({ name: 'going', modes: ['ReadWriteOnce', 'ReadOnlyMany'], labels: { tier: 'fast' }, deleted: true }),
        aVolume({ name: 'good', modes: ['ReadOnlyMany', 'ReadWriteOnce'], labels: { tier: 'fast' } }),
      ],
      want: 'reserve good',
    },
    {
      it: 'takes the one that a person kept for it before any other',
      claim,
      volumes: [aVolume({ name: 'a' }), aVolume({ name: 'kept', claimRef: { namespace: 'default', name: 'data' } })],
      want: 'reserve kept',
    },
    {
      it: 'goes on with what it has reserved',
      claim,
      volumes: [aVolume({ name: 'a' }), aVolume({ name: 'z', claimRef: refOf(claim) })],
      want: 'name z',
    },
    {
      it: 'does not take what a claim of the same name had before it',
      claim,
      volumes: [aVolume({ claimRef: { ...refOf(claim), uid: 'earlier' } })],
      want: /^tell FailedBinding/,
    },
    {
      it: 'reserves the volume that it was made for',
      claim: aClaim({ volumeName: 'disk', phase: 'Pending' }),
      volumes: [aVolume()],
      want: 'reserve disk',
    },
    {
      it: 'says why the volume that it names does not do',
      claim: aClaim({ volumeName: 'disk', phase: 'Pending', size: '2Gi' }),
      volumes: [aVolume()],
      want: 'tell VolumeMismatch: volume "disk" does not do for this claim: it has 1Gi, and 2Gi are asked for',
    },
    {
      it: 'does not take the volume that it names from another',
      claim: aClaim({ volumeName: 'disk', phase: 'Pending' }),
      volumes: [aVolume({ claimRef: refOf(other) })],
      want: 'tell FailedBinding: volume "disk" is bound to another claim',
    },
    {
      it: 'waits for the volume that it names',
      claim: aClaim({ volumeName: 'disk', phase: 'Pending' }),
      want: 'tell FailedBinding: volume "disk" not found',
    },
    {
      it: 'says that it is bound when both sides say so',
      claim: aClaim({ volumeName: 'disk', phase: 'Pending' }),
      volumes: [aVolume({ claimRef: refOf(claim) })],
      want: 'bind disk',
    },
    {
      it: 'rests when it is bound',
      claim: aClaim({ volumeName: 'disk' }),
      volumes: [aVolume({ claimRef: refOf(claim) })],
      want: 'rest',
    },
    {
      it: 'tells a size that has changed',
      claim: aClaim({ volumeName: 'disk' }),
      volumes: [aVolume({ size: '2Gi', claimRef: refOf(claim) })],
      want: 'bind disk',
    },
    {
      it: 'is lost with its volume',
      claim: aClaim({ volumeName: 'disk' }),
      want: 'lose ClaimLost: volume "disk" is gone, and the data on it with it',
    },
    {
      it: "is lost when its volume is another's",
      claim: aClaim({ volumeName: 'disk' }),
      volumes: [aVolume({ claimRef: refOf(other) })],
      want: 'lose ClaimMisbound: volume "disk" is bound to another claim now',
    },
    { it: 'stays lost', claim: aClaim({ volumeName: 'disk', phase: 'Lost' }), want: 'rest' },

    {
      it: 'takes the default class',
      claim: aClaim({ className: undefined }),
      classes: [aClass({ isDefault: true })],
      want: 'setClass local',
    },
    {
      it: 'takes no class where there is no default one',
      claim: aClaim({ className: undefined }),
      want: /^tell FailedBinding/,
    },
    {
      it: 'says that its class is not there',
      claim: first,
      classes: [],
      want: 'tell ProvisioningFailed: storageclass "local" not found',
    },
    {
      it: 'binds within a class that has no object',
      claim: first,
      classes: [],
      volumes: [aVolume({ className: 'local' })],
      want: 'reserve disk',
    },
    {
      it: 'leaves other provisioners their work',
      claim: first,
      classes: [aClass({ provisioner: 'example.com/fast', binding: 'Immediate' })],
      want: /^tell ExternalProvisioning/,
    },
    { it: 'waits for its first pod', claim: first, want: /^tell WaitForFirstConsumer: waiting for first consumer/ },
    { it: 'has a disk made where the scheduler wants it', claim: chosen, want: 'provision on n1' },
    {
      it: 'takes a pod that named its node itself for its first consumer',
      claim: first,
      userNode: 'n1',
      want: 'provision on n1',
    },
    {
      it: 'has a disk made somewhere at once',
      claim: first,
      classes: [aClass({ binding: 'Immediate' })],
      want: 'provision on n1',
    },
    {
      it: 'takes a disk that is there on the node rather than a new one',
      claim: chosen,
      volumes: [
        aVolume({ name: 'far', className: 'local', node: 'n2' }),
        aVolume({ name: 'here', className: 'local', node: 'n1' }),
      ],
      want: 'reserve here',
    },
    { it: 'does not wait for a node that is gone', claim: chosen, nodes: [], want: 'forgetNode' },
    {
      it: 'says what the node lacks',
      claim: chosen,
      nodes: [aNode({ name: 'n1' })],
      want: /^tell ProvisioningFailed: node n1 does not say/,
    },
    {
      it: 'does not promise one disk to many nodes',
      claim: local({ annotations: selected, modes: ['ReadWriteMany'] }),
      want: /^tell ProvisioningFailed: .*ReadWriteMany cannot be had/,
    },
    { it: 'waits until the disk is made', claim: chosen, volumes: [made(chosen, false)], want: 'rest' },
    {
      it: 'names the volume when its disk is made',
      claim: chosen,
      volumes: [made(chosen)],
      want: `name pvc-${chosen.metadata.uid}`,
    },
    {
      it: 'takes back a disk that was not made when the scheduler has changed its mind',
      claim: local({ annotations: { 'volume.kubernetes.io/selected-node': 'n2' } }),
      volumes: [made(first, false)],
      want: `unprovision pvc-${first.metadata.uid}`,
    },
    {
      it: 'lets the scheduler choose anew when the node went before the disk was made',
      claim: chosen,
      nodes: [],
      volumes: [made(chosen, false)],
      want: 'forgetNode',
    },
    {
      it: 'keeps the disk that is made, whatever the scheduler thinks now',
      claim: local({ annotations: { 'volume.kubernetes.io/selected-node': 'n2' } }),
      volumes: [made(first)],
      want: `name pvc-${first.metadata.uid}`,
    },

    {
      it: 'stays while a pod uses it',
      claim: aClaim({ deleted: true, finalizers: protection }),
      inUse: true,
      want: 'rest',
    },
    { it: 'may go when no pod uses it', claim: aClaim({ deleted: true, finalizers: protection }), want: 'unprotect' },
    { it: 'binds nothing on its way out', claim: aClaim({ deleted: true }), volumes: [aVolume()], want: 'rest' },
  ];
  for (const { it: title, want, ...world } of cases)
    it(title, () => {
      const step = decide(world);
      if (typeof want === 'string') assert.equal(step, want);
      else assert.match(step, want);
    });
});
