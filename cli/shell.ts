import type { Clock } from '../lib/base/clock.ts';
import type { EventBus } from '../lib/bus/bus.ts';
import type { Client } from '../lib/client/client.ts';

/**
 * Everything outside the process that a command may touch, given by argument: `process.ts` has the real one,
 * tests have theirs. Commands write to `stdout` what was asked for and to `stderr` what is said about it.
 */
export interface Shell {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Its timers keep the process alive. */
  readonly clock: Clock;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** All of standard input as text. Rejects with UsageError when it is a terminal, where nothing would ever come. */
  readStdin(): Promise<string>;
  /** Opens no connection by itself; the first call does. The caller closes it. */
  connect(address: string, options: { readonly timeoutMs: number }): Promise<Client>;
  /** A bus that is connected, or ServiceUnavailable with the address. The caller closes it. */
  connectBus(servers: string, options: { readonly cluster: string; readonly timeoutMs: number }): Promise<EventBus>;
}

export interface Sink {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** How many characters a line of the terminal holds now; undefined where it does not say. */
  readonly columns?: number | undefined;
}

/** The words of the command line make no sense: exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The command failed and has already said how: exit code 1, nothing more to print. */
export class AlreadyReported extends Error {
  constructor() {
    super('failed');
    this.name = 'AlreadyReported';
  }
}
