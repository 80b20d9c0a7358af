import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { ContainerRuntime, RuntimeInfo } from './runtime.ts';

/** What the engine says of itself, once it answers. Says once that it does not, and asks on. */
export async function engineInfo(
  runtime: ContainerRuntime,
  run: { readonly clock: Clock; readonly log: Log; readonly signal: AbortSignal },
): Promise<RuntimeInfo> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await runtime.info();
    } catch (error) {
      if (attempt === 0) run.log.warn({ error: messageOf(error) }, 'waiting for the container engine');
      await wait(run.clock, backoffMs(attempt, { firstMs: 50, maxMs: 2_000 }), run.signal);
    }
  }
}
