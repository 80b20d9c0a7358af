import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PersistentVolume } from '../../../lib/api/objects.ts';
import { diskFinalizer, volumeProtection } from '../../../lib/api/storage.ts';
import { disksOfNode, startDiskKeeper } from '../../../node-agent/disks/disk-keeper.ts';
import { diskStep } from '../../../node-agent/disks/disk-step.ts';
import { newDisks, newFakeDisks, type Disk, type Disks } from '../../../node-agent/disks/disks.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aVolume, type VolumeOptions } from '../../support/storage-builders.ts';
import { until } from '../../support/until.ts';

/** As the controller of volumes makes it: a disk of node n1 below /disks. */
function provisioned(options: VolumeOptions & { readonly path?: string } = {}): PersistentVolume {
  const { path = '/disks/pvc-1', ...rest } = options;
  const volume = aVolume({
    ...{ name: 'pvc-1', node: 'n1', policy: 'Delete', labels: { 'troupe.dev/disk-node': 'n1' } },
    annotations: { 'pv.kubernetes.io/provisioned-by': 'troupe.dev/local' },
    ...rest,
  });
  return { ...volume, spec: { ...volume.spec, local: { path } } };
}

describe('node-agent/disks', () => {
  const made = [diskFinalizer];
  const elsewhere = '/etc is not where this node keeps the disk of pvc-1: /disks/pvc-1';
  const rows: readonly { readonly it: string; readonly volume: PersistentVolume; readonly want: object | undefined }[] =
    [
      { it: 'makes a disk of its own', volume: provisioned(), want: { type: 'make' } },
      { it: 'makes it once', volume: provisioned({ finalizers: made }), want: undefined },
      {
        it: 'leaves other nodes theirs',
        volume: provisioned({ labels: { 'troupe.dev/disk-node': 'n2' } }),
        want: undefined,
      },
      { it: 'leaves volumes that people made', volume: aVolume({ node: 'n1' }), want: undefined },
      {
        it: 'refuses a path that is not its own',
        volume: provisioned({ path: '/etc' }),
        want: { type: 'refuse', message: elsewhere },
      },
      {
        it: 'refuses a volume that can be reached from another node only',
        volume: provisioned({ node: 'n2' }),
        want: { type: 'refuse', message: elsewhere.replace('/etc', '/disks/pvc-1') },
      },
      {
        it: 'keeps a disk while a claim has it',
        volume: provisioned({ deleted: true, finalizers: [volumeProtection, diskFinalizer] }),
        want: undefined,
      },
      {
        it: 'removes it with the volume',
        volume: provisioned({ deleted: true, finalizers: made }),
        want: { type: 'letGo', removes: true },
      },
      {
        it: 'keeps what is to be kept',
        volume: provisioned({ deleted: true, finalizers: made, policy: 'Retain' }),
        want: { type: 'letGo', removes: false },
      },
      {
        it: 'removes no path that is not its own',
        volume: provisioned({ deleted: true, finalizers: made, path: '/etc' }),
        want: { type: 'refuse', message: elsewhere },
      },
      { it: 'makes nothing for a volume that goes', volume: provisioned({ deleted: true }), want: undefined },
    ];
  for (const { it: title, volume, want } of rows)
    it(title, () => assert.deepEqual(diskStep(volume, 'n1', '/disks'), want));

  describe('on a real folder', () => {
    let data: string;
    let disks: Disks;
    beforeEach(() => {
      data = mkdtempSync(join(tmpdir(), 'troupe-disks-'));
      disks = newDisks(data);
    });
    afterEach(() => rmSync(data, { recursive: true, force: true }));

    const left = (): readonly string[] =>
      readdirSync(disks.folder, { recursive: true })
        .filter((name) => name !== '.images')
        .map(String);
    const folder = (name: string): Disk => ({ name, sizeBytes: 2 ** 20 });
    const sized = (name: string): Disk => ({ name, sizeBytes: 8 * 2 ** 20, fsType: 'ext4' });
    const needsRoot = process.getuid?.() === 0 ? it : it.skip; // mounting takes root

    it('makes a disk that anybody may write to, and keeps what is on it when asked again', async () => {
      await disks.make(folder('a'));
      writeFileSync(join(disks.folder, 'a', 'file'), 'kept');
      await disks.make(folder('a'));
      await disks.unmake('a');
      assert.equal(await disks.find('a'), join(disks.folder, 'a'));
      assert.equal(statSync(join(disks.folder, 'a')).mode & 0o777, 0o777);
      await disks.remove('a');
      await disks.remove('a');
      assert.equal(await disks.find('a'), undefined);
    });

    it('takes back one that is empty', async () => {
      await disks.make(folder('a'));
      await disks.unmake('a');
      await disks.unmake('a');
      assert.equal(existsSync(join(disks.folder, 'a')), false);
    });

    it('finds a file no disk', async () => {
      writeFileSync(join(disks.folder, 'a'), '');
      assert.equal(await disks.find('a'), undefined);
    });

    needsRoot('bounds a disk with a file system of its own, and mounts it again when it is needed', async () => {
      try {
        await disks.make(sized('a'));
        const path = join(disks.folder, 'a');
        assert.throws(() => writeFileSync(join(path, 'big'), Buffer.alloc(9 * 2 ** 20)), { code: 'ENOSPC' });
        writeFileSync(join(path, 'small'), 'kept');
        rmSync(join(path, 'big'));
        await disks.unmount();
        assert.equal(await disks.isInPlace(path), false);
        assert.equal(await disks.find('a'), path);
        await disks.make(sized('a'));
        assert.equal(readFileSync(join(path, 'small'), 'utf8'), 'kept');
        assert.equal(await disks.isInPlace(path), true);
        await disks.remove('a');
        assert.deepEqual(left(), []);
        await disks.make(sized('b'));
        await disks.unmake('b');
        assert.deepEqual(left(), []);
      } finally {
        await disks.unmount();
      }
    });

    needsRoot('says why it cannot make one', async () => {
      await assert.rejects(disks.make({ ...sized('a'), sizeBytes: 10 }), /ext4 of 10 bytes cannot be made/);
      assert.deepEqual(left(), []);
    });
  });

  describe('with the real registry', () => {
    let api: ApiInProcess;
    let disks: ReturnType<typeof newFakeDisks>;
    beforeEach(async () => {
      api = await ApiInProcess.start();
      disks = newFakeDisks();
      const volumes = api.view('persistentvolumes', disksOfNode('n1'));
      const { clock, log, meter, tracer, recorder, signal, client } = api;
      void startDiskKeeper({ node: 'n1', volumes, disks, client, clock, log, meter, tracer, recorder, signal });
    });
    afterEach(() => api.stop());
    const finalizers = async (): Promise<readonly string[] | undefined> =>
      (await api.client.get('persistentvolumes', 'pvc-1'))?.metadata.finalizers;

    it('makes the disk, says so, and removes it with the volume', async () => {
      await api.put('persistentvolumes', provisioned());
      await until(async () => (await finalizers())?.includes(diskFinalizer), { what: 'the disk is made' });
      assert.deepEqual([...disks.names], ['pvc-1']);
      await api.client.delete('persistentvolumes', 'pvc-1');
      assert.deepEqual([...disks.names], ['pvc-1'], 'a claim may have it still');
      await api.client.patch('persistentvolumes', 'pvc-1', { metadata: { finalizers: [diskFinalizer] } });
      await until(async () => (await finalizers()) === undefined, { what: 'the volume is gone' });
      assert.deepEqual([...disks.names], []);
    });

    it('keeps the data of a volume that is to be retained', async () => {
      await api.put('persistentvolumes', provisioned({ policy: 'Retain' }));
      await until(async () => (await finalizers())?.includes(diskFinalizer), { what: 'the disk is made' });
      await api.client.delete('persistentvolumes', 'pvc-1');
      await api.client.patch('persistentvolumes', 'pvc-1', { metadata: { finalizers: [diskFinalizer] } });
      await until(async () => (await finalizers()) === undefined, { what: 'the volume is gone' });
      assert.deepEqual([...disks.names], ['pvc-1']);
    });

    it('says what it refuses', async () => {
      await api.put('persistentvolumes', provisioned({ path: '/etc' }));
      await until(() => api.told.some((line) => line.includes(elsewhere)), { what: 'the event' });
      assert.deepEqual([...disks.names], []);
    });
  });
});
