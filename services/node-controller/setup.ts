import type { ControllerSetup } from '../../lib/controller/service.ts';
import { poolOf, type nodeControllerOptions } from './config.ts';
import { tellLost } from './tell-lost.ts';
import { NodeController, podIndexes } from './controller.ts';
import { Ear } from './liveness.ts';
import { keysOf, listenToNodes, stallMs, wakeNodes } from './wiring.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof nodeControllerOptions> = (parts) => {
  const { config, clock, bus, cluster, signal } = parts;
  const { silenceMs, settleMs } = config;
  const ear = new Ear({ silenceMs, settleMs, leaseMs: 40_000 }, stallMs, clock.monotonic());
  const nodes = parts.view('nodes');
  const pods = parts.view('pods', { indexes: podIndexes });
  const leases = parts.view('leases', { namespace: 'kube-node-lease' });
  const sources = { nodes, pods, leases, bus, cluster, clock, ear, signal };
  const cidrs = poolOf(config.clusterCidr, config.nodeCidrBits);
  const limits = { pauseEvictionAbove: 0.55, forceAfterMs: 1_000 };
  const controller = new NodeController({
    ...parts,
    nodes,
    pods,
    ear,
    cidrs,
    limits,
    missingForMs: 5_000,
    tellLost: tellLost(bus, cluster, clock),
  });
  listenToNodes(sources);
  return {
    controller,
    keys: () => keysOf(sources),
    wake: (queue) => wakeNodes(queue, controller, sources),
    object: (key) => nodes.get(key),
  };
};
