import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newCgroupFiles } from '../../../node-agent/cgroups/cgroup-files.ts';
import { cpuWeight, podLimits } from '../../../node-agent/cgroups/group-limits.ts';
import { newSystemdSlices } from '../../../node-agent/cgroups/systemd-slices.ts';
import type { ResourceRequirements } from '../../../lib/api/objects.ts';
import { aContainer, aPod } from '../../support/builders.ts';

describe('node-agent/cgroups', () => {
  const withResources = (name: string, resources: ResourceRequirements) => aContainer({ name, resources });
  const mib = 2 ** 20;

  const cases = [
    {
      it: 'gives a pod what its containers may have together',
      containers: [
        withResources('a', { requests: { cpu: '500m' }, limits: { cpu: '1', memory: '64Mi' } }),
        withResources('b', { requests: { cpu: '250m' }, limits: { cpu: '500m', memory: '32Mi' } }),
      ],
      want: { cpuShares: 768, cpuQuotaMicros: 150_000, memoryBytes: 96 * mib, pids: 100 },
    },
    {
      it: 'bounds nothing that one container leaves open',
      containers: [withResources('a', { limits: { cpu: '1', memory: '64Mi' } }), withResources('b', {})],
      want: { cpuShares: 4, pids: 100 },
    },
    {
      it: 'counts init containers one at a time',
      initContainers: [withResources('i', { limits: { memory: '128Mi' } })],
      containers: [withResources('a', { limits: { memory: '64Mi' } })],
      want: { cpuShares: 2, memoryBytes: 128 * mib, pids: 100 },
    },
    {
      it: 'counts sidecars with the containers that they serve',
      initContainers: [{ ...withResources('i', { limits: { memory: '32Mi' } }), restartPolicy: 'Always' as const }],
      containers: [withResources('a', { limits: { memory: '64Mi' } })],
      want: { cpuShares: 4, memoryBytes: 96 * mib, pids: 100 },
    },
  ];
  for (const { it: what, want, ...spec } of cases) {
    it(what, () => assert.deepEqual(podLimits(aPod({ spec }), 100), want));
  }
  it('sets no bound on processes where none is wanted', () => {
    assert.equal(podLimits(aPod({}), 0).pids, undefined);
  });

  it('turns shares into weights on the scales of the kernel', () => {
    assert.deepEqual([2, 1024, 262_144, 10 ** 9].map(cpuWeight), [1, 39, 10_000, 10_000]);
  });

  describe('as folders', () => {
    let mount: string;
    beforeEach(() => (mount = mkdtempSync(join(tmpdir(), 'troupe-cgroup-'))));
    afterEach(() => {
      rmSync(mount, { recursive: true, force: true });
    });
    const read = (...path: readonly string[]): string => readFileSync(join(mount, ...path), 'utf8');

    it('writes one hierarchy for each controller in v1, and takes all of it away again', async () => {
      for (const name of ['cpu', 'memory', 'pids', 'cpuacct']) mkdirSync(join(mount, name));
      const groups = newCgroupFiles({ mount, version: 1, owner: 'troupe/c.n' });
      assert.deepEqual(await groups.list(), []);
      assert.equal(await groups.prepare('u1', { cpuShares: 512, memoryBytes: mib }), '/troupe/c.n/podu1');
      assert.equal(read('cpu', 'troupe/c.n/podu1/cpu.shares'), '512');
      assert.equal(read('cpu', 'troupe/c.n/podu1/cpu.cfs_quota_us'), '-1');
      assert.equal(read('memory', 'troupe/c.n/podu1/memory.limit_in_bytes'), String(mib));
      assert.equal(read('pids', 'troupe/c.n/podu1/pids.max'), 'max');
      assert.deepEqual(await groups.list(), ['u1']);
    });

    it('hands controllers down level by level in v2', async () => {
      const groups = newCgroupFiles({ mount, version: 2, owner: 'troupe/c.n' });
      await groups.prepare('u1', { cpuShares: 1024, cpuQuotaMicros: 50_000, pids: 9 });
      for (const folder of ['', 'troupe', 'troupe/c.n'])
        assert.equal(read(folder, 'cgroup.subtree_control'), '+cpu +memory +pids');
      assert.equal(read('troupe/c.n/podu1/cpu.max'), '50000 100000');
      assert.equal(read('troupe/c.n/podu1/cpu.weight'), '39');
      assert.equal(read('troupe/c.n/podu1/memory.max'), 'max');
      assert.equal(read('troupe/c.n/podu1/pids.max'), '9');
    });

    it('removes empty folders alone, and what is gone without complaint', async () => {
      const groups = newCgroupFiles({ mount, version: 2, owner: 'troupe/c.n' });
      mkdirSync(join(mount, 'troupe/c.n/podu1/container'), { recursive: true });
      mkdirSync(join(mount, 'other'));
      await groups.remove('u1');
      await groups.remove('u1');
      await groups.teardown();
      assert.deepEqual(readdirSync(mount), ['other']);
      assert.equal(existsSync(join(mount, 'troupe/c.n')), false);
    });
  });

  it('asks systemd where groups are its own, with names that mean no nesting by accident', async () => {
    const asked: string[] = [];
    const run = async (command: string, args: readonly string[]) => {
      asked.push([command, ...args].join(' '));
      const stdout = args[0] === 'list-units' ? 'troupe-my_c.n_1-poda_b.slice loaded active active x\n' : '';
      return { exitCode: 0, stdout, stderr: '' };
    };
    const slices = newSystemdSlices({ version: 2, owner: 'my-c.n-1', run });
    assert.equal(
      await slices.prepare('a-b', { cpuShares: 2, cpuQuotaMicros: 150_000, memoryBytes: mib }),
      'troupe-my_c.n_1-poda_b.slice',
    );
    assert.deepEqual(asked, [
      'systemctl start troupe-my_c.n_1-poda_b.slice',
      'systemctl set-property --runtime troupe-my_c.n_1-poda_b.slice CPUWeight=1 CPUQuota=150% MemoryMax=1048576 TasksMax=infinity',
    ]);
    assert.deepEqual(await slices.list(), ['a-b']);
  });

  it('says why systemd would not', async () => {
    const run = async () => ({ exitCode: 1, stdout: '', stderr: 'Access denied\n' });
    const slices = newSystemdSlices({ version: 1, owner: 'c.n', run });
    await assert.rejects(slices.prepareNode({ cpuShares: 2 }), /systemctl start troupe-c\.n\.slice: Access denied/);
  });
});
