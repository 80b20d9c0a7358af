import { keyOf } from '../../lib/api/keys.ts';
import { runControllerService } from '../../lib/controller/service.ts';
import { replicationOptions } from './config.ts';
import { podIndexes, ReplicationManager } from './controller.ts';
import { wakeOnChanges } from './wake.ts';

runControllerService('replication-controller', replicationOptions, (parts) => {
  const rcs = parts.view('replicationcontrollers');
  const pods = parts.view('pods', { indexes: podIndexes });
  const { burst, statusIntervalMs } = parts.config;
  return {
    controller: new ReplicationManager({ ...parts, rcs, pods, limits: { burst, statusIntervalMs } }),
    keys: () => rcs.list().map(keyOf),
    wake: (queue) => wakeOnChanges(queue, rcs, pods),
    object: (key) => rcs.get(key),
  };
});
