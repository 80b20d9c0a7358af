import { readFileSync } from 'node:fs';
import { tokenFolder } from '../lib/api/defaults/token-volume.ts';
import { ApiError, messageOf } from '../lib/base/errors.ts';
import { systemClock, type Clock } from '../lib/base/clock.ts';
import { UsageError, type Shell, type Sink, type Terminal } from './shell.ts';

/** The shell of a real process. The first Ctrl-C or SIGTERM aborts the signal, a second one ends the process at once. */
export function processShell(): Shell {
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Error('interrupted'));
  };
  return {
    stdout: sinkOf(process.stdout),
    stderr: sinkOf(process.stderr),
    env: process.env,
    clock: waitingClock,
    get signal() {
      // Only when a command looks at it: one that handles signals itself (up) must not be listened over.
      if (!process.listeners('SIGINT').includes(onSignal)) {
        process.on('SIGINT', onSignal);
        process.on('SIGTERM', onSignal);
      }
      return stop.signal;
    },
    readStdin,
    connect: async (address, options) => {
      const { newClient } = await import('../lib/client/grpc-client.ts');
      return newClient({
        ...{ address, channels: 1, userAgent: 'troupe-cli', timeoutMs: options.timeoutMs },
        ...(options.asPod ? { token: podToken } : {}),
      });
    },
    connectStreams: async (address, { timeoutMs }) => {
      const { newPodStreams } = await import('../lib/client/pod-streams.ts');
      return newPodStreams({ address, userAgent: 'troupe-cli', timeoutMs });
    },
    terminal: processTerminal,
  };
}

/** Read anew each time: it is renewed while the pod runs. */
function podToken(): string {
  try {
    return readFileSync(`${tokenFolder}/token`, 'utf8').trim();
  } catch (error) {
    throw new ApiError(
      'Unauthorized',
      `this pod has no token for the API (${messageOf(error)}); name another with --server`,
    );
  }
}

/** Its timers keep the process alive: while a command waits to try again, nothing else may do so. */
const waitingClock: Clock = {
  ...systemClock,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** For a command that others depend on for as long as it runs: it goes on when nobody reads what it says any more. */
export function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error');
    stream.on('error', () => undefined);
  }
}

function sinkOf(stream: NodeJS.WriteStream): Sink {
  // `troupe get pods | head` ends the reader early; that is no error of ours.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  return {
    write: (text) => {
      stream.write(text);
    },
    writeBytes: (bytes) =>
      new Promise((resolve) => {
        if (stream.write(bytes)) resolve();
        else stream.once('drain', resolve);
      }),
    isTerminal: stream.isTTY,
    get columns() {
      return stream.columns;
    },
  };
}

const processTerminal: Terminal = {
  get isInput() {
    return process.stdin.isTTY;
  },
  async *input(signal) {
    const { stdin } = process;
    const stop = (): void => void stdin.destroy();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) return;
    try {
      yield* stdin as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  },
  raw() {
    const { stdin } = process;
    if (!stdin.isTTY) return () => undefined;
    const before = stdin.isRaw;
    const restore = (): void => {
      process.off('exit', restore);
      if (!stdin.destroyed) stdin.setRawMode(before);
    };
    stdin.setRawMode(true);
    process.on('exit', restore); // whatever ends us must not leave the terminal deaf
    return restore;
  },
  size() {
    const { columns, rows, isTTY } = process.stdout;
    return isTTY ? { columns, rows } : undefined;
  },
  onResize(listener) {
    process.stdout.on('resize', listener);
    return () => process.stdout.off('resize', listener);
  },
};

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY)
    throw new UsageError('-f -: standard input is a terminal; give a manifest by < file or a pipe');
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new UsageError(`-f -: standard input could not be read: ${messageOf(error)}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}
