import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { replicationOptions } from './config.ts';
import { podIndexes, ReplicationManager } from './controller.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires one loop for each of the two kinds to their views; `main.ts` runs them as a process. */
export const setup: ControllerSetup<typeof replicationOptions> = (parts) => {
  const rcs = parts.view('replicationcontrollers');
  const sets = parts.view('replicasets');
  const pods = parts.view('pods', { indexes: podIndexes });
  const { burst, statusIntervalMs } = parts.config;
  const limits = { burst, statusIntervalMs };
  return [
    {
      controller: new ReplicationManager({ ...parts, resource: 'replicationcontrollers', owners: rcs, pods, limits }),
      keys: () => rcs.list().map(keyOf),
      wake: (queue) => wakeOnChanges(queue, 'ReplicationController', rcs, pods),
      object: (key) => rcs.get(key),
    },
    {
      controller: new ReplicationManager({ ...parts, resource: 'replicasets', owners: sets, pods, limits }),
      keys: () => sets.list().map(keyOf),
      wake: (queue) => wakeOnChanges(queue, 'ReplicaSet', sets, pods),
      object: (key) => sets.get(key),
    },
  ];
};
