import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod } from '../../../../lib/api/objects.ts';
import {
  VolumeError,
  VolumeLost,
  type ConfigReader,
  type VolumeDriver,
} from '../../../../node-agent/volumes/driver.ts';
import { PodVolumes } from '../../../../node-agent/volumes/pod-volumes.ts';
import { aPod } from '../../../support/builders.ts';

const signal = new AbortController().signal;
const config = {} as ConfigReader;

/** A disk in a drawer: what is attached is known to the drawer alone, as with a device of the machine. */
class Drawer implements VolumeDriver {
  readonly kind = 'gcePersistentDisk';
  readonly attached = new Set<string>();
  readonly log: string[] = [];
  fails = false;

  async prepare({ folder, volume }: Parameters<VolumeDriver['prepare']>[0]) {
    this.log.push(`prepare ${volume.name}`);
    mkdirSync(folder, { recursive: true });
    this.attached.add(folder);
    if (this.fails) throw new VolumeError(`volume "${volume.name}": the drawer is stuck`);
    return { path: join(folder, 'disk') };
  }
  async isInPlace({ folder }: Parameters<VolumeDriver['isInPlace']>[0]) {
    return this.attached.has(folder);
  }
  async release({ folder, name }: Parameters<VolumeDriver['release']>[0], made: unknown) {
    this.log.push(`release ${name}${made === undefined ? ' half made' : ''}`);
    this.attached.delete(folder);
  }
}

describe('node-agent/volumes/pod-volumes', () => {
  let base: string;
  let drawer: Drawer;
  let volumes: PodVolumes;
  const pod: Pod = aPod({ spec: { volumes: [{ name: 'one', gcePersistentDisk: { pdName: 'x' } }] } });
  const { uid } = pod.metadata;
  const anew = (): PodVolumes => new PodVolumes(new Map([[drawer.kind, drawer]]), (podUid) => join(base, podUid));

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'troupe-volumes-'));
    drawer = new Drawer();
    volumes = anew();
  });
  afterEach(() => {
    rmSync(base, { recursive: true, force: true });
  });

  it('knows after a restart what was made, and who made it', async () => {
    await volumes.prepare(pod, config, signal);
    const later = anew();
    assert.equal(await later.areInPlace(pod), true);
    assert.deepEqual(await later.inPlace(pod, 'one'), { path: join(base, uid, 'volumes/one/disk') });
    assert.equal(await later.inPlace(pod, 'other'), undefined);
    await later.release(uid);
    await later.release(uid);
    assert.deepEqual(drawer.log, ['prepare one', 'release one']);
    assert.deepEqual([...drawer.attached], []);
    assert.deepEqual(readdirSync(join(base, uid, 'volumes')), []);
  });

  it('says that a volume is lost, and makes it again', async () => {
    await volumes.prepare(pod, config, signal);
    drawer.attached.clear();
    assert.equal(await volumes.areInPlace(pod), false);
    await assert.rejects(volumes.inPlace(pod, 'one'), VolumeLost);
    await volumes.prepare(pod, config, signal);
    assert.equal(await volumes.areInPlace(pod), true);
  });

  it('ends what was cut off in the middle, by whoever began it', async () => {
    drawer.fails = true;
    await assert.rejects(volumes.prepare(pod, config, signal), /the drawer is stuck/);
    assert.equal(drawer.attached.size, 1);
    assert.equal(await anew().areInPlace(pod), false);
    await anew().release(uid);
    assert.deepEqual(drawer.log, ['prepare one', 'release one half made']);
    assert.equal(drawer.attached.size, 0);
  });

  it('removes folders that nobody accounts for', async () => {
    mkdirSync(join(base, uid, 'volumes/strange/deep'), { recursive: true });
    mkdirSync(join(base, uid, 'records'));
    writeFileSync(join(base, uid, 'records/strange.json'), '{"kind": "of another ti');
    await volumes.release(uid);
    assert.equal(existsSync(join(base, uid, 'volumes/strange')), false);
  });

  it('tries all volumes, and names the kinds that the node has where one is not among them', async () => {
    const mixed = aPod({
      spec: {
        volumes: [
          { name: 'far', awsElasticBlockStore: { volumeID: 'v' } } as never,
          { name: 'one', gcePersistentDisk: { pdName: 'x' } },
        ],
      },
    });
    await assert.rejects(
      volumes.prepare(mixed, config, signal),
      /volume "far": no driver for awsElasticBlockStore on this node; it has gcePersistentDisk/,
    );
    assert.deepEqual(drawer.log, ['prepare one']);
  });
});
