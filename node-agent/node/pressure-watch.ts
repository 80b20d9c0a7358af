import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../lib/base/clock.ts';
import type { Health } from './node-status.ts';

type Pressure = Pick<Health, 'memory' | 'disk' | 'processes'>;

const everyMs = 15_000;

/** Looks every 15 s what the machine is short of; the returned function gives the last finding. */
export function watchPressure(
  look: () => Promise<Pressure>,
  run: { readonly clock: Clock; readonly signal: AbortSignal; readonly onChange: () => void },
): () => Pressure {
  let last: Pressure = { memory: undefined, disk: undefined, processes: undefined };
  const once = async (): Promise<void> => {
    const found = await look();
    const changed = !isDeepStrictEqual(isShort(found), isShort(last)); // the exact figures are no news
    if (changed) last = found;
    if (changed) run.onChange();
    if (!run.signal.aborted) run.clock.after(everyMs, () => void once());
  };
  run.clock.after(0, () => void once());
  return () => last;
}

const isShort = (pressure: Pressure): readonly boolean[] => Object.values(pressure).map((why) => why !== undefined);
