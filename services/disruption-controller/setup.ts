import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newDisruptionController } from './controller.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup = (parts) => {
  const views = {
    budgets: parts.view('poddisruptionbudgets'),
    pods: parts.view('pods'),
    rcs: parts.view('replicationcontrollers'),
    sets: parts.view('replicasets'),
    deployments: parts.view('deployments'),
    daemons: parts.view('daemonsets'),
    jobs: parts.view('jobs'),
    definitions: parts.view('customresourcedefinitions'),
  };
  return {
    controller: newDisruptionController({ ...parts, ...views }),
    keys: () => views.budgets.list().map(keyOf),
    wake: (queue) => {
      wakeOnChanges(queue, views);
    },
    object: (key) => views.budgets.get(key),
  };
};
