import type { Container, Pod } from '../../lib/api/objects.ts';
import { togetherOf } from '../../lib/api/pods.ts';
import { engineResources } from '../resource-amount.ts';

/** What the kernel holds a group of processes to. */
export interface GroupLimits {
  /** Weight against neighbours where the processors are busy; 1024 a core. */
  readonly cpuShares: number;
  /** In each 100 ms. Absent: none. */
  readonly cpuQuotaMicros?: number;
  /** Absent: none. */
  readonly memoryBytes?: number;
  /** Processes and threads. Absent: none. */
  readonly pids?: number;
}

/**
 * A pod's own limits (F61): what its containers may have together, so that pages that outlive a container (an emptyDir in
 * memory) still count. A container without a limit leaves the pod without that limit. `maxPids` 0: no bound on processes.
 */
export function podLimits({ spec }: Pod, maxPids: number): GroupLimits {
  const all = [...(spec.initContainers ?? []), ...spec.containers];
  const limited = (name: string): boolean => all.every(({ resources }) => resources.limits?.[name] !== undefined);
  const amount = (of: (container: Container) => number | undefined): number =>
    togetherOf(spec, (container) => of(container as Container) ?? 0);
  return {
    cpuShares: Math.max(
      2,
      amount((container) => engineResources(container).cpuShares),
    ),
    ...(limited('cpu') ? { cpuQuotaMicros: amount((container) => engineResources(container).cpuQuotaMicros) } : {}),
    ...(limited('memory') ? { memoryBytes: amount((container) => engineResources(container).memoryBytes) } : {}),
    ...(maxPids > 0 ? { pids: maxPids } : {}),
  };
}

/** `cpu.weight` of cgroup v2 that stands for shares of v1, on the kernel's own scales (1 to 10000 for 2 to 262144). */
export const cpuWeight = (shares: number): number =>
  Math.min(10_000, Math.max(1, 1 + Math.floor(((shares - 2) * 9_999) / 262_142)));
