import { portsClash, tolerates } from '../../lib/api/pods.ts';
import type { Taint } from '../../lib/api/objects.ts';
import type { Ask, NodeState } from './cluster.ts';
import { outOfReach, takenByOthers, withoutDisk, type DiskAsk } from './disks.ts';

/** One rule that a node must meet to take a pod. */
export interface Filter {
  readonly name: string;
  /** Whether this pod can fail the rule at all: asked once a pod, so that most rules cost nothing for most pods. */
  concerns(ask: Ask): boolean;
  /** Why the pod cannot go there, to be read after a number of nodes ("2 not ready"); undefined when it can. */
  refuse(ask: Ask, node: NodeState): string | undefined;
}

/** Rules about disks concern only pods with claims that are still to be placed. */
const aboutDisks = (name: string, rule: (disks: DiskAsk, node: NodeState) => string | undefined): Filter => ({
  name,
  concerns: ({ disks }) => disks !== undefined,
  refuse: ({ disks }, node) => (disks === undefined ? undefined : rule(disks, node)),
});

const always = (): boolean => true;
const cordon: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
const memoryPressure = 'node.kubernetes.io/memory-pressure';
/** Short of memory, a node ends pods without requests first: others may still come, as everywhere in the field. */
const tolerated = ({ pod }: Ask, taint: Taint): boolean =>
  (taint.key === memoryPressure && taint.effect === 'NoSchedule' && pod.status.qosClass !== 'BestEffort') ||
  pod.spec.tolerations?.some((toleration) => tolerates(toleration, taint)) === true;

/** In the order in which they are asked: the cheap and the frequent first. */
export const filters: readonly Filter[] = [
  {
    name: 'ready',
    concerns: always,
    refuse: (_, node) => (node.ready ? undefined : 'not ready'),
  },
  {
    name: 'schedulable',
    concerns: (ask) => !tolerated(ask, cordon),
    refuse: (_, node) => (node.unschedulable ? 'unschedulable' : undefined),
  },
  {
    name: 'pods',
    concerns: always,
    refuse: (_, { used, capacity }) => (used.pods + 1 > capacity.pods ? 'too many pods' : undefined),
  },
  {
    name: 'cpu',
    concerns: ({ needs }) => needs.cpuMilli > 0,
    refuse: ({ needs }, { used, capacity }) =>
      used.cpuMilli + needs.cpuMilli > capacity.cpuMilli ? 'insufficient cpu' : undefined,
  },
  {
    name: 'memory',
    concerns: ({ needs }) => needs.memoryBytes > 0,
    refuse: ({ needs }, { used, capacity }) =>
      used.memoryBytes + needs.memoryBytes > capacity.memoryBytes ? 'insufficient memory' : undefined,
  },
  {
    name: 'ephemeral storage',
    concerns: ({ needs }) => needs.diskBytes > 0,
    refuse: ({ needs }, { used, capacity }) =>
      used.diskBytes + needs.diskBytes > capacity.diskBytes ? 'insufficient ephemeral-storage' : undefined,
  },
  {
    name: 'taints',
    concerns: always,
    refuse: (ask, node) => {
      for (const { taint, reason } of node.hardTaints) if (!tolerated(ask, taint)) return reason;
      return undefined;
    },
  },
  {
    name: 'node selector',
    concerns: ({ pod }) => pod.spec.nodeSelector !== undefined,
    refuse: ({ pod }, { labels }) => {
      const selector = pod.spec.nodeSelector ?? {};
      for (const key in selector) if (labels[key] !== selector[key]) return 'not matching the node selector';
      return undefined;
    },
  },
  {
    name: 'host ports',
    concerns: ({ hostPorts }) => hostPorts.length > 0,
    refuse: ({ hostPorts }, node) =>
      hostPorts.some((port) => node.hostPorts.some((taken) => portsClash(port, taken)))
        ? 'with the host port taken'
        : undefined,
  },
  aboutDisks('volumes', outOfReach),
  aboutDisks('new disks', withoutDisk),
  aboutDisks('shared claims', takenByOthers),
];

/**
 * "0/3 nodes are available: 2 insufficient memory, 1 not ready." A node that lacks several things is counted under each.
 * The most frequent reason comes first; equal counts by text, so that the same state always reads the same.
 */
export function explain(ask: Ask, nodes: readonly NodeState[]): string {
  if (nodes.length === 0) return '0/0 nodes are available: no node has joined the cluster.';
  const blocked = ask.disks?.blocked;
  if (blocked !== undefined) return `0/${nodes.length} nodes are available: ${blocked}.`;
  const relevant = filters.filter((filter) => filter.concerns(ask));
  const counts = new Map<string, number>();
  for (const node of nodes) {
    for (const filter of relevant) {
      const reason = filter.refuse(ask, node);
      if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
  }
  const reasons = [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([reason, count]) => `${count} ${reason}`);
  return `0/${nodes.length} nodes are available: ${reasons.join(', ')}.`;
}
