import { join } from 'node:path';
import { groupUsage } from './group-usage.ts';
import { cpuWeight, type GroupLimits } from './group-limits.ts';
import type { CommandResult } from '../network/run-command.ts';
import type { PodCgroups } from './pod-cgroups.ts';

export interface SystemdSlicesOptions {
  /** Where the kernel shows its groups; default `/sys/fs/cgroup`. */
  readonly mount?: string;
  readonly version: 1 | 2;
  /** Names the slices of this node, such as `cluster.node`. */
  readonly owner: string;
  readonly run: (command: string, args: readonly string[]) => Promise<CommandResult>;
}

/** A dash in a slice's name stands for "inside of": names of ours must have none. */
const word = (text: string): string => text.replaceAll('-', '_').replace(/[^A-Za-z0-9_.:]/g, '_');

/** Groups as slices of systemd, for engines that leave their groups to it: it is asked, since it alone may write there. */
export function newSystemdSlices({ mount = '/sys/fs/cgroup', version, owner, run }: SystemdSlicesOptions): PodCgroups {
  const nodeSlice = `troupe-${word(owner)}.slice`;
  const podSlice = (podUid: string): string => `troupe-${word(owner)}-pod${word(podUid)}.slice`;

  async function ask(...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await run('systemctl', args);
    if (exitCode !== 0) throw new Error(`systemctl ${args.join(' ')}: ${stderr.trim()}`);
    return stdout;
  }
  async function prepare(slice: string, limits: GroupLimits): Promise<void> {
    await ask('start', slice);
    await ask('set-property', '--runtime', slice, ...propertiesOf(limits, version));
  }

  return {
    prepareNode: (limits) => prepare(nodeSlice, limits),
    async prepare(podUid, limits) {
      await prepare(podSlice(podUid), limits);
      return podSlice(podUid);
    },
    usage: (podUid) => groupUsage(mount, version, join('troupe.slice', nodeSlice, podSlice(podUid))),
    async remove(podUid) {
      await run('systemctl', ['stop', podSlice(podUid)]); // one that is not there is what was wanted
    },
    async teardown() {
      await run('systemctl', ['stop', nodeSlice]);
    },
    async list() {
      const start = `troupe-${word(owner)}-pod`;
      const stdout = await ask('list-units', '--all', '--plain', '--no-legend', `${start}*.slice`);
      return stdout
        .split('\n')
        .map((line) => line.trim().split(/\s+/, 1)[0] ?? '')
        .filter((unit) => unit.startsWith(start) && unit.endsWith('.slice'))
        .map((unit) => unit.slice(start.length, -'.slice'.length).replaceAll('_', '-'));
    },
  };
}

function propertiesOf(limits: GroupLimits, version: 1 | 2): readonly string[] {
  const { cpuShares, cpuQuotaMicros, memoryBytes, pids } = limits;
  return [
    version === 2 ? `CPUWeight=${cpuWeight(cpuShares)}` : `CPUShares=${cpuShares}`,
    `CPUQuota=${cpuQuotaMicros === undefined ? '' : `${Math.ceil(cpuQuotaMicros / 1000)}%`}`,
    `${version === 2 ? 'MemoryMax' : 'MemoryLimit'}=${memoryBytes ?? 'infinity'}`,
    `TasksMax=${pids ?? 'infinity'}`,
  ];
}
