import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { groupUsage } from './group-usage.ts';
import { cpuWeight, type GroupLimits } from './group-limits.ts';
import type { PodCgroups } from './pod-cgroups.ts';

export interface CgroupFilesOptions {
  /** Where the kernel shows its groups; default `/sys/fs/cgroup`. */
  readonly mount?: string;
  readonly version: 1 | 2;
  /** Folder of this node's pods below it, such as `troupe/cluster.node`. */
  readonly owner: string;
}

const controllers = ['cpu', 'memory', 'pids'] as const;
const prefix = 'pod';

/** Groups as folders, for engines that keep theirs so ("cgroupfs"). Works with one hierarchy for each controller (v1) and one for all (v2). */
export function newCgroupFiles({ mount = '/sys/fs/cgroup', version, owner }: CgroupFilesOptions): PodCgroups {
  const roots = version === 2 ? [mount] : controllers.map((controller) => join(mount, controller));

  async function prepare(path: string, limits: GroupLimits): Promise<void> {
    if (version === 2) await delegate(mount, path);
    await Promise.all(roots.map((root) => mkdir(join(root, path), { recursive: true })));
    await Promise.all(
      Object.entries(version === 2 ? filesV2(limits) : filesV1(limits)).map(([file, value]) =>
        writeFile(
          version === 2 ? join(mount, path, file) : join(mount, file.split('.', 1)[0] ?? '', path, file),
          value,
        ),
      ),
    );
  }

  /** Engines make folders under controllers of their own choice too. */
  const everywhere = async (): Promise<readonly string[]> =>
    version === 2 ? roots : (await readdir(mount)).map((name) => join(mount, name));

  async function removeEverywhere(path: string): Promise<void> {
    await Promise.all((await everywhere()).map((root) => removeTree(join(root, path))));
  }

  return {
    prepareNode: (limits) => prepare(owner, limits),
    async prepare(podUid, limits) {
      const path = `${owner}/${prefix}${podUid}`;
      await prepare(path, limits);
      return `/${path}`;
    },
    usage: (podUid) => groupUsage(mount, version, `${owner}/${prefix}${podUid}`),
    remove: (podUid) => removeEverywhere(`${owner}/${prefix}${podUid}`),
    async teardown() {
      await removeEverywhere(owner);
      const all = await everywhere();
      await Promise.all(all.map((root) => rmdir(join(root, dirname(owner))).catch(() => undefined))); // the last node does it
    },
    async list() {
      const names = await Promise.all(roots.map((root) => readdir(join(root, owner)).catch(() => [])));
      return [...new Set(names.flat())]
        .filter((name) => name.startsWith(prefix))
        .map((name) => name.slice(prefix.length));
    },
  };
}

/** In v2 each level must hand its controllers on to the next. */
async function delegate(mount: string, path: string): Promise<void> {
  const levels = path.split('/').slice(0, -1);
  for (let depth = 0; depth <= levels.length; depth++) {
    const folder = join(mount, ...levels.slice(0, depth));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'cgroup.subtree_control'), controllers.map((name) => `+${name}`).join(' '));
  }
}

const filesV1 = ({ cpuShares, cpuQuotaMicros, memoryBytes, pids }: GroupLimits): Readonly<Record<string, string>> => ({
  'cpu.shares': String(cpuShares),
  'cpu.cfs_period_us': '100000',
  'cpu.cfs_quota_us': String(cpuQuotaMicros ?? -1),
  'memory.limit_in_bytes': String(memoryBytes ?? -1),
  'pids.max': String(pids ?? 'max'),
});

const filesV2 = ({ cpuShares, cpuQuotaMicros, memoryBytes, pids }: GroupLimits): Readonly<Record<string, string>> => ({
  'cpu.weight': String(cpuWeight(cpuShares)),
  'cpu.max': `${cpuQuotaMicros ?? 'max'} 100000`,
  'memory.max': String(memoryBytes ?? 'max'),
  'pids.max': String(pids ?? 'max'),
});

/** Groups go from the innermost outward; one that is busy stays, and so do those around it. */
async function removeTree(path: string): Promise<void> {
  const inner = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of inner) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  await rmdir(path).catch(() => undefined);
}
