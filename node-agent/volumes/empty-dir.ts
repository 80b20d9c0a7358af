import { existsSync } from 'node:fs';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { unitsOf } from '../../lib/api/quantity.ts';
import type { Pod, Volume } from '../../lib/api/objects.ts';
import { podLimits } from '../cgroups/group-limits.ts';
import { VolumeError, type VolumeDriver } from './driver.ts';
import { isMounted, mountMemory } from './mounts.ts';
import { removeTree } from './removal.ts';

/**
 * A folder, empty at first, that lives as long as the pod (F175); on the node's disk, or in memory, where its sizeLimit is the
 * file system's own. Any user of the pod may write.
 */
export const emptyDirDriver: VolumeDriver = {
  kind: 'emptyDir',
  async prepare({ pod, volume, folder }) {
    const medium: string = volume.emptyDir?.medium ?? '';
    if (medium !== '' && medium !== 'Memory')
      throw new VolumeError(`volume "${volume.name}": this node has no medium ${medium} for an emptyDir`);
    await mkdir(folder, { recursive: true });
    if (isInMemory(volume) && !isMounted(folder)) await mountMemory(folder, 0o777, memorySize(pod, volume));
    await openTo(folder, pod);
    return { path: folder };
  },
  // Memory is gone after the machine's restart, and so is the pod's data then: that is what the medium promises.
  async isInPlace({ folder, volume }) {
    return isInMemory(volume) ? isMounted(folder) : existsSync(folder);
  },
  release: ({ folder }) => removeTree(folder),
};

const isInMemory = (volume: Volume): boolean => volume.emptyDir?.medium === 'Memory';

/** Never more than the pod's containers may have together: a full disk is a better answer than a killed process. */
export function memorySize(pod: Pod, { emptyDir }: Volume): number | undefined {
  const limits = [podLimits(pod, 0).memoryBytes, unitsOf(emptyDir?.sizeLimit ?? 0)].filter(
    (limit): limit is number => limit !== undefined && limit > 0, // a sizeLimit of 0 is none
  );
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** With fsGroup, that group owns what is made there. */
async function openTo(path: string, pod: Pod): Promise<void> {
  const { fsGroup } = pod.spec.securityContext;
  if (fsGroup !== undefined) await chown(path, 0, fsGroup);
  await chmod(path, fsGroup === undefined ? 0o777 : 0o2777);
}
