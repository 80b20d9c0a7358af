import type { PodProcess } from '../../lib/client/pod-streams.ts';
import type { Session } from '../session.ts';

export interface ConverseOptions {
  readonly stdin: boolean;
  /** Keys go through as they are, and the far terminal follows the size of ours. */
  readonly tty: boolean;
}

/** Joins our input and output with those of a process elsewhere, until that ends. Resolves to its exit code, where it has one. */
export async function converse(
  session: Session,
  process: PodProcess,
  { stdin, tty }: ConverseOptions,
): Promise<number | undefined> {
  const { stdout, stderr, terminal } = session.shell;
  const over = new AbortController();
  const tellSize = (): void => {
    const size = terminal.size();
    if (size !== undefined) process.resize(size);
  };
  const restore = tty ? terminal.raw() : (): void => undefined;
  const forget = tty ? terminal.onResize(tellSize) : (): void => undefined;
  if (tty) tellSize();
  try {
    if (stdin) void feed(session, process, over.signal);
    for await (const { channel, data } of process.output)
      await (channel === 'stderr' ? stderr : stdout).writeBytes(data);
    return process.exitCode;
  } finally {
    over.abort();
    forget();
    restore();
  }
}

async function feed(session: Session, process: PodProcess, signal: AbortSignal): Promise<void> {
  try {
    for await (const data of session.shell.terminal.input(signal)) await process.write(data);
  } catch (error) {
    if (!signal.aborted) session.report(error, 'read the input');
  }
  if (!signal.aborted) process.endInput();
}
