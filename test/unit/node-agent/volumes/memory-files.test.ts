import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Secret } from '../../../../lib/api/objects.ts';
import { newApiFileDrivers } from '../../../../node-agent/volumes/api-files.ts';
import type { VolumeDriver, VolumeRequest } from '../../../../node-agent/volumes/driver.ts';
import { newMemoryFiles, type MemoryFiles } from '../../../../node-agent/volumes/memory-files.ts';
import { mountsAt } from '../../../../node-agent/volumes/mounts.ts';
import { aPod } from '../../../support/builders.ts';

const why = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'it takes root on Linux';
describe(`node-agent/volumes/memory-files${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  const MiB = 2 ** 20;
  let dataDir: string;
  let memory: MemoryFiles;
  /** What the API has. */
  let content: Buffer;
  beforeEach(function () {
    if (why !== undefined) this.skip();
    dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-memory-')));
    memory = newMemoryFiles(dataDir, 0);
    content = Buffer.from('old');
  });
  afterEach(async () => {
    if (why !== undefined) return;
    await memory.unmount();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const driverOf = (files: MemoryFiles): VolumeDriver => {
    const found = newApiFileDrivers(files).find(({ kind }) => kind === 'secret');
    assert.ok(found);
    return found;
  };
  const secret = (): Secret => ({ data: { key: content.toString('base64') } }) as unknown as Secret;
  const request = (podUid: string, name = 'key'): VolumeRequest => {
    const volume = { name, secret: { secretName: 's', defaultMode: 0o644 } };
    return {
      ...{ podUid, name, volume, pod: aPod({ spec: { volumes: [volume] } }) },
      folder: join(dataDir, 'pods', podUid, 'volumes', name),
      config: {
        configMap: async () => undefined,
        secret: async () => secret(),
        object: async () => undefined,
        ...{ podIp: '', hostIp: '', node: { cpuMilli: 1000, memoryBytes: 2 ** 30 } },
      },
      signal: new AbortController().signal,
    };
  };
  const mountCount = (): number => mountsAt(dataDir).length;

  it('has one mount for the volumes of all pods, also when they start beside each other', async () => {
    const driver = driverOf(memory);
    const made = await Promise.all(['a', 'b', 'c'].map((uid) => driver.prepare(request(uid))));
    assert.equal(mountCount(), 1);
    for (const { path, readOnly } of made) {
      assert.equal(readFileSync(join(path, 'key'), 'utf8'), 'old');
      assert.equal(readOnly, true);
    }
    assert.equal(statSync(join(dataDir, 'memory')).mode & 0o777, 0o700, 'nobody else of the machine enters it');
  });

  it('finds everything again after a restart, and notices when the memory is gone', async () => {
    const wish = request('a');
    const made = await driverOf(memory).prepare(wish);
    const next = newMemoryFiles(dataDir, 0);
    const driver = driverOf(next);
    assert.equal(await driver.isInPlace(wish, made), true);
    await next.mount();
    assert.equal(mountCount(), 1);
    content = Buffer.from('new');
    assert.equal(await driver.update?.(wish), true);
    assert.equal(readFileSync(join(made.path, 'key'), 'utf8'), 'new');
    assert.deepEqual(await next.list(), ['a']);
    await next.unmount();
    assert.equal(await driver.isInPlace(wish, made), false);
  });

  it('removes a volume, or all of a pod, and nothing of others', async () => {
    const driver = driverOf(memory);
    for (const [uid, name] of [['a'], ['a', 'two'], ['b'], ['b', 'two']] as const)
      await driver.prepare(request(uid, name));
    await driver.release(request('a'), undefined);
    assert.deepEqual(readdirSync(memory.podFolder('a')), ['two']);
    await driver.release(request('a', 'two'), undefined);
    await driver.release(request('a', 'two'), undefined);
    assert.deepEqual(await memory.list(), ['b']);
    await memory.remove('b');
    await memory.remove('b');
    assert.deepEqual(await memory.list(), []);
  });

  it('gives back what a pod that has ended takes, and keeps the places that its containers mount', async () => {
    const driver = driverOf(memory);
    const wish = request('a');
    const made = await driver.prepare(wish);
    await memory.empty('a');
    await memory.empty('a');
    await memory.empty('none');
    assert.deepEqual(readdirSync(made.path), []);
    assert.equal(await driver.isInPlace(wish, made), false);
  });

  it('goes on with a volume that an earlier agent made as a mount of its own', async () => {
    const wish = request('a');
    mkdirSync(wish.folder, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', wish.folder]);
    const driver = driverOf(memory);
    const made = await driver.prepare(wish);
    assert.equal(made.path, wish.folder);
    assert.equal(await driver.isInPlace(wish, made), true);
    content = Buffer.from('new');
    assert.equal(await driver.update?.(wish), true);
    assert.equal(readFileSync(join(wish.folder, 'key'), 'utf8'), 'new');
    await driver.release(wish, made);
    assert.equal(mountCount(), 0);
    assert.equal(existsSync(wish.folder), false);
  });

  it('refuses a volume that is too large, and leaves the rest of the memory to the others', async () => {
    const driver = driverOf(memory);
    content = Buffer.alloc(33 * MiB);
    await assert.rejects(driver.prepare(request('a')), {
      message: `volume "key": its files have ${33 * MiB} bytes, and ${32 * MiB} (32 MiB) is the most`,
    });
    content = Buffer.alloc(25 * MiB);
    await driver.prepare(request('a'));
    await driver.prepare(request('b'));
    await assert.rejects(driver.prepare(request('c')), {
      message:
        'volume "key": does not fit into what is left of the 64 MiB of memory that this node has for the files of all its pods',
    });
    content = Buffer.alloc(13 * MiB);
    await driver.prepare(request('d')); // what did not fit has left nothing behind
  });
});
