import type { Pod } from './objects.ts';

/**
 * How long a node waits before it starts a crashed container again. The first restart in a row comes at once, the next after
 * `initial`, then twice as long each time up to `max` (API spec 3.3). A pod may choose its own by these annotations (demand E2),
 * checked when the pod or a template of it is written.
 */
export const backoffInitialAnnotation = 'troupe.dev/restart-backoff-initial';
export const backoffMaxAnnotation = 'troupe.dev/restart-backoff-max';

export interface RestartBackoff {
  readonly initialMs: number;
  readonly maxMs: number;
}

export const defaultBackoff: RestartBackoff = { initialMs: 10_000, maxMs: 300_000 };
const leastMs = 100;
const mostMs = 3_600_000;
export const backoffRule = 'must be a duration from 100ms to 1h, such as 500ms, 10s or 5m';

/** What a pod asks for, the default for the rest; what cannot be read counts as not given. */
export function restartBackoffOf({ metadata: { annotations } }: Pick<Pod, 'metadata'>): RestartBackoff {
  if (annotations === undefined) return defaultBackoff;
  const initial = backoffMsOf(annotations[backoffInitialAnnotation]);
  const max = backoffMsOf(annotations[backoffMaxAnnotation]);
  const maxMs = Math.max(max ?? Math.max(defaultBackoff.maxMs, initial ?? 0), initial ?? 0);
  return { initialMs: initial ?? Math.min(defaultBackoff.initialMs, maxMs), maxMs };
}

/** The wait before the next start when `crashes` restarts after crashes came before it in a row. */
export const restartDelayMs = ({ initialMs, maxMs }: RestartBackoff, crashes: number): number =>
  crashes === 0 ? 0 : Math.min(maxMs, initialMs * 2 ** Math.min(crashes - 1, 20));

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** The milliseconds of a text such as `500ms`; undefined for what is none or out of bounds. */
export function backoffMsOf(text: string | undefined): number | undefined {
  const found = /^([0-9]{1,9})(ms|s|m|h)$/.exec(text ?? '');
  if (found === null) return undefined;
  const ms = Number(found[1]) * (unitsMs[found[2] ?? ''] ?? 0);
  return ms >= leastMs && ms <= mostMs ? ms : undefined;
}
