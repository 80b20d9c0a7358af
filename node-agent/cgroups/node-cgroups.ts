import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { runCommand } from '../network/run-command.ts';
import type { RuntimeInfo } from '../runtime/runtime.ts';
import { newCgroupFiles } from './cgroup-files.ts';
import type { GroupLimits } from './group-limits.ts';
import type { PodCgroups } from './pod-cgroups.ts';
import { newSystemdSlices } from './systemd-slices.ts';

/**
 * The groups of this node's pods in the form that its engine uses. Undefined where they cannot be made (a read-only
 * /sys/fs/cgroup, an engine without root): then containers are bound one by one, as the engine does, and the log says so.
 */
export async function openCgroups(
  engine: Pick<RuntimeInfo, 'cgroupDriver' | 'cgroupVersion'>,
  node: { readonly cluster: string; readonly name: string; readonly limits: GroupLimits; readonly log: Log },
): Promise<PodCgroups | undefined> {
  if (engine.cgroupDriver !== 'cgroupfs' && engine.cgroupDriver !== 'systemd') return undefined;
  const version = engine.cgroupVersion === '2' ? 2 : 1;
  const owner = `${node.cluster}.${node.name}`;
  const cgroups =
    engine.cgroupDriver === 'systemd'
      ? newSystemdSlices({ version, owner, run: runCommand })
      : newCgroupFiles({ version, owner: `troupe/${owner}` });
  try {
    await cgroups.prepareNode(node.limits).catch((error: unknown) => {
      // An old kernel refuses a limit below what is in use, as after a change of what is reserved.
      node.log.warn({ error: messageOf(error) }, 'the limits of all pods together could not be set');
      return cgroups.prepareNode({ cpuShares: node.limits.cpuShares });
    });
    return cgroups;
  } catch (error) {
    node.log.warn({ error: messageOf(error) }, 'no control groups for pods: only single containers are bound');
    return undefined;
  }
}
