import type { Clock } from '../lib/base/clock.ts';
import type { RuntimeContainer } from './runtime/runtime.ts';

/** A clock whose `now` is the wall time of its making plus what has passed since: it never jumps, and ends no wait too early or late. */
export function steadyClock(clock: Clock): Clock {
  const beganMs = clock.now() - clock.monotonic();
  return {
    now: () => beganMs + clock.monotonic(),
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
  };
}

/** When the things that the engine stamped happened by the agent's steady clock, in ms. */
export interface SteadyTimes {
  /** When the agent last looked. */
  readonly seenMs: number;
  readonly startedMs?: number;
  readonly endedMs?: number;
}

/** A container as the engine stamped it, and as it was translated before. */
export interface Stamped {
  readonly is: Pick<RuntimeContainer, 'startedAtMs' | 'finishedAtMs'>;
  readonly at?: SteadyTimes;
}

export interface TwoClocks {
  readonly clock: Clock;
  readonly wall: () => number;
}

/** How long ago a wall-clock moment was: never less than nothing, whatever was done to the clock. */
export const ageMs = ({ wall }: Pick<TwoClocks, 'wall'>, wallMs: number): number => Math.max(0, wall() - wallMs);

/**
 * Translates the engine's stamps once, when they are first seen, so that a later jump of the wall clock changes nothing. What
 * happened since the last look is at most as old as that look; only what was there before the agent hangs on the wall clock.
 */
export function steadyTimes({ is }: Stamped, before: Stamped | undefined, clocks: TwoClocks): SteadyTimes {
  const nowMs = clocks.clock.now();
  const sinceLook = before?.at === undefined ? Infinity : nowMs - before.at.seenMs;
  const moment = (stamp: number): number => nowMs - Math.min(ageMs(clocks, stamp), sinceLook);
  const known = before?.at;
  const startedMs =
    is.startedAtMs === undefined
      ? undefined
      : is.startedAtMs === before?.is.startedAtMs && known?.startedMs !== undefined
        ? known.startedMs
        : moment(is.startedAtMs);
  const endedMs =
    is.finishedAtMs === undefined
      ? undefined
      : is.finishedAtMs === before?.is.finishedAtMs && known?.endedMs !== undefined
        ? known.endedMs
        : moment(is.finishedAtMs);
  return {
    seenMs: nowMs,
    ...(startedMs === undefined ? {} : { startedMs }),
    ...(endedMs === undefined ? {} : { endedMs }),
  };
}
