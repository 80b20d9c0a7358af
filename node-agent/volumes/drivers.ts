import { newApiFileDrivers } from './api-files.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Disks } from '../disks/disks.ts';
import { newClaimDriver } from './claim.ts';
import type { VolumeDriver } from './driver.ts';
import { emptyDirDriver } from './empty-dir.ts';
import type { MemoryFiles } from './memory-files.ts';
import { newNfsDriver } from './nfs.ts';
import { newHostPathDriver, type HostPathRule } from './host-path.ts';

export interface DriverOptions {
  /** What of the machine's tree pods may mount. */
  readonly hostPaths: readonly HostPathRule[];
  readonly nodeName: string;
  readonly disks: Disks;
  readonly memory: MemoryFiles;
  /** All pods of this node. */
  readonly podsHere: () => readonly Pod[];
}

/** What this node can do, by kind of volume. Another kind is another driver in this list. */
export function newVolumeDrivers({ hostPaths, memory, ...place }: DriverOptions): ReadonlyMap<string, VolumeDriver> {
  const list = [emptyDirDriver, newHostPathDriver(hostPaths), ...newApiFileDrivers(memory), newNfsDriver()];
  const drivers = new Map(list.map((driver): [string, VolumeDriver] => [driver.kind, driver]));
  const claims = newClaimDriver({ ...place, drivers });
  return new Map([...drivers, [claims.kind, claims]]);
}
