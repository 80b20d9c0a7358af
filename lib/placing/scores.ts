import { untolerated } from '../api/pods.ts';
import type { Ask, Group, NodeState } from './cluster.ts';
import { asksForNothing, reckonedBytes } from './node-facts.ts';
import type { Scene } from './scene.ts';

/** What else is to be known of the cluster for one pod. */
export interface Around {
  readonly groups: readonly Group[];
  readonly scene: Scene | undefined;
}

/** One reason to rather not take a node; the node with the lowest sum over all reasons gets the pod. */
export interface Penalty {
  readonly name: string;
  of(ask: Ask, node: NodeState, around: Around): number;
}

const avoidedTaints: Penalty = {
  name: 'avoided taints',
  of: ({ pod }, { softTaints }) => (softTaints.length === 0 ? 0 : untolerated(pod.spec, softTaints).length * 1e12),
};
/** One point of the weights of 1 to 100 that wishes have. */
export const wishWeight = 1e6;
const wishes: Penalty = {
  name: 'wishes',
  of: (_, node, { scene }) => (scene === undefined ? 0 : scene.penalty(node) * wishWeight),
};

/** Pods of the same sets on the node and in its zone. */
function crowdOf(node: NodeState, { groups }: Around): number {
  let crowd = 0;
  for (const group of groups) crowd += (group.byNode.get(node) ?? 0) + (group.byZone.get(node.zone) ?? 0);
  return crowd;
}

/** How full the node would be with the pod, 0 to 1. */
const loadOf = ({ needs }: Ask, { used, capacity }: NodeState): number =>
  (share(used.cpuMilli + needs.cpuMilli, capacity.cpuMilli) +
    share(used.memoryBytes + needs.memoryBytes, capacity.memoryBytes) +
    share(used.pods + needs.pods, capacity.pods)) /
  3;

/** A pod that asks for nothing lives on what others leave: how full the node is by its own measure counts, not what is promised there. */
const pressureOf = (ask: Ask, node: NodeState): number => {
  const { measured, unmeasured, used, capacity } = node;
  if (measured === undefined || !asksForNothing(ask)) return loadOf(ask, node);
  const spare = measured.memorySpareBytes - unmeasured * reckonedBytes;
  return (1 - share(spare, measured.memoryBytes) + 1 - measured.cpuIdle + share(used.pods + 1, capacity.pods)) / 3;
};

/** How much of the images would have to be pulled, 0 to 1: beside so much that is there already, what is missing does not count. */
function missingOf({ images }: Ask, { images: there }: NodeState): number {
  if (images.length === 0) return 0;
  let present = 0;
  if (there !== undefined) for (const image of new Set(images)) present += there.get(image) ?? 0;
  return 1 - share(present, worthwhileBytes);
}

/**
 * The sizes make an order of importance: an avoided taint outweighs any wish, what the pods themselves wish outweighs any
 * crowd, one pod more of the same set outweighs any difference in load. So the pods of a set end up evenly spread wherever they fit (F157), and load
 * decides among equals, weighed against what would have to be pulled.
 */
export const spreading: readonly Penalty[] = [
  avoidedTaints,
  wishes,
  { name: 'crowding', of: (_, node, around) => crowdOf(node, around) },
  { name: 'load', of: (ask, node) => 0.666 * pressureOf(ask, node) },
  { name: 'images', of: (ask, node) => 0.333 * missingOf(ask, node) },
];

/** As above, but the fuller node outweighs images and crowds. */
export const packing: readonly Penalty[] = [
  avoidedTaints,
  wishes,
  { name: 'room left', of: (ask, node) => 1 - loadOf(ask, node) },
  { name: 'images', of: (ask, node) => 1e-3 * missingOf(ask, node) },
  { name: 'crowding', of: (_, node, around) => 1e-7 * Math.min(crowdOf(node, around), 999) },
];

/** So much that need not be pulled, or more, is worth half of the way from an idle node to a full one when pods are spread. */
const worthwhileBytes = 2 ** 30;

const share = (used: number, capacity: number): number => (used <= 0 ? 0 : used >= capacity ? 1 : used / capacity);
