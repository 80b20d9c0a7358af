import type { ConfigTable } from '../../lib/base/config.ts';

export const autoscalerOptions = {
  intervalMs: {
    flag: '--interval',
    env: 'TROUPE_AUTOSCALER_INTERVAL',
    default: 15_000,
    unit: 'ms',
    help: 'How often each autoscaler is looked at',
  },
  tolerance: {
    flag: '--tolerance',
    env: 'TROUPE_AUTOSCALER_TOLERANCE',
    default: 0.1,
    help: 'How far a metric may be off its target without effect, as a part of it, where the autoscaler does not say',
    parse: partOfOne,
  },
  downscaleStabilizationMs: {
    flag: '--downscale-stabilization',
    env: 'TROUPE_AUTOSCALER_DOWNSCALE_STABILIZATION',
    default: 300_000,
    unit: 'ms',
    help: 'Down to what was wanted at most within so long, where the autoscaler does not say',
  },
  cpuInitializationMs: {
    flag: '--cpu-initialization',
    env: 'TROUPE_AUTOSCALER_CPU_INITIALIZATION',
    default: 300_000,
    unit: 'ms',
    help: 'So long after its start the cpu of a pod counts only when it was measured while the pod was ready',
  },
  initialReadinessMs: {
    flag: '--initial-readiness',
    env: 'TROUPE_AUTOSCALER_INITIAL_READINESS',
    default: 30_000,
    unit: 'ms',
    help: 'A pod that became unready so soon after its start was never ready yet',
  },
  rateWindowMs: {
    flag: '--rate-window',
    env: 'TROUPE_AUTOSCALER_RATE_WINDOW',
    default: 15_000,
    unit: 'ms',
    help: 'Rates, such as requests per second, are means over so long',
  },
  askTimeoutMs: {
    flag: '--ask-timeout',
    env: 'TROUPE_AUTOSCALER_ASK_TIMEOUT',
    default: 2_000,
    unit: 'ms',
    help: 'Deadline for what pods, nodes and proxies are asked',
  },
} as const satisfies ConfigTable;

function partOfOne(text: string): number {
  const part = Number(text);
  if (text.trim() === '' || !(part >= 0 && part < 1)) throw new Error('must be a number from 0 up to 1, such as 0.1');
  return part;
}
