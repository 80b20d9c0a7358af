import type { Probe } from '../../lib/api/objects.ts';

/** How one probe of one container stands. */
export interface Progress {
  /** What the probe says for now; it changes only when a threshold is reached. */
  readonly passing: boolean;
  /** Outcomes in a row. */
  readonly successes: number;
  readonly failures: number;
  /** So many failures in a row that the threshold is reached. */
  readonly failed: boolean;
  /** Whether it has ever succeeded. */
  readonly passed: boolean;
  /** For so long after the first try, and until the first success, it is tried often and failures do not count. */
  readonly eagerMs: number;
}

/**
 * Between two tries of an eager probe, since a pod should serve as soon as it can (demand D2): at first at least the one, later at most the other. A
 * command is dear and is tried by the latter alone.
 */
const [eagerLeastMs, eagerMostMs] = [10, 100];

export const firstProgress = (passing: boolean, eagerMs: number): Progress => ({
  passing,
  successes: 0,
  failures: 0,
  failed: false,
  passed: false,
  eagerMs,
});

/** The progress after one more outcome, `sinceFirstMs` after the first try. */
export function advance(progress: Progress, ok: boolean, probe: Probe, sinceFirstMs: number): Progress {
  if (!ok && sinceFirstMs < progress.eagerMs) return { ...progress, successes: 0 };
  const successes = ok ? progress.successes + 1 : 0;
  const failures = ok ? 0 : progress.failures + 1;
  const failed = failures >= probe.failureThreshold;
  const passing = successes >= probe.successThreshold || (progress.passing && !failed);
  return { passing, successes, failures, failed, passed: progress.passed || ok, eagerMs: 0 };
}

/** From the start of one try to the start of the next; the one began `sinceFirstMs` after the first. An eager probe's waits double from 10 to 100 ms. */
export function intervalMs(progress: Progress, probe: Probe, sinceFirstMs: number): number {
  if (progress.eagerMs === 0) return probe.periodSeconds * 1000;
  return probe.exec === undefined ? Math.min(eagerMostMs, Math.max(eagerLeastMs, sinceFirstMs)) : eagerMostMs;
}
