import type { Pod } from './objects.ts';

/**
 * A pod that is deleted is first taken out of traffic everywhere, and its requests under way may end, before it is told to stop. For how
 * long at most, a pod may choose by this annotation; checked when the pod or a template of it is written.
 */
export const withdrawalTimeoutAnnotation = 'troupe.dev/withdrawal-timeout-seconds';
export const withdrawalTimeoutRule = 'must be a number of seconds from 0 (do not wait) to 3600, such as 10 or 0.5';

const defaultMs = 5_000;
const mostMs = 3_600_000;

/** The milliseconds of a text such as `10` or `0.5`; undefined for what is none or out of bounds. */
export function withdrawalTimeoutMsOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,4}(\.[0-9]{1,3})?$/.test(text)) return undefined;
  const ms = Math.round(Number(text) * 1000);
  return ms <= mostMs ? ms : undefined;
}

/**
 * How long the wait may last in all, of a grace period of `graceMs`, which begins with it. By default 5 s and never more than half of
 * the grace, so that the program keeps time to end; what a pod asks for is bounded by the grace alone.
 */
export function withdrawalBoundMs({ metadata: { annotations } }: Pick<Pod, 'metadata'>, graceMs: number): number {
  const asked = withdrawalTimeoutMsOf(annotations?.[withdrawalTimeoutAnnotation]);
  return asked === undefined ? Math.min(defaultMs, graceMs / 2) : Math.min(asked, graceMs);
}
