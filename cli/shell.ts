import type { Clock } from '../lib/base/clock.ts';
import type { TerminalSize } from '../lib/api/streams.ts';
import type { Client } from '../lib/client/client.ts';
import type { PodStreams } from '../lib/client/pod-streams.ts';

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
  /** Opens no connection by itself; the first call does. `asPod`: with the token of the pod that this runs in. The caller closes it. */
  connect(address: string, options: { readonly timeoutMs: number; readonly asPod: boolean }): Promise<Client>;
  /** Streams into pods; as with `connect`, the caller closes it. */
  connectStreams(address: string, options: { readonly timeoutMs: number }): Promise<PodStreams>;
  readonly terminal: Terminal;
}

/** What a person types into and looks at, for commands that hand it to a program elsewhere. */
export interface Terminal {
  /** Whether standard input is a terminal. */
  readonly isInput: boolean;
  /** Standard input as it comes, until it ends or is aborted. One reader. */
  input(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** From now on every key goes through as it is, Ctrl-C too, until the returned function is called. */
  raw(): () => void;
  /** Undefined where there is no terminal. */
  size(): TerminalSize | undefined;
  /** Calls on each change of the size; the returned function forgets it. */
  onResize(listener: () => void): () => void;
}

export interface Sink {
  write(text: string): void;
  /** Bytes as they are; resolves when more may be written. */
  writeBytes(bytes: Uint8Array): Promise<void>;
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

/** What was run elsewhere ended with this exit code, which becomes ours; nothing more to print. */
export class ExitWith extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit code ${code}`);
    this.name = 'ExitWith';
    this.code = code;
  }
}
