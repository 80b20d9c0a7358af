import { keyOf } from '../lib/api/keys.ts';
import type { Node, Pod } from '../lib/api/objects.ts';
import { conditionOf, isTerminal, needsOf, type Needs } from '../lib/api/pods.ts';
import { bytesQuantity } from '../lib/api/quantity.ts';
import { addNeeds, capacityOf } from '../lib/placing/node-facts.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import { isCritical } from './eviction/rank.ts';

/**
 * Why a pod that has just been bound here must not start, for want of what it asks for; undefined when there is room for it beside those
 * that were taken before. Two schedulers, or a person who names the node, may have promised the same room twice: of such pods those that come first run, and
 * none ever takes from another what that one was promised. Only what the pod itself asks for is looked at, so that a node which has become smaller
 * keeps what it has. What runs the node itself always starts. Host ports are another matter: who comes second waits for them.
 */
export function misfitOf(pod: Pod, node: Node | undefined, taken: Iterable<Pod>): EndOrder | undefined {
  if (node === undefined || node.status.allocatable === undefined || isCritical(pod)) return undefined;
  const capacity = capacityOf(node);
  const used = { cpuMilli: 0, memoryBytes: 0, diskBytes: 0, pods: 0 };
  for (const other of taken) {
    if (other.metadata.uid === pod.metadata.uid || isTerminal(other)) continue;
    addNeeds(used, needsOf(other.spec), 1);
  }
  const short = shortOf(needsOf(pod.spec), used, capacity);
  if (short === undefined) return undefined;
  const { name, asked, taken: inUse, has } = short;
  return order(
    `OutOf${name}`,
    `Node didn't have enough resource: ${name}, requested: ${asked}, used: ${inUse}, capacity: ${has}`,
  );
}

/** Those that were started before, then those that wait: the more important first, then the earlier bound. */
export const firstComeFirst = (pods: readonly Pod[]): readonly Pod[] =>
  pods.toSorted(
    (a, b) =>
      Number(b.status.startTime !== undefined) - Number(a.status.startTime !== undefined) ||
      (b.spec.priority ?? 0) - (a.spec.priority ?? 0) ||
      boundMs(a) - boundMs(b) ||
      (keyOf(a) < keyOf(b) ? -1 : 1),
  );

const boundMs = ({ status, metadata }: Pod): number =>
  Date.parse(conditionOf(status, 'PodScheduled')?.lastTransitionTime ?? metadata.creationTimestamp);

const order = (reason: EndOrder['reason'], message: string): EndOrder => ({
  reason,
  message,
  graceMs: 0,
  disruption: false,
});

interface Short {
  readonly name: string;
  readonly asked: string;
  readonly taken: string;
  readonly has: string;
}

/** The first resource that does not do. */
function shortOf(needs: Needs, used: Needs, capacity: Needs): Short | undefined {
  const rows: readonly (readonly [name: string, of: (amounts: Needs) => number, show: (amount: number) => string])[] = [
    ['pods', (each) => each.pods, String],
    ['cpu', (each) => each.cpuMilli, (milli) => `${milli}m`],
    ['memory', (each) => each.memoryBytes, bytesQuantity],
    ['ephemeral-storage', (each) => each.diskBytes, bytesQuantity],
    ...Object.keys(needs.others ?? {}).map(
      (name) => [name, (each: Needs) => each.others?.[name] ?? 0, String] as const,
    ),
  ];
  for (const [name, of, show] of rows)
    if (of(needs) > 0 && of(used) + of(needs) > of(capacity))
      return { name, asked: show(of(needs)), taken: show(of(used)), has: show(of(capacity)) };
  return undefined;
}
