import type { Node, Taint } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { rfc3339 } from '../../lib/base/clock.ts';

/** The taint that a node carries while one of its conditions is True: it keeps what it has and gets nothing new. */
const taintOf: ReadonlyMap<string, string> = new Map([
  ['MemoryPressure', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'node.kubernetes.io/pid-pressure'],
]);
const keys: ReadonlySet<string> = new Set(taintOf.values());

/** The taints with those of the node's conditions as they should be; the very same list when they are so already. */
export function withConditionTaints(node: Node, taints: readonly Taint[], nowMs: number): readonly Taint[] {
  const wanted = [...taintOf]
    .filter(([condition]) => conditionOf(node.status, condition)?.status === 'True')
    .map(([, key]) => key);
  const isOurs = ({ key, effect }: Taint): boolean => keys.has(key) && effect === 'NoSchedule';
  const kept = taints.filter((taint) => !isOurs(taint) || wanted.includes(taint.key));
  const missing = wanted.filter((key) => !kept.some((taint) => isOurs(taint) && taint.key === key));
  if (kept.length === taints.length && missing.length === 0) return taints;
  return [...kept, ...missing.map((key): Taint => ({ key, effect: 'NoSchedule', timeAdded: rfc3339(nowMs) }))];
}
