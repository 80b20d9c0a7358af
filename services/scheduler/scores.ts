import { untolerated } from '../../lib/api/pods.ts';
import type { Ask, Group, NodeState } from './cluster.ts';

/** One reason to rather not take a node; the node with the lowest sum over all reasons gets the pod. */
export interface Penalty {
  readonly name: string;
  of(ask: Ask, node: NodeState, groups: readonly Group[]): number;
}

/**
 * The sizes make an order of importance: an avoided taint outweighs any crowd, one pod more of the same set outweighs any
 * difference in load. So the pods of a set end up evenly spread wherever they fit (F157), and load decides among equals.
 */
export const penalties: readonly Penalty[] = [
  {
    name: 'avoided taints',
    of: ({ pod }, { softTaints }) => (softTaints.length === 0 ? 0 : untolerated(pod.spec, softTaints).length * 1e6),
  },
  {
    name: 'crowding',
    of: (_, node, groups) => {
      let crowd = 0;
      for (const group of groups) crowd += (group.byNode.get(node) ?? 0) + (group.byZone.get(node.zone) ?? 0);
      return crowd;
    },
  },
  {
    name: 'load',
    of: ({ needs }, { used, capacity }) =>
      (0.999 / 3) *
      (share(used.cpuMilli + needs.cpuMilli, capacity.cpuMilli) +
        share(used.memoryBytes + needs.memoryBytes, capacity.memoryBytes) +
        share(used.pods + needs.pods, capacity.pods)),
  },
];

const share = (used: number, capacity: number): number => (used <= 0 ? 0 : used >= capacity ? 1 : used / capacity);
