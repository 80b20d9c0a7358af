import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runTroupe } from '../../../cli/program.ts';
import type { Shell } from '../../../cli/shell.ts';
import type { TerminalSize } from '../../../lib/api/streams.ts';
import { systemClock, type Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Client } from '../../../lib/client/client.ts';
import type { PodStreams } from '../../../lib/client/pod-streams.ts';
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
  readonly streams?: PodStreams;
  /** Default: that of the system, at a time that stands still. */
  readonly clock?: Clock;
  /** The size of the terminal, where there is one; and who is told that it has changed. */
  readonly size?: () => TerminalSize;
  readonly resized?: Set<() => void>;
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
  const sink = (take: (text: string) => void): Shell['stdout'] => ({
    write: take,
    writeBytes: async (bytes) => {
      take(Buffer.from(bytes).toString());
    },
    isTerminal,
  });
  const shell: Shell = {
    stdout: sink((text) => (out += text)),
    stderr: sink((text) => (err += text)),
    env: options.env ?? {},
    clock: options.clock ?? { ...systemClock, now: () => nowMs },
    signal: stop.signal,
    readStdin: async () => options.stdin ?? '',
    connect: async () => client,
    connectStreams: async (address) => {
      if (options.streams === undefined) throw new ApiError('ServiceUnavailable', `no streams at ${address}`);
      return { ...options.streams, close: () => undefined };
    },
    terminal: {
      isInput: isTerminal,
      input: async function* () {
        if (options.stdin !== undefined) yield Buffer.from(options.stdin);
      },
      raw: () => () => undefined,
      size: () => options.size?.(),
      onResize: (listener) => {
        options.resized?.add(listener);
        return () => options.resized?.delete(listener);
      },
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
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export { FakeClient };
