import type { Pod } from '../../lib/api/objects.ts';
import type { Ask, Cluster, Group, NodeState } from './cluster.ts';
import { explain, filters, type Filter } from './filters.ts';
import { penalties } from './scores.ts';

export interface Placement {
  readonly ask: Ask;
  readonly nodeName: string;
}
export interface Refusal {
  readonly pod: Pod;
  /** Why it fits nowhere, for people. */
  readonly message: string;
}
export interface Schedule {
  readonly placements: readonly Placement[];
  readonly refusals: readonly Refusal[];
  /** Where the next batch begins to look. */
  readonly start: number;
}
export interface ScheduleOptions {
  /** Index among `cluster.nodes` of the first node to look at; a whole number, taken modulo their count. */
  readonly start: number;
  /** How many nodes that would do are compared before one is taken. */
  readonly sample: number;
}

/**
 * Nodes for a batch of pods, in order: each sees the placements of those before it. Depends on its arguments alone and
 * leaves the cluster as it was.
 *
 * A pod takes the best of the first `sample` nodes that would do, looking round from where the pod before it ended; every
 * node is tried before a pod is refused. Beginning further on each time also settles ties evenly.
 */
export function schedule(pods: readonly Pod[], cluster: Cluster, options: ScheduleOptions): Schedule {
  const placements: Placement[] = [];
  const refusals: Refusal[] = [];
  const refused = new Map<string, string>();
  let start = options.start;
  try {
    for (const pod of pods) {
      const ask = cluster.ask(pod);
      // Placements only take room away: a pod like one refused before in this batch needs no second look.
      const known = refused.size === 0 ? undefined : refused.get(shapeOf(ask));
      if (known !== undefined) {
        refusals.push({ pod, message: known });
        continue;
      }
      const choice =
        ask.disks?.blocked !== undefined ? { node: undefined, start } : choose(ask, cluster, { ...options, start });
      start = choice.start;
      if (choice.node === undefined) {
        const message = explain(ask, cluster.nodes);
        refused.set(shapeOf(ask), message);
        refusals.push({ pod, message });
      } else {
        cluster.assume(ask, choice.node.name);
        placements.push({ ask, nodeName: choice.node.name });
      }
    }
  } finally {
    for (const { ask } of placements) cluster.forget(ask.key);
  }
  return { placements, refusals, start };
}

function choose(
  ask: Ask,
  cluster: Cluster,
  { start, sample }: ScheduleOptions,
): { readonly node: NodeState | undefined; readonly start: number } {
  const { nodes } = cluster;
  const relevant = filters.filter((filter) => filter.concerns(ask));
  const groups = ask.groupIds.flatMap((id): Group | readonly [] => cluster.group(id) ?? []);
  const first = nodes.length === 0 ? 0 : start % nodes.length;
  let best: NodeState | undefined;
  let least = Infinity;
  let found = 0;
  let looked = 0;
  while (looked < nodes.length && found < sample) {
    const at = first + looked++;
    const node = nodes[at < nodes.length ? at : at - nodes.length];
    if (node === undefined || !fits(ask, node, relevant)) continue;
    found += 1;
    const penalty = penaltyOf(ask, node, groups);
    if (penalty < least) {
      best = node;
      least = penalty;
    }
  }
  return { node: best, start: first + (looked < nodes.length ? looked : 1) };
}

function fits(ask: Ask, node: NodeState, relevant: readonly Filter[]): boolean {
  for (const filter of relevant) if (filter.refuse(ask, node) !== undefined) return false;
  return true;
}

function penaltyOf(ask: Ask, node: NodeState, groups: readonly Group[]): number {
  let sum = 0;
  for (const penalty of penalties) sum += penalty.of(ask, node, groups);
  return sum;
}

/** Pods with the same text are refused for the same reasons. */
function shapeOf({ pod, needs, hostPorts, claimKeys }: Ask): string {
  const { nodeSelector, tolerations } = pod.spec;
  return JSON.stringify([needs, hostPorts, nodeSelector, tolerations, claimKeys]);
}
