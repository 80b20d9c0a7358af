export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** 0..1: the share of the delay that is random, so that many clients do not come back together. */
  readonly jitter?: number;
}

/** The wait before try `attempt` (0 is the first retry): doubling from `firstMs` to `maxMs`, less a random share. */
export function backoffMs(attempt: number, options: BackoffOptions, random: () => number = Math.random): number {
  const full = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30));
  return full * (1 - (options.jitter ?? 0.2) * random());
}
