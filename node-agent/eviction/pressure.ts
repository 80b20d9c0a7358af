import { describeShortage, type Rooms, type Signal, type Threshold } from './thresholds.ts';

/** What the node's conditions speak of. */
export type Shortage = 'memory' | 'disk' | 'processes';

export const shortageOf = (signal: Signal): Shortage =>
  signal === 'memory.available' ? 'memory' : signal === 'pid.available' ? 'processes' : 'disk';

/** The shortages of now and of a while ago. */
export type Pressures = Readonly<Partial<Record<Shortage, Pressure>>>;
export interface Pressure {
  /** For people; as it was when it began: figures that move all the time are no news. */
  readonly message: string;
  /** When it was last so, ms of the steady clock. */
  readonly metMs: number;
}

/**
 * A shortage begins at once and ends when no threshold has been crossed for `holdMs`: what was freed is soon taken again, and a node
 * must not swing between taking pods and ending them.
 */
export function pressuresAfter(
  before: Pressures,
  short: readonly Threshold[],
  rooms: Rooms,
  { nowMs, holdMs }: { readonly nowMs: number; readonly holdMs: number },
): Pressures {
  const next: Partial<Record<Shortage, Pressure>> = {};
  for (const [kind, pressure] of Object.entries(before) as [Shortage, Pressure][])
    if (nowMs - pressure.metMs < holdMs) next[kind] = pressure;
  for (const threshold of short) {
    const kind = shortageOf(threshold.signal);
    next[kind] = { message: next[kind]?.message ?? describeShortage(threshold, rooms), metMs: nowMs };
  }
  return next;
}
