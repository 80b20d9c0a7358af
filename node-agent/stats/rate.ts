import type { Past } from './history.ts';

/** How much of a CPU was used over a window that ended with the last reading. */
export interface Rate {
  readonly nanoCores: number;
  readonly windowMs: number;
}

/** Shorter windows than this say more about the scheduler of the kernel than about the program. */
const minWindowMs = 900;

/**
 * The rate from the newest row of history that is not too recent up to a reading; with nothing to compare to, from the start
 * of a container that started a moment ago. Undefined when there is neither.
 */
export function rateOf(
  history: Past<'atMs' | 'cpuNanos'>,
  now: { readonly atMs: number; readonly cpuNanos: number },
  startedMs?: number,
): Rate | undefined {
  for (let row = history.length - 1; row >= 0; row--) {
    const atMs = history.at(row, 'atMs') ?? NaN;
    const cpuNanos = history.at(row, 'cpuNanos') ?? NaN;
    if (now.atMs - atMs >= minWindowMs) return rateBetween({ atMs, cpuNanos }, now);
  }
  if (startedMs === undefined || now.atMs - startedMs < minWindowMs) return undefined;
  return rateBetween({ atMs: startedMs, cpuNanos: 0 }, now);
}

function rateBetween(
  before: { readonly atMs: number; readonly cpuNanos: number },
  after: { readonly atMs: number; readonly cpuNanos: number },
): Rate | undefined {
  const windowMs = after.atMs - before.atMs;
  const used = after.cpuNanos - before.cpuNanos;
  // Not a number where the kernel gave none; less than nothing where a counter was reset.
  return used >= 0 && windowMs > 0 ? { nanoCores: Math.round((used / windowMs) * 1000), windowMs } : undefined;
}
