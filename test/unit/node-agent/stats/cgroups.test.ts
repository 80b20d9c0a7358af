import assert from 'node:assert/strict';
import { cgroupMounts, foldersOf } from '../../../../node-agent/stats/cgroups.ts';

const id = 'a'.repeat(64);
const other = 'b'.repeat(64);

const v1 = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`;
const v2 = `25 31 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`;
const spaced = `25 31 0:22 / /mnt/with\\040blank rw - cgroup2 cgroup2 rw`;
const partly = `25 31 0:22 /docker/${other} /sys/fs/cgroup rw - cgroup2 cgroup2 rw`;

const onV1 = (path: string): string =>
  ['9:name=systemd:/x', `8:pids:${path}`, `7:blkio:${path}`, `4:memory:${path}`, `2:cpu,cpuacct:${path}`, '0::/'].join(
    '\n',
  );

describe('node-agent/stats/cgroups', () => {
  const cases = [
    {
      it: 'v1, as an engine makes them',
      mounts: v1,
      cgroup: onV1(`/docker/${id}`),
      memory: `/sys/fs/cgroup/memory/docker/${id}`,
      cpu: `/sys/fs/cgroup/cpu,cpuacct/docker/${id}`,
      version: 1,
    },
    {
      it: 'v1, under a cgroup of the pod',
      mounts: v1,
      cgroup: onV1(`/troupe/pod7/${id}`),
      memory: `/sys/fs/cgroup/memory/troupe/pod7/${id}`,
      cpu: `/sys/fs/cgroup/cpu,cpuacct/troupe/pod7/${id}`,
      version: 1,
    },
    {
      it: 'v2, named by systemd',
      mounts: v2,
      cgroup: `0::/system.slice/docker-${id}.scope\n`,
      memory: `/sys/fs/cgroup/system.slice/docker-${id}.scope`,
      cpu: `/sys/fs/cgroup/system.slice/docker-${id}.scope`,
      version: 2,
    },
    {
      it: 'v2, the container having made cgroups inside its own',
      mounts: v2,
      cgroup: `0::/docker/${id}/init.scope\n`,
      memory: `/sys/fs/cgroup/docker/${id}`,
      cpu: `/sys/fs/cgroup/docker/${id}`,
      version: 2,
    },
    {
      it: 'v2, seen from a namespace beside it',
      mounts: v2,
      cgroup: `0::/../${id}\n`,
      memory: `/sys/fs/cgroup/../${id}`,
      cpu: `/sys/fs/cgroup/../${id}`,
      version: 2,
    },
    {
      it: 'a mount of a part of the tree',
      mounts: partly,
      cgroup: `0::/docker/${other}/pods/${id}\n`,
      memory: `/sys/fs/cgroup/pods/${id}`,
      cpu: `/sys/fs/cgroup/pods/${id}`,
      version: 2,
    },
    {
      it: 'a mount point with a blank in its name',
      mounts: spaced,
      cgroup: `0::/docker/${id}\n`,
      memory: `/mnt/with blank/docker/${id}`,
      cpu: `/mnt/with blank/docker/${id}`,
      version: 2,
    },
  ];
  for (const c of cases) {
    it(`finds ${c.it}`, () => {
      const found = foldersOf(cgroupMounts(c.mounts), c.cgroup, id);
      assert.deepEqual(found?.get('memory'), { version: c.version, folder: c.memory });
      assert.deepEqual(found.get('cpu'), { version: c.version, folder: c.cpu });
      assert.equal(found.size, 5);
    });
  }

  it('takes another process with the same number for none of the container', () => {
    for (const mounts of [v1, v2]) {
      assert.equal(foldersOf(cgroupMounts(mounts), onV1(`/docker/${other}`), id), undefined);
      assert.equal(foldersOf(cgroupMounts(mounts), `0::/docker/${other}`, id), undefined);
      assert.equal(foldersOf(cgroupMounts(mounts), '', id), undefined);
    }
    assert.equal(foldersOf(cgroupMounts(''), onV1(`/docker/${id}`), id), undefined);
  });
});
