import { meetsTerm } from '../api/node-selector.ts';
import type { Ask, Cluster, NodeState } from './cluster.ts';
import { matchesPod } from './matching.ts';
import { allowsNode, type PodTerm, type Rules, type Spread } from './rules.ts';
import type { Posed } from './tallies.ts';
import { toleratesAll } from './taints.ts';

/**
 * What the pods that are there mean for one that comes, as things stand at its decision: which values of which node labels it
 * must have, must not have, or likes. Made once a pod, then asked for each node.
 */
export interface Scene {
  readonly near: readonly Domains[];
  readonly apart: readonly Domains[];
  /** The same, asked by pods that are there. */
  readonly theirs: readonly Domains[];
  readonly spreads: readonly SpreadState[];
  /** How much less than others a node is liked: wishes to be kept, in the weights of the API. */
  penalty(node: NodeState): number;
}

/** Values of a node label under which there are such pods. */
export interface Domains {
  readonly key: string;
  readonly counts: ReadonlyMap<string, number>;
  /** No such pod is anywhere and the pod is one itself: it is the first of a group that wants to be together. */
  readonly isFirst: boolean;
}

export interface SpreadState extends Domains {
  readonly maxSkew: number;
  /** The fewest such pods under any value that counts. */
  readonly fewest: number;
  /** 1 where the pod itself is such a pod, and so counts where it goes. */
  readonly self: 0 | 1;
}

/** Undefined where neither the pod nor those that are there say anything about each other, nor the pod what it likes. */
export function sceneOf(ask: Ask, cluster: Cluster): Scene | undefined {
  const { metadata } = ask.pod;
  const posed = cluster.tallies.posedTo(metadata.namespace ?? '', metadata.labels);
  const { rules } = ask;
  if (posed.length === 0 && (rules === undefined || !saysMore(rules))) return undefined;
  const { near = [], nearAll, apart = [], hard = [], soft = [], liked = [], likedNodes = [] } = rules ?? {};
  const self = { namespace: metadata.namespace ?? '', labels: metadata.labels };
  const domainsOf = ({ matcher, topologyKey }: PodTerm): Domains => ({
    key: topologyKey,
    counts: cluster.tallies.of(matcher, false).domains(topologyKey),
    isFirst: false,
  });
  const together = nearAll === undefined ? undefined : cluster.tallies.of(nearAll, false);
  const isFirst =
    nearAll !== undefined &&
    near.every(({ topologyKey }) => together?.domains(topologyKey).size === 0) &&
    matchesPod(nearAll, self, cluster.tallies.labelsOf);
  const theirLikes = posed.filter(({ kind }) => kind === 'liked');
  const wishes = [...liked.map((term) => ({ weight: term.weight, ...domainsOf(term) })), ...theirLikes.map(wishOf)];
  const hardKeys = hard.map(({ topologyKey }) => topologyKey);
  const softKeys = soft.map(({ topologyKey }) => topologyKey);
  const evenly = soft.map((spread) => spreadOf(spread, softKeys, ask, cluster));
  return {
    near: near.map(({ topologyKey }) => ({
      key: topologyKey,
      counts: together?.domains(topologyKey) ?? new Map<string, number>(),
      isFirst,
    })),
    apart: apart.map(domainsOf),
    theirs: posed.flatMap((each) => (each.kind === 'apart' ? [theirsOf(each)] : [])),
    spreads: hard.map((spread) => spreadOf(spread, hardKeys, ask, cluster)),
    penalty(node) {
      let sum = 0;
      for (const { weight, term } of likedNodes) if (!meetsTerm(term, node)) sum += weight;
      for (const { weight, key, counts } of wishes) {
        const count = countAt(counts, node.labels[key]);
        // One pod to be near to is as good as many; of those to be far from, fewer are better.
        sum += weight > 0 ? (count > 0 ? 0 : weight) : -weight * Math.min(count, mostCounted);
      }
      for (const { key, counts, fewest } of evenly) {
        const value = node.labels[key];
        const above = value === undefined ? mostCounted : Math.max(0, countAt(counts, value) - fewest);
        sum += spreadWeight * Math.min(above, mostCounted);
      }
      return sum;
    },
  };
}

const saysMore = (rules: Rules): boolean =>
  rules.near.length + rules.apart.length + rules.liked.length + rules.likedNodes.length > 0 ||
  rules.hard.length + rules.soft.length > 0;

/** One pod more than elsewhere weighs so much under ScheduleAnyway, beside the weights of 1 to 100 that wishes have. */
const spreadWeight = 10;
/** Beyond so many, more make no difference: no wish outgrows an avoided taint. */
const mostCounted = 1_000;

const countAt = (counts: ReadonlyMap<string, number>, value: string | undefined): number =>
  value === undefined ? 0 : (counts.get(value) ?? 0);

const theirsOf = ({ topologyKey, tally }: Posed<NodeState>): Domains => ({
  key: topologyKey,
  counts: tally.domains(topologyKey),
  isFirst: false,
});

const wishOf = (posed: Posed<NodeState>): Domains & { readonly weight: number } => ({
  weight: posed.weight,
  ...theirsOf(posed),
});

// ---- Spreading ----------------------------------------------------------------------------------

function spreadOf(spread: Spread, keys: readonly string[], ask: Ask, cluster: Cluster): SpreadState {
  const { matcher, topologyKey, maxSkew, minDomains } = spread;
  const { namespace = '', labels } = ask.pod.metadata;
  const tally = cluster.tallies.of(matcher, true);
  const eligible = eligibleOf(spread, keys, ask, cluster);
  const counts = eligible.isAll ? tally.domains(topologyKey) : new Map<string, number>();
  if (!eligible.isAll)
    for (const [node, count] of tally.byNode) {
      const value = eligible.nodes.has(node) ? node.labels[topologyKey] : undefined;
      if (value !== undefined) (counts as Map<string, number>).set(value, (counts.get(value) ?? 0) + count);
    }
  const values = eligible.values.get(topologyKey) ?? new Set<string>();
  let fewest = values.size === 0 ? 0 : Infinity;
  if (values.size < minDomains) fewest = 0;
  else
    for (const value of values) {
      fewest = Math.min(fewest, counts.get(value) ?? 0);
      if (fewest === 0) break;
    }
  const self = matchesPod(matcher, { namespace, labels }, cluster.tallies.labelsOf) ? 1 : 0;
  return { key: topologyKey, counts, isFirst: false, maxSkew, fewest, self };
}

/** The nodes that count for a constraint: with all of the labels, and as its policies say. */
interface Eligible {
  readonly nodes: ReadonlySet<NodeState>;
  readonly isAll: boolean;
  /** The values that there are, by key. */
  readonly values: ReadonlyMap<string, ReadonlySet<string>>;
}

/** By the array of nodes, which is another whenever labels or taints differ, and by what decides which of them count. */
const known = new WeakMap<readonly NodeState[], Map<string, Eligible>>();
const maxKnown = 500;

function eligibleOf(spread: Spread, keys: readonly string[], { pod, rules }: Ask, { nodes }: Cluster): Eligible {
  const { affinity, nodeSelector, tolerations } = pod.spec;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const shape = JSON.stringify([
    keys,
    spread.honorsAffinity ? [nodeSelector, required] : [],
    spread.honorsTaints ? (tolerations ?? []) : 0,
  ]);
  let byShape = known.get(nodes);
  if (byShape === undefined) known.set(nodes, (byShape = new Map<string, Eligible>()));
  const before = byShape.get(shape);
  if (before !== undefined) return before;
  const chosen = nodes.filter(
    (node) =>
      keys.every((key) => node.labels[key] !== undefined) &&
      (!spread.honorsAffinity || allowsNode(pod, rules, node)) &&
      (!spread.honorsTaints || toleratesAll(pod, node)),
  );
  const values = new Map(keys.map((key) => [key, new Set(chosen.flatMap((node) => node.labels[key] ?? []))]));
  const eligible = { nodes: new Set(chosen), isAll: chosen.length === nodes.length, values };
  if (byShape.size >= maxKnown) byShape.clear();
  byShape.set(shape, eligible);
  return eligible;
}
