import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { FollowedConfig } from '../../lib/rollout/followed-config.ts';
import { newObjectFollower } from '../../lib/view/follow.ts';
import { DeploymentController, ownerIndex, setIndexes } from './controller.ts';
import { isRolling, rcIndexes, RollingUpdater } from './rolling/controller.ts';
import { wakeRollingUpdates } from './rolling/wake.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires both loops to their views; `main.ts` runs it as a process. */
export const setup: ControllerSetup = (parts) => {
  const deployments = parts.view('deployments');
  const sets = parts.view('replicasets', { indexes: setIndexes });
  const pods = parts.view('pods', { indexes: ownerIndex });
  const config = new FollowedConfig(newObjectFollower(parts));
  const rcs = parts.view('replicationcontrollers', { indexes: rcIndexes });
  return [
    {
      controller: new DeploymentController({ ...parts, deployments, sets, pods, config }),
      keys: () => deployments.list().map(keyOf),
      wake: (queue) => {
        config.wake((key) => {
          queue.add(key);
        });
        wakeOnChanges(queue, { deployments, sets, pods });
      },
      object: (key) => deployments.get(key),
    },
    {
      controller: new RollingUpdater({ ...parts, rcs, pods }),
      keys: () => rcs.list().filter(isRolling).map(keyOf),
      wake: (queue) => wakeRollingUpdates(queue, rcs, pods),
      object: (key) => rcs.get(key),
    },
  ];
};
