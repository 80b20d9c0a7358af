import assert from 'node:assert/strict';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '../../../lib/api/objects.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { outlook } from '../../../services/scheduler/awaiting.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod } from '../../support/builders.ts';
import { aClaim, aClass, aVolume, refOf, type ClaimOptions } from '../../support/storage-builders.ts';

const nodeNamed = (name: string, hasDisks = true, ready = true): Node =>
  aNode({
    name,
    ready,
    labels: { 'kubernetes.io/hostname': name },
    ...(hasDisks ? { annotations: { 'troupe.dev/disks-folder': '/data/disks' } } : {}),
  });
const using = (claim: string, name = 'web', nodeName?: string): Pod =>
  aPod({
    name,
    ...(nodeName === undefined ? {} : { nodeName }),
    spec: { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: claim } }] },
  });
const on = (node: string): Readonly<Record<string, string>> => ({ 'volume.kubernetes.io/selected-node': node });
const local = (options: ClaimOptions = {}): PersistentVolumeClaim => aClaim({ className: 'local', ...options });

interface World {
  readonly nodes?: readonly Node[];
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly there?: readonly Pod[];
  readonly pods?: readonly Pod[];
}

const lookup = <T extends ApiObject>(
  objects: readonly T[],
): { get(key: string): T | undefined; list(): readonly T[] } => ({
  get: (key) => objects.find((object) => keyOf(object) === key),
  list: () => objects,
});

function clusterOf({ nodes, claims = [], volumes = [], classes = [aClass()], there = [] }: World): Cluster {
  const cluster = new Cluster({ claims: lookup(claims), volumes: lookup(volumes), classes: lookup(classes) });
  for (const node of nodes ?? [nodeNamed('n1'), nodeNamed('n2')]) cluster.setNode(node);
  for (const pod of there) cluster.setPod(pod);
  return cluster;
}

/** Where the pods go, or why the first that goes nowhere does not. */
function outcome(world: World): string {
  const { placements, refusals } = schedule(world.pods ?? [using('data')], clusterOf(world), { start: 0, sample: 100 });
  return refusals[0]?.message ?? placements.map(({ nodeName }) => nodeName).join();
}

describe('scheduler/disks', () => {
  const bound = aClaim({ volumeName: 'disk' });
  const here = (node: string): PersistentVolume => aVolume({ node, claimRef: refOf(bound) });
  const shared = aVolume({ claimRef: refOf(bound) });
  const none = '0/2 nodes are available: ';
  const rows: readonly (World & { readonly it: string; readonly want: string })[] = [
    { it: 'says that the claim is not there', want: `${none}persistentvolumeclaim "data" not found.` },
    {
      it: 'says that the claim is going',
      claims: [aClaim({ deleted: true })],
      want: `${none}persistentvolumeclaim "data" is being deleted.`,
    },
    {
      it: 'says that the volume is lost',
      claims: [aClaim({ phase: 'Lost', volumeName: 'disk' })],
      want: `${none}persistentvolumeclaim "data" has lost its volume.`,
    },
    {
      it: 'waits for a claim that is bound without it',
      claims: [aClaim()],
      want: `${none}pod has unbound immediate PersistentVolumeClaims: data.`,
    },
    {
      it: 'waits for an immediate class as well',
      claims: [local()],
      classes: [aClass({ binding: 'Immediate' })],
      want: `${none}pod has unbound immediate PersistentVolumeClaims: data.`,
    },
    { it: 'goes where the volume is', claims: [bound], volumes: [here('n2')], want: 'n2' },
    { it: 'goes anywhere with a volume that is everywhere', claims: [bound], volumes: [shared], want: 'n1' },
    {
      it: 'goes nowhere else',
      claims: [bound],
      volumes: [here('n3')],
      want: `${none}2 with volume node affinity conflict.`,
    },
    {
      it: 'counts what else is wrong with the nodes',
      nodes: [nodeNamed('n1', true, false), nodeNamed('n2')],
      claims: [bound],
      volumes: [here('n1')],
      want: `${none}1 not ready, 1 with volume node affinity conflict.`,
    },
    {
      it: 'waits to hear of the volume',
      claims: [bound],
      want: `${none}persistentvolume "disk" of persistentvolumeclaim "data" not found.`,
    },
    { it: 'chooses a node for a claim that waits for it', claims: [local()], want: 'n1' },
    {
      it: 'knows that a claim without class will get the default one',
      claims: [aClaim({ className: undefined })],
      classes: [aClass({ isDefault: true })],
      want: 'n1',
    },
    {
      it: 'chooses one that can hold disks',
      nodes: [nodeNamed('n1', false), nodeNamed('n2')],
      claims: [local()],
      want: 'n2',
    },
    {
      it: 'says that none can',
      nodes: [nodeNamed('n1', false)],
      claims: [local()],
      want: '0/1 nodes are available: 1 without a persistent volume to bind.',
    },
    {
      it: 'looks for volumes that are there where nobody makes any',
      claims: [local()],
      classes: [aClass({ provisioner: 'kubernetes.io/no-provisioner' })],
      volumes: [
        aVolume({ name: 'small', node: 'n1', className: 'local', size: '1Mi' }),
        aVolume({ node: 'n2', className: 'local' }),
      ],
      want: 'n2',
    },
    { it: 'stays with the node that was chosen', claims: [local({ annotations: on('n2') })], want: 'n2' },
    {
      it: 'chooses anew when that node is gone',
      nodes: [nodeNamed('n1'), nodeNamed('n2', true, false)],
      claims: [local({ annotations: on('n2') })],
      want: 'n1',
    },
    {
      it: 'keeps pods that share a claim together, in one batch',
      claims: [local()],
      pods: [using('data', 'a'), using('data', 'b'), using('data', 'c')],
      want: 'n1,n1,n1',
    },
    {
      it: 'takes a pod to the node where its ReadWriteOnce claim is in use',
      claims: [bound],
      volumes: [shared],
      there: [using('data', 'old', 'n2')],
      want: 'n2',
    },
    {
      it: 'does not take it elsewhere',
      nodes: [nodeNamed('n1'), nodeNamed('n2', true, false)],
      claims: [bound],
      volumes: [shared],
      there: [using('data', 'old', 'n2')],
      want: `${none}1 not ready, 1 with a ReadWriteOnce claim in use on another node.`,
    },
    {
      it: 'lets one pod alone have a ReadWriteOncePod claim',
      claims: [aClaim({ volumeName: 'disk', modes: ['ReadWriteOncePod'] })],
      volumes: [aVolume({ modes: ['ReadWriteOncePod'], claimRef: refOf(bound) })],
      there: [using('data', 'old', 'n2')],
      want: `${none}2 with a ReadWriteOncePod claim in use by another pod.`,
    },
    {
      it: 'spreads pods whose claim may be used everywhere',
      claims: [aClaim({ volumeName: 'disk', modes: ['ReadWriteMany'] })],
      volumes: [aVolume({ modes: ['ReadWriteMany'], claimRef: refOf(bound) })],
      pods: [using('data', 'a'), using('data', 'b')],
      want: 'n1,n2',
    },
  ];
  for (const { it: title, want, ...world } of rows) it(title, () => assert.equal(outcome(world), want));

  it('goes on, waits or chooses anew as the claims turn out', () => {
    const node = { name: 'n1', labels: { 'kubernetes.io/hostname': 'n1' } };
    const after = (world: World): string => {
      const disks = clusterOf(world).disks(['default/data']);
      return disks === undefined ? 'none' : outlook(node, disks);
    };
    assert.equal(after({ claims: [local({ annotations: on('n1') })] }), 'wait');
    assert.equal(after({ claims: [bound] }), 'wait', 'bound to a volume we have not heard of');
    assert.equal(after({ claims: [bound], volumes: [here('n1')] }), 'bind');
    assert.equal(after({ claims: [bound], volumes: [here('n2')] }), 'chooseAnew');
    assert.equal(after({ claims: [local({ annotations: on('n2') })] }), 'chooseAnew', 'another scheduler was faster');
    assert.equal(after({ claims: [local()] }), 'chooseAnew', 'the controller gave the node up');
    assert.equal(after({}), 'chooseAnew');
  });
});
