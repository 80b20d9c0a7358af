import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTroupe } from '../../../cli/program.ts';
import type { Shell } from '../../../cli/shell.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { MemoryBus } from '../../../lib/bus/memory-bus.ts';
import type { Client } from '../../../lib/client/client.ts';
import { epochMs } from '../../support/builders.ts';
import { FakeClient } from './fake-client.ts';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  readonly bus?: MemoryBus;
}

/** A command that is still running, such as a watch. */
export interface Running {
  readonly said: Promise<Said>;
  out(): string;
  err(): string;
  interrupt(): void;
}

/** Five minutes after the objects of the builders were made. */
export const nowMs = epochMs + 5 * 60_000;

/** Starts one command line, its words separated by blanks unless given one by one. */
export function start(client: Client, line: string | readonly string[], options: RunOptions = {}): Running {
  const stop = new AbortController();
  let out = '';
  let err = '';
  const isTerminal = options.isTerminal ?? false;
  const shell: Shell = {
    stdout: { write: (text) => void (out += text), isTerminal },
    stderr: { write: (text) => void (err += text), isTerminal },
    env: options.env ?? {},
    clock: { ...systemClock, now: () => nowMs },
    signal: stop.signal,
    readStdin: async () => options.stdin ?? '',
    connect: async () => client,
    connectBus: async (servers) => {
      if (options.bus === undefined) throw new ApiError('ServiceUnavailable', `the bus at ${servers} does not answer`);
      return new MemoryBus(options.bus.broker); // a command closes its own
    },
  };
  const words = typeof line === 'string' ? line.split(' ') : line;
  const said = runTroupe(words, shell).then((code) => ({ code, out, err }));
  return { said, out: () => out, err: () => err, interrupt: () => stop.abort(new Error('interrupted')) };
}

export const troupe = (client: Client, line: string | readonly string[], options: RunOptions = {}): Promise<Said> =>
  start(client, line, options).said;

/** A folder with these files, for as long as `work` takes. */
export async function withFiles<T>(
  files: Readonly<Record<string, string>>,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'troupe-cli-'));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export { FakeClient };
