import assert from 'node:assert/strict';
import type { ApiObject, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../../../../lib/api/objects.ts';
import { newFakeDisks } from '../../../../node-agent/disks/disks.ts';
import { newClaimDriver } from '../../../../node-agent/volumes/claim.ts';
import { VolumeError, type ConfigReader, type VolumeDriver } from '../../../../node-agent/volumes/driver.ts';
import { aNode, aPod } from '../../../support/builders.ts';
import { aClaim, aVolume, refOf } from '../../../support/storage-builders.ts';

const volume: Volume = { name: 'v', persistentVolumeClaim: { claimName: 'data' } };
const podNamed = (name: string, creationTimestamp = '2026-01-01T00:00:00Z'): Pod =>
  aPod({ name, creationTimestamp, nodeName: 'n1', spec: { volumes: [volume] } });

/** Drivers that answer with what they were asked for. */
const echo = (kind: string): [string, VolumeDriver] => [
  kind,
  {
    kind,
    prepare: async ({ volume: { hostPath, nfs } }) => ({ path: hostPath?.path ?? `nfs:${nfs?.path}`, readOnly: false }),
    isInPlace: async () => true,
    release: async () => undefined,
  },
];

interface World {
  readonly claim?: PersistentVolumeClaim;
  readonly disk?: PersistentVolume;
  readonly made?: readonly string[];
  readonly others?: readonly Pod[];
  readonly wants?: Volume;
}

async function outcome({ claim, disk, made = [], others = [], wants = volume }: World): Promise<string> {
  const disks = newFakeDisks('/data/disks');
  for (const name of made) await disks.make({ name, sizeBytes: 1 });
  const pod = podNamed('web', '2026-01-01T00:00:05Z');
  const node = aNode({ name: 'n1', labels: { 'kubernetes.io/hostname': 'n1' } });
  const objects: Readonly<Record<string, ApiObject | undefined>> = {
    'persistentvolumeclaims default/data': claim,
    'persistentvolumes disk': disk,
    'nodes n1': node,
  };
  const driver = newClaimDriver({
    nodeName: 'n1',
    disks,
    drivers: new Map([echo('hostPath'), echo('nfs')]),
    podsHere: () => [pod, ...others],
  });
  const config = {
    object: async (resource: string, key: string) => objects[`${resource} ${key}`],
  } as unknown as ConfigReader;
  const place = { podUid: pod.metadata.uid, name: 'v', folder: '/pods/u/volumes/v' };
  try {
    const { path, readOnly } = await driver.prepare({
      ...place,
      pod,
      volume: wants,
      config,
      signal: new AbortController().signal,
    });
    return readOnly === true ? `${path} to read` : path;
  } catch (error) {
    if (error instanceof VolumeError) return error.message;
    throw error;
  }
}

describe('node-agent/volumes: claims', () => {
  const claim = aClaim({ volumeName: 'disk' });
  const owned = { claimRef: refOf(claim) };
  const alone = aClaim({ volumeName: 'disk', modes: ['ReadWriteOncePod'] });
  const provisioned = aVolume({
    ...{ ...owned, node: 'n1', annotations: { 'pv.kubernetes.io/provisioned-by': 'troupe.dev/local' } },
  });
  const { hostPath: _, ...noSource } = aVolume(owned).spec;
  const nfs = { ...aVolume(owned), spec: { ...noSource, nfs: { server: 's', path: '/e' } } };
  const about = 'volume "v": persistentvolumeclaim "data"';

  const rows: readonly (World & { readonly it: string; readonly want: string })[] = [
    {
      it: 'mounts the disk of a provisioned volume',
      claim,
      disk: provisioned,
      made: ['disk'],
      want: '/data/disks/disk',
    },
    {
      it: 'starts no pod on a disk that is gone',
      claim,
      disk: provisioned,
      want: `${about}: the disk of volume "disk" is not on this node any more (/data/disks/disk)`,
    },
    { it: 'mounts a folder of the node', claim, disk: aVolume({ ...owned, node: 'n1' }), want: '/srv/disk' },
    { it: 'mounts a host path', claim, disk: aVolume(owned), want: '/srv/disk' },
    {
      it: 'mounts a share',
      claim,
      disk: nfs,
      want: 'nfs:/e',
    },
    {
      it: 'mounts it to read where the pod says so',
      claim,
      disk: aVolume(owned),
      wants: { name: 'v', persistentVolumeClaim: { claimName: 'data', readOnly: true } },
      want: '/srv/disk to read',
    },
    { it: 'waits for the claim', want: `${about} not found` },
    { it: 'waits until the claim is bound', claim: aClaim(), want: `${about} is not bound to a volume yet (Pending)` },
    { it: 'says that the volume is gone', claim, want: `${about}: its volume "disk" is gone` },
    {
      it: "mounts nothing that is another claim's",
      claim,
      disk: aVolume({ claimRef: refOf(aClaim({ name: 'other' })) }),
      want: `${about}: volume "disk" is another claim's`,
    },
    {
      it: 'mounts nothing of another node',
      claim,
      disk: aVolume({ ...owned, node: 'n2' }),
      want: `${about}: volume "disk" cannot be reached from node "n1"`,
    },
    {
      it: 'lets pods of one node share a claim',
      claim,
      disk: aVolume(owned),
      others: [podNamed('first')],
      want: '/srv/disk',
    },
    {
      it: 'gives a claim for one pod to the first',
      claim: alone,
      disk: aVolume(owned),
      others: [podNamed('first')],
      want: `${about} is for one pod (ReadWriteOncePod), and pod "first" uses it`,
    },
    {
      it: 'and to no later one',
      claim: alone,
      disk: aVolume(owned),
      others: [podNamed('late', '2026-01-01T00:00:09Z')],
      want: '/srv/disk',
    },
  ];
  for (const { it: title, want, ...world } of rows) it(title, async () => assert.equal(await outcome(world), want));
});
