import { ApiError, messageOf } from '../lib/base/errors.ts';
import { systemClock, type Clock } from '../lib/base/clock.ts';
import { UsageError, type Shell, type Sink } from './shell.ts';

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
      return newClient({ address, channels: 1, userAgent: 'troupe-cli', timeoutMs: options.timeoutMs });
    },
    connectBus: async (servers, { cluster, timeoutMs }) => {
      const { connectBus } = await import('../lib/bus/nats-bus.ts');
      const { silentLog } = await import('../lib/base/log.ts');
      const bus = connectBus({ servers: servers.split(','), name: 'troupe-cli', cluster, log: silentLog });
      try {
        await connected(bus, timeoutMs);
      } catch (error) {
        await bus.close().catch(() => undefined); // the reason that matters is the one thrown below
        throw new ApiError(
          'ServiceUnavailable',
          `the bus at ${servers} does not answer within ${timeoutMs / 1000} s`,
          {},
          { cause: error },
        );
      }
      return bus;
    },
  };
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

function sinkOf(stream: NodeJS.WriteStream): Sink {
  // `troupe get pods | head` ends the reader early; that is no error of ours.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  return {
    write: (text) => {
      stream.write(text);
    },
    isTerminal: stream.isTTY,
    get columns() {
      return stream.columns;
    },
  };
}

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

/** Resolves when the bus is there. */
function connected(
  bus: { onStatus(listener: (connected: boolean) => void): () => void },
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // A timer that keeps the process alive: nothing else may do so while we wait.
    const timer = setTimeout(() => {
      forget();
      reject(new Error('timeout'));
    }, timeoutMs);
    const forget = bus.onStatus((isConnected) => {
      if (!isConnected) return;
      clearTimeout(timer);
      // The first call comes before onStatus has returned.
      queueMicrotask(() => {
        forget();
      });
      resolve();
    });
  });
}
