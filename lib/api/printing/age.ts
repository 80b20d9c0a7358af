const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;

/** The largest units that matter, as kubectl shows them; each row holds below its bound. */
const steps = [
  { below: 2 * minute, show: (ms: number) => `${whole(ms, second)}s` },
  { below: 10 * minute, show: (ms: number) => two(ms, [minute, 'm'], [second, 's']) },
  { below: 3 * hour, show: (ms: number) => `${whole(ms, minute)}m` },
  { below: 8 * hour, show: (ms: number) => two(ms, [hour, 'h'], [minute, 'm']) },
  { below: 2 * day, show: (ms: number) => `${whole(ms, hour)}h` },
  { below: 8 * day, show: (ms: number) => two(ms, [day, 'd'], [hour, 'h']) },
  { below: 2 * year, show: (ms: number) => `${whole(ms, day)}d` },
  { below: 8 * year, show: (ms: number) => two(ms, [year, 'y'], [day, 'd']) },
  { below: Infinity, show: (ms: number) => `${whole(ms, year)}y` },
] as const;

const whole = (ms: number, unit: number): number => Math.floor(ms / unit);

type Unit = readonly [ms: number, letter: string];
function two(ms: number, [large, big]: Unit, [small, little]: Unit): string {
  const rest = whole(ms % large, small);
  return rest === 0 ? `${whole(ms, large)}${big}` : `${whole(ms, large)}${big}${rest}${little}`;
}

/** A span of time for a person: `45s`, `5m30s`, `3d4h`. Clocks differ a little, so that just below zero is `0s`; further below is `<invalid>`. */
export function durationText(ms: number): string {
  if (Number.isNaN(ms)) return '<unknown>';
  if (ms < 0) return ms > -2 * second ? '0s' : '<invalid>';
  return steps.find((step) => ms < step.below)?.show(ms) ?? '<unknown>';
}

/** How long ago a moment (milliseconds since 1970) was; `<unknown>` for NaN. */
export const ageOf = (thenMs: number, nowMs: number): string => durationText(nowMs - thenMs);

/** As `ageOf`, for a time of the API that may be missing. */
export const ageOfTime = (time: string | null | undefined, nowMs: number): string =>
  ageOf(time === null || time === undefined ? NaN : Date.parse(time), nowMs);
