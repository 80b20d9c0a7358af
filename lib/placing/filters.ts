import { portsClash } from '../api/pods.ts';
import type { Ask, NodeState } from './cluster.ts';
import { meetsAny } from '../api/node-selector.ts';
import type { Scene } from './scene.ts';
import { hasNoneToSpare } from './node-facts.ts';
import { cordon, shortage, tolerated } from './taints.ts';
import { outOfReach, takenByOthers, withoutDisk, type DiskAsk } from './disks.ts';

/** One rule that a node must meet to take a pod. */
export interface Filter {
  readonly name: string;
  /** No pod that ends can make a node meet it. */
  readonly lasting?: true;
  /** Whether this pod can fail the rule at all: asked once a pod, so that most rules cost nothing for most pods. */
  concerns(ask: Ask, scene: Scene | undefined): boolean;
  /** Why the pod cannot go there, to be read after a number of nodes ("2 not ready"); undefined when it can. */
  refuse(ask: Ask, node: NodeState, scene: Scene | undefined): string | undefined;
}

/** Rules about disks concern only pods with claims that are still to be placed. */
const aboutDisks = (name: string, rule: (disks: DiskAsk, node: NodeState) => string | undefined): Filter => ({
  name,
  concerns: ({ disks }) => disks !== undefined,
  refuse: ({ disks }, node) => (disks === undefined ? undefined : rule(disks, node)),
});

/** Rules about pods that are there concern only those that such pods mean something to. The first of a kind that is broken is told. */
function aboutPods<K extends 'near' | 'apart' | 'theirs' | 'spreads'>(
  name: string,
  kind: K,
  rule: (domains: Scene[K][number], value: string | undefined) => string | undefined,
): Filter {
  return {
    name,
    concerns: (_, scene) => scene !== undefined && scene[kind].length > 0,
    refuse(_, { labels }, scene) {
      for (const domains of (scene?.[kind] ?? []) as readonly Scene[K][number][]) {
        const reason = rule(domains, labels[domains.key]);
        if (reason !== undefined) return reason;
      }
      return undefined;
    },
  };
}

const always = (): boolean => true;
/** In the order in which they are asked: the cheap and the frequent first. */
export const filters: readonly Filter[] = [
  {
    name: 'ready',
    lasting: true,
    concerns: always,
    refuse: (_, node) => (node.ready ? undefined : 'not ready'),
  },
  {
    name: 'schedulable',
    lasting: true,
    concerns: ({ pod }) => !tolerated(pod, cordon),
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
    name: 'other resources',
    concerns: ({ needs }) => needs.others !== undefined,
    refuse: ({ needs: { others = {} } }, { used, capacity }) => {
      for (const name in others) {
        const asked = others[name] ?? 0;
        if (asked > 0 && (used.others?.[name] ?? 0) + asked > (capacity.others?.[name] ?? 0))
          return `insufficient ${name}`;
      }
      return undefined;
    },
  },
  {
    name: 'measured memory',
    lasting: true,
    concerns: ({ pod }) => !tolerated(pod, shortage),
    refuse: (_, node) => (hasNoneToSpare(node) ? 'without memory to spare for pods that ask for none' : undefined),
  },
  {
    name: 'taints',
    lasting: true,
    concerns: always,
    refuse: ({ pod }, node) => {
      for (const { taint, reason } of node.hardTaints) if (!tolerated(pod, taint)) return reason;
      return undefined;
    },
  },
  {
    name: 'node selector',
    lasting: true,
    concerns: ({ pod }) => pod.spec.nodeSelector !== undefined,
    refuse: ({ pod }, { labels }) => {
      const selector = pod.spec.nodeSelector ?? {};
      for (const key in selector) if (labels[key] !== selector[key]) return 'not matching the node selector';
      return undefined;
    },
  },
  {
    name: 'node affinity',
    lasting: true,
    concerns: ({ rules }) => rules?.nodeTerms !== undefined,
    refuse: ({ rules }, node) =>
      meetsAny(rules?.nodeTerms ?? [], node) ? undefined : 'not matching the node affinity',
  },
  {
    name: 'host ports',
    concerns: ({ hostPorts }) => hostPorts.length > 0,
    refuse: ({ hostPorts }, node) =>
      hostPorts.some((port) => node.hostPorts.some((taken) => portsClash(port, taken)))
        ? 'with the host port taken'
        : undefined,
  },
  {
    ...aboutPods('pod affinity', 'near', (domains, value) =>
      value !== undefined && (domains.isFirst || domains.counts.has(value))
        ? undefined
        : 'not matching the pod affinity rules',
    ),
    lasting: true,
  },
  aboutPods('pod anti-affinity', 'apart', (domains, value) =>
    value !== undefined && domains.counts.has(value) ? 'not matching the pod anti-affinity rules' : undefined,
  ),
  aboutPods('anti-affinity of others', 'theirs', (domains, value) =>
    value !== undefined && domains.counts.has(value) ? 'not matching the anti-affinity rules of pods there' : undefined,
  ),
  aboutPods('spreading', 'spreads', ({ key, counts, fewest, self, maxSkew }, value) => {
    if (value === undefined) return `without the label ${key}, over which the pod is to be spread`;
    return (counts.get(value) ?? 0) + self - fewest > maxSkew
      ? `not matching the topology spread constraint on ${key}`
      : undefined;
  }),
  { ...aboutDisks('volumes', outOfReach), lasting: true },
  { ...aboutDisks('new disks', withoutDisk), lasting: true },
  aboutDisks('shared claims', takenByOthers),
];

/** A text for people has an end, however many reasons labels, taints and users' modules make. */
const mostReasons = 20;

/**
 * "0/3 nodes are available: 2 insufficient memory, 1 not ready." A node that lacks several things is counted under each.
 * The most frequent reason comes first; equal counts by text, so that the same state always reads the same.
 */
export function explain(
  ask: Ask,
  nodes: readonly NodeState[],
  scene?: Scene,
  rules: readonly Filter[] = filters,
): string {
  if (nodes.length === 0) return '0/0 nodes are available: no node has joined the cluster.';
  const blocked = ask.disks?.blocked;
  if (blocked !== undefined) return `0/${nodes.length} nodes are available: ${blocked}.`;
  const relevant = rules.filter((filter) => filter.concerns(ask, scene));
  const counts = new Map<string, number>();
  for (const node of nodes) {
    for (const filter of relevant) {
      const reason = filter.refuse(ask, node, scene);
      if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
  }
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const reasons = sorted.slice(0, mostReasons).map(([reason, count]) => `${count} ${reason}`);
  if (sorted.length > mostReasons) reasons.push(`and ${sorted.length - mostReasons} more reasons`);
  return `0/${nodes.length} nodes are available: ${reasons.join(', ')}.`;
}
