import type { Ask, Cluster, Group, NodeState } from './cluster.ts';
import { explain, type Filter } from './filters.ts';
import { spread, type Profile } from './profile.ts';
import type { Rules } from './rules.ts';
import type { Scene } from './scene.ts';
import type { Around, Penalty } from './scores.ts';

export interface ChooseOptions {
  /** Index among `cluster.nodes` of the first node to look at; a whole number, taken modulo their count. */
  readonly start: number;
  /** How many nodes that would do are compared before one is taken. */
  readonly sample: number;
  /** Default: `spread`. */
  readonly profile?: Profile;
}

/** A node, or why there is none. */
export type Choice = { readonly start: number } & (
  { readonly node: NodeState } | { readonly node: undefined; readonly message: string }
);

/**
 * The best node for one pod as things stand, by the rules of the profile. Depends on its arguments alone and changes nothing: it may be cut
 * off anywhere.
 */
export function chooseNode(ask: Ask, scene: Scene | undefined, cluster: Cluster, options: ChooseOptions): Choice {
  const { node, start } =
    ask.disks?.blocked === undefined ? choose(ask, scene, cluster, options) : { node: undefined, start: options.start };
  if (node !== undefined) return { node, start };
  return { node, start, message: explain(ask, cluster.nodes, scene, options.profile?.filters) };
}

function choose(
  ask: Ask,
  scene: Scene | undefined,
  cluster: Cluster,
  { start, sample, profile = spread }: ChooseOptions,
): { readonly node: NodeState | undefined; readonly start: number } {
  const { rules } = ask;
  const named = rules?.nodeNames?.flatMap((name) => cluster.node(name) ?? []);
  const nodes = named ?? cluster.nodes;
  const relevant = profile.filters.filter((filter) => filter.concerns(ask, scene));
  const kept = cluster.node(ask.pod.status.nominatedNodeName ?? '');
  if (kept !== undefined && fits(ask, kept, scene, relevant)) return { node: kept, start };
  const groups = ask.groupIds.flatMap((id): Group | readonly [] => cluster.group(id) ?? []);
  const around = { groups, scene };
  // What a pod wishes for may be on any node.
  const enough = profile.comparesAll || (rules !== undefined && hasWishes(rules)) ? nodes.length : sample;
  const first = profile.fills || nodes.length === 0 ? 0 : start % nodes.length;
  let best: NodeState | undefined;
  let least = Infinity;
  let found = 0;
  let looked = 0;
  while (looked < nodes.length && found < enough) {
    const at = first + looked++;
    const node = nodes[at < nodes.length ? at : at - nodes.length];
    if (node === undefined || !fits(ask, node, scene, relevant)) continue;
    found += 1;
    const penalty = penaltyOf(ask, node, around, profile.penalties);
    if (penalty < least) {
      best = node;
      least = penalty;
    }
  }
  return { node: best, start: named !== undefined ? start : first + (looked < nodes.length ? looked : 1) };
}

const hasWishes = ({ likedNodes, liked, soft }: Rules): boolean => likedNodes.length + liked.length + soft.length > 0;

/** Whether a node will do by all of these rules. */
export function fits(ask: Ask, node: NodeState, scene: Scene | undefined, relevant: readonly Filter[]): boolean {
  for (const filter of relevant) if (filter.refuse(ask, node, scene) !== undefined) return false;
  return true;
}

function penaltyOf(ask: Ask, node: NodeState, around: Around, penalties: readonly Penalty[]): number {
  let sum = 0;
  for (const penalty of penalties) sum += penalty.of(ask, node, around);
  return sum;
}
