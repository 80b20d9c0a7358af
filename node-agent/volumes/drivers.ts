import { apiFileDrivers } from './api-files.ts';
import type { VolumeDriver } from './driver.ts';
import { emptyDirDriver } from './empty-dir.ts';
import { newHostPathDriver, type HostPathRule } from './host-path.ts';

export interface DriverOptions {
  /** What of the machine's tree pods may mount. */
  readonly hostPaths: readonly HostPathRule[];
}

/** What this node can do, by kind of volume. Another kind is another driver in this list. */
export function newVolumeDrivers({ hostPaths }: DriverOptions): ReadonlyMap<string, VolumeDriver> {
  const drivers = [emptyDirDriver, newHostPathDriver(hostPaths), ...apiFileDrivers];
  return new Map(drivers.map((driver) => [driver.kind, driver]));
}
