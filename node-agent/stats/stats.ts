import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { serveStats, type NodeStats, type StatsQuestion } from '../../lib/bus/node-stats.ts';
import { metricsText } from './prometheus.ts';
import { newKernel, type Kernel } from './readings.ts';
import { startSampler, type PodInSight } from './sampler.ts';
import { summary } from './summary.ts';

export interface StatsOptions {
  readonly cluster: string;
  readonly node: string;
  readonly bus: EventBus | undefined;
  readonly pods: () => Iterable<PodInSight>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly intervalMs: number;
  /** Labels of pods that become a metric. */
  readonly podLabels: readonly string[];
  /** A folder on the disk that the node's figures tell of. */
  readonly dataDir?: string;
  readonly kernel?: Kernel;
}

export interface NodeMeter {
  /** What runs on this node and what it uses. */
  stats(question: StatsQuestion): Promise<NodeStats>;
  /** The same for Prometheus. */
  readonly metrics: () => Promise<string>;
}

/** Readers of one moment share one reading. */
const freshMs = 1_000;

/** Measures all that runs on this node from now on, and answers for it on the bus. */
export function startStats(options: StatsOptions): NodeMeter {
  const { cluster, node, bus, clock, signal, podLabels } = options;
  const { pods, intervalMs, kernel = newKernel(options.dataDir) } = options;
  const sampler = startSampler({ kernel, pods, clock, signal, intervalMs });
  const stats = async (question: StatsQuestion): Promise<NodeStats> =>
    summary(node, await sampler.samples(question.maxAgeMs ?? freshMs), question, clock);
  if (bus !== undefined) serveStats(bus, { cluster, node, signal }, stats);
  return { stats, metrics: async () => metricsText(node, await sampler.samples(freshMs), podLabels) };
}
