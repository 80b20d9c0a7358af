import { listedName } from '../api/image-reference.ts';
import type { Labels, Node, Taint } from '../api/objects.ts';
import { othersIn, type HostPort, type Needs } from '../api/pods.ts';
import { milliOf, unitsOf } from '../api/quantity.ts';
import { matchesMap } from '../api/labels.ts';
import type { DiskNode } from './disks.ts';

/** A node and the sum of what its pods take. Only `Cluster` changes one. */
export interface NodeState extends DiskNode {
  readonly ready: boolean;
  readonly unschedulable: boolean;
  /** `region/zone`; empty where the node has no such labels. */
  readonly zone: string;
  readonly hardTaints: readonly HardTaint[];
  readonly softTaints: readonly Taint[];
  readonly capacity: Needs;
  readonly used: Needs;
  readonly hostPorts: readonly HostPort[];
  /** Bytes of the images that are there, by name; undefined where the node does not say. */
  readonly images: ReadonlyMap<string, number> | undefined;
  /** Undefined where it is not known, or not any more. */
  readonly measured: Measured | undefined;
  /** Pods that ask for nothing and came so lately that what they use may not be measured yet. */
  readonly unmeasured: number;
}
/** What a node has left, by its own measure. */
export interface Measured {
  /** Before the node would have to end pods. */
  readonly memorySpareBytes: number;
  readonly memoryBytes: number;
  /** 0 to 1. */
  readonly cpuIdle: number;
}
export interface HardTaint {
  readonly taint: Taint;
  /** Why a pod that does not tolerate it is refused. */
  readonly reason: string;
}

/** A name that pods are bound to may belong to no node. */
interface Registered extends NodeState {
  readonly registered: boolean;
}

export const sameLabels = (a: Labels, b: Labels): boolean =>
  a === b || (Object.keys(a).length === Object.keys(b).length && matchesMap(a, b));

export const taintsOf = ({ hardTaints, unschedulable }: Pick<NodeState, 'hardTaints' | 'unschedulable'>): string =>
  `${unschedulable} ${hardTaints.map(({ reason }) => reason).join()}`;

export function addNeeds(sum: { -readonly [F in keyof Needs]: Needs[F] }, needs: Needs, sign: 1 | -1): void {
  sum.cpuMilli += sign * needs.cpuMilli;
  sum.memoryBytes += sign * needs.memoryBytes;
  sum.diskBytes += sign * needs.diskBytes;
  sum.pods += sign * needs.pods;
  if (needs.others === undefined) return;
  const others: Record<string, number> = { ...sum.others };
  for (const name in needs.others) others[name] = (others[name] ?? 0) + sign * (needs.others[name] ?? 0);
  sum.others = others;
}

export const asksForNothing = ({ needs }: { readonly needs: Needs }): boolean =>
  needs.cpuMilli === 0 && needs.memoryBytes === 0;

/** What a pod that asks for nothing is reckoned to take until it is measured. */
export const reckonedBytes = 16 * 2 ** 20;

/** Whether one more pod that asks for nothing would find no memory that can be measured. Where nothing is known, nothing is said. */
export const hasNoneToSpare = ({ measured, unmeasured }: Pick<NodeState, 'measured' | 'unmeasured'>): boolean =>
  measured !== undefined && measured.memorySpareBytes < (unmeasured + 1) * reckonedBytes;

export function capacityOf(node: Node): Needs {
  const has = node.status.allocatable ?? node.status.capacity ?? {};
  const others = othersIn(has);
  return {
    cpuMilli: milliOf(has['cpu'] ?? 0),
    memoryBytes: unitsOf(has['memory'] ?? 0),
    diskBytes: unitsOf(has['ephemeral-storage'] ?? 0),
    pods: unitsOf(has['pods'] ?? 0),
    ...(others === undefined ? {} : { others }),
  };
}

export function imagesOf({ status: { images } }: Node): ReadonlyMap<string, number> | undefined {
  if (images === undefined || images.length === 0) return undefined;
  return new Map(
    images.flatMap(({ names = [], sizeBytes = 0 }) =>
      names.map((name): [string, number] => [listedName(name), sizeBytes]),
    ),
  );
}

export const withReason = (taint: Taint): HardTaint => ({
  taint,
  reason: `with untolerated taint {${taint.key}${(taint.value ?? '') === '' ? '' : `=${taint.value}`}: ${taint.effect}}`,
});

export function zoneOf(labels: Labels | undefined): string {
  const [region, zone] = [labels?.['topology.kubernetes.io/region'], labels?.['topology.kubernetes.io/zone']];
  return region === undefined && zone === undefined ? '' : `${region ?? ''}/${zone ?? ''}`;
}

/** Heartbeats change nodes all the time; only these changes can make a refused pod fit. */
export function mayHelp(before: Registered, now: Registered): boolean {
  if (!now.ready) return false;
  return (
    !before.registered ||
    !before.ready ||
    (!before.hasDisks && now.hasDisks) ||
    (before.unschedulable && !now.unschedulable) ||
    now.capacity.cpuMilli > before.capacity.cpuMilli ||
    now.capacity.memoryBytes > before.capacity.memoryBytes ||
    now.capacity.diskBytes > before.capacity.diskBytes ||
    now.capacity.pods > before.capacity.pods ||
    Object.entries(now.capacity.others ?? {}).some(([name, has]) => has > (before.capacity.others?.[name] ?? 0)) ||
    !sameLabels(before.labels, now.labels) ||
    before.hardTaints.some(({ reason }) => !now.hardTaints.some((other) => other.reason === reason))
  );
}

/** The zones taking turns. */
export function inTurns(nodes: readonly NodeState[]): readonly NodeState[] {
  const zones = new Map<string, NodeState[]>();
  for (const node of nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const zone = zones.get(node.zone);
    if (zone === undefined) zones.set(node.zone, [node]);
    else zone.push(node);
  }
  const queues = [...zones].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, members]) => members);
  const longest = Math.max(0, ...queues.map((queue) => queue.length));
  return Array.from({ length: longest }, (_, turn) => queues.flatMap((queue) => queue[turn] ?? [])).flat();
}
