/** Time by argument, so that a test can turn the clock by hand. */
export interface Clock {
  /** Wall time in milliseconds since 1970. */
  now(): number;
  /** A steady clock in milliseconds for measuring spans; it never jumps. */
  monotonic(): number;
  /** Calls `run` once after `ms`. The returned function cancels; cancelling twice is harmless. */
  after(ms: number, run: () => void): () => void;
}

/** The machine's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolves after `ms`, or at once with rejection by `signal.reason` when aborted. */
export function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

let lastSecond = NaN;
let lastText = '';

/** RFC 3339 with whole seconds, the form of every `Time` in the API. Of one second it is written once. */
export function rfc3339(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastText = new Date(second * 1000).toISOString().slice(0, 19) + 'Z';
    lastSecond = second;
  }
  return lastText;
}
/** RFC 3339 with microseconds, the form of `MicroTime`. */
export const rfc3339Micro = (ms: number): string => new Date(ms).toISOString().slice(0, 23) + '000Z';
