import { setTimeout as delay } from 'node:timers/promises';

/** Long, for machines that do much else at the time, and below the time that a test has by default. */
const defaultMs = 15_000;

/** Resolves to what `check` answers once that is truthy (a throw counts as not yet); fails after `timeoutMs`, naming `what`. */
export async function until<T>(
  check: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly what: string | (() => string); readonly everyMs?: number },
): Promise<NonNullable<T>> {
  const deadline = performance.now() + (options.timeoutMs ?? defaultMs);
  let last: unknown;
  for (;;) {
    try {
      const answer = await check();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const seen = last instanceof Error ? last.message : String(last);
      const what = typeof options.what === 'string' ? options.what : options.what();
      throw new Error(`not so after ${options.timeoutMs ?? defaultMs} ms: ${what} (last: ${seen})`);
    }
    await delay(options.everyMs ?? 10);
  }
}
