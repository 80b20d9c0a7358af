import { randomBytes } from 'node:crypto';
import { wait, type Clock } from '../base/clock.ts';
import { ApiError } from '../base/errors.ts';
import type { EventBus } from './bus.ts';

/** More than this is not kept. */
const mostAnswers = 10_000;
const mostBytes = 32 << 20;
/** Those that nobody counts on are waited for so long after the last one that somebody does. */
const graceMs = 150;

export interface Gathering {
  readonly subject: string;
  readonly clock: Clock;
  /** How long to wait for those that are expected. */
  readonly timeoutMs: number;
}

/**
 * Asks everybody who listens on a subject, and gathers what they answer until `read` says that it is complete, or until the time is over:
 * whoever is late is left out. What `read` answers nothing for is not kept. Rejects with ServiceUnavailable when the bus is away.
 */
export async function gather<T>(
  bus: EventBus,
  { subject, clock, timeoutMs }: Gathering,
  question: object,
  read: (data: Uint8Array) => { readonly answer: T | undefined; readonly complete: boolean },
): Promise<readonly T[]> {
  if (!bus.connected)
    throw new ApiError('ServiceUnavailable', 'the bus is away, over which proxies and DNS servers are asked');
  const answers: T[] = [];
  let bytes = 0;
  const done = new AbortController();
  const inbox = `_INBOX.gather.${randomBytes(12).toString('hex')}`;
  const subscription = bus.subscribe(
    inbox,
    ({ data }) => {
      const { answer, complete } = read(data);
      bytes += data.length;
      if (answer === undefined || answers.length >= mostAnswers || bytes > mostBytes) return;
      answers.push(answer);
      if (complete) clock.after(graceMs, () => done.abort());
    },
    () => undefined, // what was lost is missing from the answer, which says so
  );
  try {
    const late = wait(clock, timeoutMs, done.signal).catch(() => undefined);
    await Promise.race([subscription.ready, late]);
    bus.publish({ ...{ subject, headers: {}, reply: inbox }, data: Buffer.from(JSON.stringify(question)) });
    await late;
  } finally {
    subscription.close();
  }
  return answers;
}
