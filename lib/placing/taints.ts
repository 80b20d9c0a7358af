import { tolerates } from '../api/pods.ts';
import type { Pod, Taint } from '../api/objects.ts';
import type { NodeState } from './cluster.ts';

export const cordon: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
const memoryPressure = 'node.kubernetes.io/memory-pressure';
/** What keeps pods without requests from a node that is short of memory. */
export const shortage: Taint = { key: memoryPressure, effect: 'NoSchedule' };

/** Short of memory, a node ends pods without requests first: others may still come, as everywhere in the field. */
export const tolerated = ({ spec, status }: Pod, taint: Taint): boolean =>
  (taint.key === memoryPressure && taint.effect === 'NoSchedule' && status.qosClass !== 'BestEffort') ||
  spec.tolerations?.some((toleration) => tolerates(toleration, taint)) === true;

/** Neither a taint nor a cordon keeps the pod away. */
export const toleratesAll = (pod: Pod, { hardTaints, unschedulable }: NodeState): boolean =>
  hardTaints.every(({ taint }) => tolerated(pod, taint)) && (!unschedulable || tolerated(pod, cordon));
