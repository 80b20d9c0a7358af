import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { replicationOptions } from './config.ts';
import { podIndexes, ReplicationManager } from './controller.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof replicationOptions> = (parts) => {
  const rcs = parts.view('replicationcontrollers');
  const pods = parts.view('pods', { indexes: podIndexes });
  const { burst, statusIntervalMs } = parts.config;
  return {
    controller: new ReplicationManager({ ...parts, rcs, pods, limits: { burst, statusIntervalMs } }),
    keys: () => rcs.list().map(keyOf),
    wake: (queue) => wakeOnChanges(queue, rcs, pods),
    object: (key) => rcs.get(key),
  };
};
