import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Pod, Volume } from '../../lib/api/objects.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { newDiskStorage } from '../../node-agent/pod-storage.ts';
import { newMemoryFiles } from '../../node-agent/volumes/memory-files.ts';
import type { ConfigReader } from '../../node-agent/volumes/driver.ts';
import { mountsAt } from '../../node-agent/volumes/mounts.ts';
import { newNfsDriver } from '../../node-agent/volumes/nfs.ts';
import { aPod } from './builders.ts';

// What is tested in a kernel of its own, before a real NFS server there: run by nfs-volume.test.ts, which shows the outcomes.

const server = '127.0.0.1';
const exported = '/mnt/export';
const dataDir = '/mnt/data';
const config: ConfigReader = {
  configMap: async () => undefined,
  secret: async () => undefined,
  object: async () => undefined,
  podIp: '',
  hostIp: '',
  node: { cpuMilli: 1000, memoryBytes: 2 ** 30 },
};

let number = 0;
const aPodWith = (nfs: NonNullable<Volume['nfs']>): Pod => {
  const pod = aPod({ spec: { volumes: [{ name: 'files', nfs }] } });
  return { ...pod, metadata: { ...pod.metadata, uid: `uid-${number++}` } };
};
const storage = (mountMs = 30_000) => {
  const driver = newNfsDriver({ mountMs });
  return newDiskStorage(dataDir, new Map([[driver.kind, driver]]), newMemoryFiles(dataDir));
};
const folderOf = (pod: Pod): string => join(dataDir, 'pods', pod.metadata.uid, 'volumes/files');
const mounted = async (pod: Pod): Promise<number> =>
  mountsAt(folderOf(pod)).filter(({ type }) => type.startsWith('nfs')).length;
const signal = new AbortController().signal;
const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const from = systemClock.monotonic();
  await work();
  return (systemClock.monotonic() - from) / 1000;
};

export const cases: readonly (readonly [string, () => Promise<void>])[] = [
  [
    'mounts a folder of the server, which outlives the pods that share it (F176)',
    async () => {
      const disk = storage();
      const [one, two] = [aPodWith({ server, path: '/' }), aPodWith({ server, path: '/' })];
      await Promise.all([one, two].map((pod) => disk.prepare(pod, config, signal)));
      writeFileSync(join(folderOf(one), 'shared'), 'by one');
      assert.equal(readFileSync(join(folderOf(two), 'shared'), 'utf8'), 'by one');
      await disk.remove(one.metadata.uid);
      await disk.remove(one.metadata.uid);
      assert.equal(existsSync(folderOf(one)), false);
      assert.equal(readFileSync(join(folderOf(two), 'shared'), 'utf8'), 'by one');
      await disk.remove(two.metadata.uid);
      assert.equal(readFileSync(join(exported, 'shared'), 'utf8'), 'by one', 'what is on the server stays');
    },
  ],
  [
    'finds the mount again after a restart, and never doubles it',
    async () => {
      const pod = aPodWith({ server, path: '/' });
      await storage().prepare(pod, config, signal);
      const later = storage();
      assert.equal(await later.isPrepared(pod), true);
      await later.prepare(pod, config, signal);
      assert.equal(await mounted(pod), 1);
      execFileSync('umount', [folderOf(pod)]);
      assert.equal(await later.isPrepared(pod), false);
      await later.prepare(pod, config, signal);
      assert.equal(await mounted(pod), 1);
      await later.remove(pod.metadata.uid);
    },
  ],
  [
    'mounts a part of it, to read only where asked',
    async () => {
      mkdirSync(join(exported, 'part'), { recursive: true });
      const pod = aPodWith({ server, path: '/part', readOnly: true });
      const disk = storage();
      await disk.prepare(pod, config, signal);
      assert.throws(() => writeFileSync(join(folderOf(pod), 'x'), ''), /EROFS/);
      await disk.remove(pod.metadata.uid);
    },
  ],
  [
    'says what the server refuses',
    async () => {
      const pod = aPodWith({ server, path: '/none' });
      await assert.rejects(
        storage().prepare(pod, config, signal),
        /volume "files": nfs 127\.0\.0\.1:\/none cannot be mounted: .*No such file/,
      );
      await storage().remove(pod.metadata.uid);
    },
  ],
  [
    'gives up on a server that does not answer, and at once when the pod must end',
    async () => {
      const silent = createServer();
      await new Promise<void>((resolve) => silent.listen(2049, '127.0.0.2', resolve));
      const pod = aPodWith({ server: '127.0.0.2', path: '/' });
      const took = await seconds(() =>
        assert.rejects(storage(2_000).prepare(pod, config, signal), /127\.0\.0\.2 did not answer within 2 s/),
      );
      assert.ok(took < 5, `${took} s`);
      const ending = new AbortController();
      setTimeout(() => ending.abort(), 200);
      const given = await seconds(() => assert.rejects(storage().prepare(pod, config, ending.signal)));
      assert.ok(given < 3, `${given} s`);
      await storage().remove(pod.metadata.uid);
      silent.close();
    },
  ],
  [
    'ends a pod whose server has died, in seconds, and goes on meanwhile',
    async () => {
      const pod = aPodWith({ server, path: '/' });
      const disk = storage();
      await disk.prepare(pod, config, signal);
      writeFileSync(join(folderOf(pod), 'last'), 'words');
      execFileSync('rpc.nfsd', ['0']);
      let longestMs = 0;
      let lastMs = systemClock.monotonic();
      const pulse = setInterval(() => {
        longestMs = Math.max(longestMs, systemClock.monotonic() - lastMs);
        lastMs = systemClock.monotonic();
      }, 20);
      const took = await seconds(() => disk.remove(pod.metadata.uid));
      clearInterval(pulse);
      assert.ok(took < 15, `${took} s`);
      assert.ok(longestMs < 1_000, `the process stood still for ${longestMs} ms`);
      assert.equal(await mounted(pod), 0);
      assert.equal(existsSync(folderOf(pod)), false);
    },
  ],
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, run] of cases) {
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`not ok ${name}: ${String(error).replaceAll('\n', ' ')}`);
    }
  }
  process.exit(0);
}
