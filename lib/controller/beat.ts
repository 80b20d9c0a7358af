import type { Clock } from '../base/clock.ts';

interface Beat {
  readonly waiting: Set<() => void>;
  readonly cancel: () => void;
}

/** By when they come. */
const beats = new WeakMap<Clock, Map<number, Beat>>();

/**
 * Resolves at the next multiple of `everyMs` on the steady clock, at one moment for all of this process who wait for it, so that what they
 * then ask goes into one call and one write of the store. Rejects by `signal.reason` when aborted.
 */
export function nextBeat(clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const { waiting, cancel } = beatAt(clock, (Math.floor(clock.monotonic() / everyMs) + 1) * everyMs);
    const onBeat = (): void => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    const onAbort = (): void => {
      waiting.delete(onBeat);
      if (waiting.size === 0) cancel();
      reject(signal.reason as Error);
    };
    waiting.add(onBeat);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function beatAt(clock: Clock, dueMs: number): Beat {
  let coming = beats.get(clock);
  if (coming === undefined) beats.set(clock, (coming = new Map<number, Beat>()));
  const known = coming.get(dueMs);
  if (known !== undefined) return known;
  const waiting = new Set<() => void>();
  const stop = clock.after(dueMs - clock.monotonic(), () => {
    coming.delete(dueMs);
    for (const onBeat of waiting) onBeat();
  });
  const cancel = (): void => {
    coming.delete(dueMs);
    stop();
  };
  const beat = { waiting, cancel };
  coming.set(dueMs, beat);
  return beat;
}
