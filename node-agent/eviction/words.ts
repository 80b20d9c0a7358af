import type { Pod } from '../../lib/api/objects.ts';
import { bytesQuantity } from '../../lib/api/quantity.ts';
import type { EndOrder } from './pod-ending.ts';
import { isCritical, type Candidate } from './rank.ts';
import { shortageOf, type Pressures, type Shortage } from './pressure.ts';
import { unitsBelow, type Rooms, type Threshold } from './thresholds.ts';

/** As resources are named to people. */
const resourceOf: Readonly<Record<Shortage, string>> = {
  memory: 'memory',
  disk: 'ephemeral-storage',
  processes: 'pids',
};
const conditionOf: Readonly<Record<Shortage, string>> = {
  memory: 'MemoryPressure',
  disk: 'DiskPressure',
  processes: 'PIDPressure',
};
/** Memory may be gone in a moment; a disk fills more slowly. */
const graceMs: Readonly<Record<Shortage, number>> = { memory: 0, disk: 1_000, processes: 0 };

/** Why this pod, of all pods, ends for the sake of the node. */
export function victimOrder(threshold: Threshold, rooms: Rooms, { used, requested }: Candidate): EndOrder {
  const kind = shortageOf(threshold.signal);
  const room = rooms[threshold.signal] ?? { available: 0, capacity: 0 };
  const isCount = kind === 'processes' || threshold.signal.endsWith('inodesFree');
  const show = (units: number): string => (isCount ? String(Math.floor(units)) : inMebibytes(units));
  const own = kind === 'processes' ? String(used) : inMebibytes(used);
  const asked = kind === 'processes' ? 'has no request for them' : `requested ${inMebibytes(requested)}`;
  return {
    reason: 'Evicted',
    message:
      `The node was low on resource: ${threshold.signal.endsWith('inodesFree') ? 'inodes' : resourceOf[kind]}. ` +
      `Threshold quantity: ${show(unitsBelow(threshold, room.capacity))}, available: ${show(room.available)}. ` +
      `The pod was using ${own} and ${asked}.`,
    graceMs: graceMs[kind],
    disruption: true,
  };
}

const inMebibytes = (bytes: number): string => bytesQuantity(Math.floor(bytes / 2 ** 20) * 2 ** 20);

/**
 * Why a pod that has just come must not start here; undefined when it may. Short of memory a node still takes pods that said what they
 * need, or that tolerate the shortage; short of disk or processes it takes none. What runs the node itself always starts.
 */
export function refusalOf(pod: Pod, pressures: Pressures): EndOrder | undefined {
  if (isCritical(pod)) return undefined;
  const toleratesShortage = pod.spec.tolerations?.some(
    ({ key, operator, effect }) =>
      (key === undefined || key === '' || key === 'node.kubernetes.io/memory-pressure') &&
      (effect === undefined || effect === 'NoSchedule') &&
      (operator === 'Exists' || key !== undefined),
  );
  const takesAnyway = pod.status.qosClass !== 'BestEffort' || toleratesShortage === true;
  const kinds = (Object.keys(pressures) as Shortage[]).filter((kind) => kind !== 'memory' || !takesAnyway);
  if (kinds.length === 0) return undefined;
  return {
    reason: 'Evicted',
    message: `Pod was rejected: The node had condition: [${kinds
      .map((kind) => conditionOf[kind])
      .sort()
      .join(' ')}].`,
    graceMs: 0,
    disruption: false,
  };
}
