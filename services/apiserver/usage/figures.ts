import { durationText } from '../../../lib/api/codec/scalars.ts';
import { bytesQuantity, canonical } from '../../../lib/api/quantity.ts';
import type { ContainerMetrics, NodeMetrics, PodMetrics, UsageAmounts, UsageSample } from '../../../lib/api/usage.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import type { ContainerStats, CpuStats, MachineStats, PodStats, StatsHistory } from '../../../lib/bus/node-stats.ts';

/**
 * What a pod uses. Undefined while a container that runs has no rate yet: a sum of some would pass for the whole. Containers
 * that have ended use nothing and are left out.
 */
export function podMetrics(metadata: PodMetrics['metadata'], stats: PodStats): PodMetrics | undefined {
  const containers = stats.containers.flatMap(containerMetrics);
  if (containers.length === 0 || containers.length < stats.containers.length) return undefined;
  return { metadata, ...momentOf(stats.containers), containers };
}

function containerMetrics({ name, cpu, memory, history }: ContainerStats): ContainerMetrics[] {
  const usage = usageOf(cpu, memory);
  return usage === undefined ? [] : [{ name, usage, ...samplesOf(history) }];
}

/** What a node uses with all that runs on it. Undefined while there is no rate yet. */
export function nodeMetrics(metadata: NodeMetrics['metadata'], machine: MachineStats): NodeMetrics | undefined {
  const usage = usageOf(machine.cpu, machine.memory);
  return usage === undefined ? undefined : { metadata, ...momentOf([machine]), usage, ...samplesOf(machine.history) };
}

function usageOf(
  cpu: CpuStats | undefined,
  memory: { readonly workingSetBytes: number } | undefined,
): UsageAmounts | undefined {
  if (cpu?.nanoCores === undefined || memory === undefined) return undefined;
  return { cpu: canonical(`${cpu.nanoCores}n`), memory: bytesQuantity(memory.workingSetBytes) };
}

/** The time of the oldest reading, and the longest window. */
function momentOf(readings: readonly { readonly time: string; readonly cpu?: CpuStats }[]): {
  readonly timestamp: string;
  readonly window: string;
} {
  const times = readings.map(({ time }) => Date.parse(time));
  const windowMs = Math.max(...readings.map(({ cpu }) => cpu?.windowMs ?? 0));
  return { timestamp: rfc3339(Math.min(...times)), window: durationText(Math.round(windowMs) * 1_000_000) };
}

function samplesOf(history: StatsHistory | undefined): { readonly history?: readonly UsageSample[] } {
  if (history === undefined) return {};
  const { timeMs, cpuNanos, workingSetBytes } = history;
  const samples = timeMs.slice(1).map((time, index) => {
    const spanMs = time - (timeMs[index] ?? time);
    const used = (cpuNanos[index + 1] ?? NaN) - (cpuNanos[index] ?? NaN);
    return {
      timeMs: time,
      cpuNanoCores: Math.round((used / spanMs) * 1000),
      memoryBytes: workingSetBytes[index + 1] ?? NaN,
    };
  });
  // What the kernel did not tell is no number; such a moment is left out.
  return { history: samples.filter((sample) => Object.values(sample).every(Number.isSafeInteger)) };
}
