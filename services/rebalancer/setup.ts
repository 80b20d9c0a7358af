import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { rebalancerOptions } from './config.ts';
import { podIndexes, Rebalancer } from './rebalancer.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof rebalancerOptions> = (parts) =>
  new Rebalancer({
    ...parts,
    limits: parts.config,
    nodes: parts.view('nodes'),
    pods: parts.view('pods', { indexes: podIndexes }),
    services: parts.view('services'),
    namespaces: parts.view('namespaces'),
    budgets: parts.view('poddisruptionbudgets'),
    rcs: parts.view('replicationcontrollers'),
    sets: parts.view('replicasets'),
    deployments: parts.view('deployments'),
  });
