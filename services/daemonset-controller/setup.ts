import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { daemonOptions } from './config.ts';
import { FollowedConfig } from '../../lib/rollout/followed-config.ts';
import { newObjectFollower } from '../../lib/view/follow.ts';
import { DaemonSetController } from './controller.ts';
import { ownerIndexes, wakeOnChanges } from './wake.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof daemonOptions> = (parts) => {
  const sets = parts.view('daemonsets');
  const revisions = parts.view('controllerrevisions', { indexes: ownerIndexes });
  const nodes = parts.view('nodes');
  const pods = parts.view('pods', { indexes: ownerIndexes });
  const config = new FollowedConfig(newObjectFollower(parts));
  const views = { sets, revisions, nodes, pods };
  return {
    controller: new DaemonSetController({ ...parts, ...views, config, burst: parts.config.burst }),
    keys: () => sets.list().map(keyOf),
    wake: (queue) => {
      config.wake((key) => {
        queue.add(key);
      });
      wakeOnChanges(queue, views);
    },
    object: (key) => sets.get(key),
  };
};
