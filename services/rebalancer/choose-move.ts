import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { chooseNode, fits } from '../../lib/placing/choose.ts';
import type { Cluster, NodeState } from '../../lib/placing/cluster.ts';
import { spread } from '../../lib/placing/profile.ts';
import { sceneOf } from '../../lib/placing/scene.ts';

/** A set of pods of one controller that may be moved and that nothing else is happening to. */
export interface Steady {
  readonly uid: string;
  readonly key: Key;
  /** All of its pods: each serves, and has a node. */
  readonly pods: readonly Pod[];
  /** Those of them that may be moved, the cheapest to lose first. */
  readonly movable: readonly Pod[];
}

export interface Move {
  readonly set: Steady;
  readonly pod: Pod;
  readonly from: string;
  /** Where the scheduler would place it now. */
  readonly to: string;
  /** How many pods of the set are on each of the two. */
  readonly here: number;
  readonly there: number;
}

/**
 * The next move: that of the set with most more pods on its fullest node than on its emptiest, or undefined. A pod moves only from where there are
 * at least two more of its set than where the scheduler itself would place one like it now, by all of its rules, and leaves the zones no less even.
 * So each move lowers the sum of squares of what the set has per node, and raises none: moves come to an end, and none is ever taken back by another.
 * Depends on its arguments alone, and leaves the cluster as it was. No more than `most` uneven sets are tried; `turn` says where to begin, so
 * that all have theirs.
 */
export function chooseMove(
  sets: readonly Steady[],
  cluster: Cluster,
  { most, turn }: { readonly most: number; readonly turn: number },
): Move | undefined {
  const open = cluster.nodes.filter(({ ready, unschedulable }) => ready && !unschedulable);
  const uneven = sets.flatMap((set) => {
    const counts = countsOf(set.pods);
    const emptiest = Math.min(...open.map(({ name }) => counts.get(name) ?? 0));
    const skew = Math.max(0, ...counts.values()) - emptiest;
    return skew > 1 ? [{ set, counts, skew, emptiest }] : [];
  });
  uneven.sort((a, b) => b.skew - a.skew || (a.set.key < b.set.key ? -1 : 1));
  const first = uneven.length > most ? turn % uneven.length : 0;
  for (const { set, counts, emptiest } of [...uneven.slice(first), ...uneven.slice(0, first)].slice(0, most)) {
    const move = moveOf(set, counts, emptiest, cluster);
    if (move !== undefined) return move;
  }
  return undefined;
}

export function countsOf(pods: readonly Pod[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { spec } of pods)
    if (spec.nodeName !== undefined) counts.set(spec.nodeName, (counts.get(spec.nodeName) ?? 0) + 1);
  return counts;
}

/** From the fullest node that one of the pods may leave. Pods of a set are alike: one of each node stands for all. */
function moveOf(
  set: Steady,
  counts: ReadonlyMap<string, number>,
  emptiest: number,
  cluster: Cluster,
): Move | undefined {
  const full = [...counts].filter(([, count]) => count - emptiest > 1);
  full.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  for (const [from] of full) {
    const pod = set.movable.find(({ spec }) => spec.nodeName === from);
    const to = pod === undefined ? undefined : betterNode(pod, cluster, counts);
    if (pod !== undefined && to !== undefined)
      return { set, pod, from, to, here: counts.get(from) ?? 0, there: counts.get(to) ?? 0 };
  }
  return undefined;
}

/** Where one like it would go now, if it is better there and would also be allowed once this one is gone. */
function betterNode(pod: Pod, cluster: Cluster, counts: ReadonlyMap<string, number>): string | undefined {
  const copy = replacementOf(pod);
  const ask = cluster.ask(copy);
  const giveBack = cluster.yieldTo(copy);
  try {
    const { node } = chooseNode(ask, sceneOf(ask, cluster), cluster, { start: 0, sample: Infinity });
    if (node === undefined || !evens(cluster, counts, pod.spec.nodeName ?? '', node.name)) return undefined;
    const putBack = cluster.suppose(keyOf(pod));
    try {
      const scene = sceneOf(ask, cluster);
      const rules = spread.filters.filter((filter) => filter.concerns(ask, scene));
      return fits(ask, node, scene, rules) ? node.name : undefined;
    } finally {
      putBack();
    }
  } finally {
    giveBack();
  }
}

/** Whether one pod less here and one more there makes the nodes more even, and the zones no less. */
export function evens(cluster: Cluster, counts: ReadonlyMap<string, number>, from: string, to: string): boolean {
  if (from === to) return false;
  const [here, there] = [cluster.node(from), cluster.node(to)];
  if (there === undefined) return false;
  const nodes = (counts.get(from) ?? 0) - (counts.get(to) ?? 0);
  if (nodes <= 1 || here === undefined || here.zone === there.zone) return nodes > 1;
  return inZone(here, counts, cluster) > inZone(there, counts, cluster);
}

function inZone({ zone }: NodeState, counts: ReadonlyMap<string, number>, cluster: Cluster): number {
  let sum = 0;
  for (const [name, count] of counts) if (cluster.node(name)?.zone === zone) sum += count;
  return sum;
}

/** The pod as its controller would make it anew. */
function replacementOf(pod: Pod): Pod {
  const { nodeName: _, ...spec } = pod.spec;
  const { nominatedNodeName: __, ...status } = pod.status;
  return { ...pod, metadata: { ...pod.metadata, name: `${pod.metadata.name}.anew`, uid: '' }, spec, status };
}
