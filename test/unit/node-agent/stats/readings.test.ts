import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { newKernel } from '../../../../node-agent/stats/readings.ts';

const id = 'c'.repeat(64);

/** The files of a machine that is not this one: both forms of cgroups are read the same everywhere. */
describe('node-agent/stats/readings', () => {
  let root: string;
  beforeEach(() => {
    root = `${mkdtempSync(join(tmpdir(), 'troupe-kernel-'))}/`;
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
  };

  it('reads a container of a machine with cgroups v2', () => {
    write({
      'proc/self/mountinfo': '25 31 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
      'proc/7/cgroup': `0::/troupe.slice/pod1/docker-${id}.scope\n`,
    });
    const folder = `sys/fs/cgroup/troupe.slice/pod1/docker-${id}.scope`;
    write({
      [`${folder}/cpu.stat`]: 'usage_usec 5\nuser_usec 3\nsystem_usec 2\n',
      [`${folder}/cpu.max`]: 'max 100000\n',
      [`${folder}/memory.current`]: '9000\n',
      [`${folder}/memory.stat`]: 'anon 5000\nfile 4000\ninactive_file 1000\n',
      [`${folder}/memory.max`]: '65536\n',
      [`${folder}/pids.current`]: '3\n',
    });
    const kernel = newKernel(undefined, root);
    const folders = kernel.find(7, id);
    assert.ok(folders);
    assert.deepEqual(kernel.container(folders), {
      cpu: { usageNanos: 5_000, userNanos: 3_000, systemNanos: 2_000 },
      memory: { usageBytes: 9_000, workingSetBytes: 8_000, rssBytes: 5_000, cacheBytes: 4_000, limitBytes: 65_536 },
      processes: 3,
    });
    rmSync(join(root, folder), { recursive: true });
    assert.equal(kernel.container(folders), undefined, 'gone with its cgroup');
    assert.equal(kernel.find(8, id), undefined, 'no such process');
    assert.equal(kernel.find(7, 'd'.repeat(64)), undefined, 'the process of another container');
  });

  it('reads files that are longer than a page, and the devices of a pod without its loopback', () => {
    const device = (name: string, bytes: number): string => `${name}: ${bytes} 2 0 0 0 0 0 0 4 5 0 0 0 0 0 0\n`;
    const many = Array.from({ length: 600 }, (_, i) => device(`eth${i}`, i)).join('');
    write({ 'proc/7/net/dev': `head\nhead\n${device('lo', 1)}${many}` });
    const devices = newKernel(undefined, root).podNetwork(7);
    assert.equal(devices?.size, 600);
    assert.equal(devices.get('eth599')?.rxBytes, 599);
  });

  it('counts the real devices of the machine, and tells of the disk of a folder', () => {
    write({
      'proc/self/net/dev':
        'head\nhead\nlo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\ntp1: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\nens3: 7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n',
      'sys/class/net/ens3/device/uevent': '',
      'proc/meminfo': 'MemTotal: 10 kB\nMemAvailable: 4 kB\n',
    });
    const { network, memory, cpu, filesystem } = newKernel(root, root).machine();
    assert.deepEqual([network?.rxBytes, network?.txBytes, memory?.workingSetBytes, cpu], [7, 9, 6144, undefined]);
    assert.ok(
      filesystem !== undefined && filesystem.totalBytes > filesystem.availableBytes && filesystem.path === root,
    );
    assert.equal(newKernel('/not/there', root).machine().filesystem, undefined);
  });
});
