import type { Json } from './json.ts';

/** What something uses: `cpu` in CPUs, `memory` (the working set) in bytes, as quantities. */
export interface UsageAmounts {
  readonly cpu: string;
  readonly memory: string;
}
/** A moment of the past. */
export interface UsageSample {
  readonly timeMs: number;
  /** The mean since the sample before. */
  readonly cpuNanoCores: number;
  readonly memoryBytes: number;
}
export interface ContainerMetrics {
  readonly name: string;
  readonly usage: UsageAmounts;
  readonly history?: readonly UsageSample[];
}
interface Measured {
  readonly metadata: Json & { readonly name: string; readonly namespace?: string };
  /** When the figures were taken. */
  readonly timestamp: string;
  /** CPU is the mean over so long before, such as `5.1s`. */
  readonly window: string;
}
/** As metrics.k8s.io/v1beta1 has it. */
export interface PodMetrics extends Measured {
  readonly containers: readonly ContainerMetrics[];
}
/** As metrics.k8s.io/v1beta1 has it. */
export interface NodeMetrics extends Measured {
  readonly usage: UsageAmounts;
  readonly history?: readonly UsageSample[];
}
/** A node that gave no figures, and why. */
export interface SilentNode {
  readonly node: string;
  readonly message: string;
}
/** What the service `Metrics` answers. */
export interface UsageReply<T> {
  readonly items?: readonly T[];
  readonly silent?: readonly SilentNode[];
}
