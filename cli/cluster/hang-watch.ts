import { request } from 'node:http';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { splitAddress } from '../../lib/base/telemetry.ts';

/** When a part that runs but answers nothing counts as hanging. */
export interface HangLimits {
  /** How long an answer may take. */
  readonly answerMs: number;
  /** So many in a row that did not come mean that it hangs. */
  readonly silences: number;
  /** Between an answer and the next question. */
  readonly pauseMs: number;
}

/**
 * One that sends traffic holds everybody up who waits for it: 2.5 s at most, and it is started again. Its rules stay in the kernel meanwhile. The
 * others may be busy for long without harm.
 */
export const hangLimits = {
  proxy: { answerMs: 1_000, silences: 2, pauseMs: 500 },
  others: { answerMs: 5_000, silences: 6, pauseMs: 10_000 },
} as const satisfies Record<string, HangLimits>;

export interface HangWatch {
  /** `host:port` of its health door. */
  readonly address: string;
  readonly limits: HangLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onHang: () => void;
  /** Default: asks `/livez`. */
  readonly ask?: (address: string, timeoutMs: number) => Promise<'answered' | 'silent'>;
}

/**
 * Asks a process again and again whether it lives, until `signal` aborts, and tells once it has been silent too often in a row. Whatever it
 * answers is life, and so is a door that is not open yet. Questions are counted, not time: if this process stood still, that says nothing.
 */
export async function watchForHang(watch: HangWatch): Promise<void> {
  const { address, limits, clock, signal, onHang, ask = askWhetherAlive } = watch;
  let silences = 0;
  while (!signal.aborted) {
    silences = (await ask(address, limits.answerMs)) === 'silent' ? silences + 1 : 0;
    if (signal.aborted) return;
    if (silences >= limits.silences) return onHang();
    if (silences === 0) await wait(clock, limits.pauseMs, signal).catch(() => undefined);
  }
}

function askWhetherAlive(address: string, timeoutMs: number): Promise<'answered' | 'silent'> {
  return new Promise((resolve) => {
    const asking = request({ ...splitAddress(address), path: '/livez', agent: false }, (answer) => {
      answer.resume();
      resolve('answered');
    });
    asking.setTimeout(timeoutMs, () => {
      resolve('silent');
      asking.destroy();
    });
    asking.on('error', () => {
      resolve('answered');
    });
    asking.end();
  });
}
