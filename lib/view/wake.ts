import type { Clock } from '../base/clock.ts';

/** Lets one or more loops sleep until something has changed. A wake-up while nobody sleeps is not kept: look first, then sleep. */
export class Wake {
  #sleepers = new Set<() => void>();

  wake(): void {
    if (this.#sleepers.size === 0) return;
    const sleepers = this.#sleepers;
    this.#sleepers = new Set();
    for (const rouse of sleepers) rouse();
  }

  /** Resolves at the next wake-up, or when aborted. */
  next(signal: AbortSignal): Promise<void> {
    return this.#sleep(signal, () => () => undefined);
  }

  /** Resolves at the next wake-up, after `ms`, or when aborted. */
  nextOr(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    return this.#sleep(signal, (rouse) => clock.after(ms, rouse));
  }

  #sleep(signal: AbortSignal, arm: (rouse: () => void) => () => void): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const rouse = (): void => {
        disarm();
        this.#sleepers.delete(rouse);
        signal.removeEventListener('abort', rouse);
        resolve();
      };
      this.#sleepers.add(rouse);
      signal.addEventListener('abort', rouse, { once: true });
      const disarm = arm(rouse);
    });
  }
}
