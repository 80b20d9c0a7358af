import assert from 'node:assert/strict';
import type { PersistentVolumeClaim } from '../../../lib/api/objects.ts';
import { reconcileVolume } from '../../../services/persistent-volume-controller/reconcile-volume.ts';
import { aClaim, aVolume, refOf, type VolumeOptions } from '../../support/storage-builders.ts';

describe('persistent-volume-controller/reconcile-volume', () => {
  const claim = aClaim({ volumeName: 'disk' });
  const bound: VolumeOptions = { claimRef: refOf(claim) };
  const provisioned: VolumeOptions = {
    ...bound,
    labels: { 'troupe.dev/disk-node': 'n1' },
    annotations: { 'pv.kubernetes.io/provisioned-by': 'troupe.dev/local' },
  };
  const disk = ['troupe.dev/local-disk'];
  const both = ['kubernetes.io/pv-protection', ...disk];

  const cases: readonly {
    readonly it: string;
    readonly volume: VolumeOptions;
    readonly claim?: PersistentVolumeClaim;
    readonly nodeGone?: boolean;
    readonly want: string;
  }[] = [
    { it: 'is available when new', volume: { phase: 'Pending' }, want: 'setPhase Available' },
    {
      it: 'is available while kept for a name',
      volume: { claimRef: { namespace: 'default', name: 'data' } },
      want: 'setPhase Available',
    },
    {
      it: 'is available again when its reservation is taken off',
      volume: { phase: 'Released' },
      want: 'setPhase Available',
    },
    { it: 'is bound when its claim names it', volume: { ...bound, phase: 'Available' }, claim, want: 'setPhase Bound' },
    { it: 'rests when bound', volume: bound, claim, want: 'rest' },
    { it: 'waits for its disk', volume: provisioned, claim: aClaim(), want: 'setPhase Pending' },
    {
      it: 'is free when its claim has another',
      volume: bound,
      claim: aClaim({ volumeName: 'better' }),
      want: 'unreserve',
    },
    {
      it: 'goes when it was made for a claim that has another',
      volume: provisioned,
      claim: aClaim({ volumeName: 'better' }),
      want: 'delete',
    },
    { it: 'keeps the data of a claim that is gone', volume: bound, want: 'setPhase Released' },
    { it: 'rests when released', volume: { ...bound, phase: 'Released' }, want: 'rest' },
    { it: 'goes with its claim', volume: { ...provisioned, policy: 'Delete', finalizers: disk }, want: 'delete' },
    {
      it: 'keeps a disk that was made when told to',
      volume: { ...provisioned, finalizers: disk },
      want: 'setPhase Released',
    },
    { it: 'goes when its disk was never made', volume: provisioned, want: 'delete' },
    { it: 'says that nobody can delete it', volume: { ...bound, policy: 'Delete' }, want: 'setPhase Failed' },
    { it: 'stays while a claim has it', volume: { ...bound, deleted: true, finalizers: both }, claim, want: 'rest' },
    {
      it: 'may go when no claim has it',
      volume: { ...provisioned, deleted: true, finalizers: both },
      want: 'unprotect',
    },
    {
      it: 'may go when its claim has not named it',
      volume: { ...provisioned, deleted: true, finalizers: both },
      claim: aClaim(),
      want: 'unprotect',
    },
    {
      it: 'waits for its node to remove the disk',
      volume: { ...provisioned, deleted: true, finalizers: disk },
      want: 'rest',
    },
    {
      it: 'does not wait for a node that is gone',
      volume: { ...provisioned, deleted: true, finalizers: disk },
      nodeGone: true,
      want: 'giveUpDisk',
    },
  ];
  for (const { it: title, volume, claim: has, nodeGone = false, want } of cases)
    it(title, () => {
      const step = reconcileVolume(aVolume(volume), { claim: has, nodeExists: () => !nodeGone });
      assert.equal(step === undefined ? 'rest' : 'phase' in step ? `${step.type} ${step.phase}` : step.type, want);
    });
});
