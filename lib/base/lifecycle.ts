import { setMaxListeners } from 'node:events';
import { systemClock, type Clock } from './clock.ts';
import { ConfigError, HelpRequested, parseConfig, type Config, type ConfigTable } from './config.ts';
import { newLog, type Log } from './log.ts';
import { startTelemetry, type Telemetry } from './telemetry.ts';

/** Options that every process of the product has. */
export const commonOptions = {
  logLevel: {
    flag: '--log-level',
    env: 'TROUPE_LOG_LEVEL',
    default: 'info',
    help: 'trace, debug, info, warn, error or silent',
  },
  telemetry: {
    flag: '--telemetry',
    env: 'TROUPE_TELEMETRY',
    default: '127.0.0.1:0',
    unit: 'host:port',
    help: 'Where /metrics, /healthz, /livez and /readyz are served; port 0 takes a free one, empty serves none',
  },
  otlp: {
    flag: '--otlp',
    env: 'TROUPE_OTLP',
    default: '',
    unit: 'url',
    help: 'OTLP/HTTP endpoint to export spans to; empty exports none',
  },
} as const satisfies ConfigTable;

export interface ServiceContext<T extends ConfigTable> {
  readonly config: Config<T & typeof commonOptions>;
  readonly log: Log;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Aborted by the first SIGTERM or SIGINT: start nothing new. */
  readonly signal: AbortSignal;
  /** Registers what to release at the end; released in reverse order of registration, each within 5 s. */
  onStop(name: string, release: () => Promise<void> | void): void;
  /** There was one task, and it is done: ends the process as the first signal would. */
  done(): void;
}

const releaseTimeoutMs = 5_000;

/**
 * Runs one process from flags and environment to its end: the first signal, or `done()` where there was one task
 * to do. The first signal drains, the second exits 1 at once.
 * Exit codes: 0 after a clean stop, 1 when starting or running failed, 2 when the configuration is wrong.
 */
export function runService<T extends ConfigTable>(
  name: string,
  table: T,
  start: (context: ServiceContext<T>) => Promise<void>,
): void {
  const all = { ...table, ...commonOptions };
  let config: Config<T & typeof commonOptions>;
  try {
    config = parseConfig<T & typeof commonOptions>(name, all, process.argv.slice(2), process.env);
  } catch (error) {
    if (error instanceof HelpRequested) return void process.stdout.write(error.message);
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  const { logLevel, telemetry, otlp } = config as Config<typeof commonOptions>;
  void run(name, config, { logLevel, listen: telemetry, otlp }, start);
}

async function run<T extends ConfigTable>(
  name: string,
  config: Config<T & typeof commonOptions>,
  common: { logLevel: string; listen: string; otlp: string },
  start: (context: ServiceContext<T>) => Promise<void>,
): Promise<void> {
  const log = newLog(name, { level: common.logLevel });
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // all that runs in the process listens
  const releases: { readonly name: string; readonly release: () => Promise<void> | void }[] = [];
  let ending: Promise<void> | undefined;
  // A service lasts until it is told to end, also while everything it talks to is away and nothing else holds it.
  const alive = setInterval(() => undefined, 2 ** 31 - 1);

  const end = (code: number): Promise<void> =>
    (ending ??= (async () => {
      stopping.abort(new Error(`${name} is stopping`));
      for (const { name: part, release } of releases.toReversed()) await releaseInTime(part, release, log);
      clearInterval(alive);
      process.exitCode = code;
      reportWhatKeepsAlive(log);
    })());
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (ending !== undefined) process.exit(1);
      log.info({ signal }, 'stopping');
      void end(0);
    });
  }
  process.on('unhandledRejection', (error) => {
    log.fatal({ error }, 'a promise failed and nobody looked; stopping');
    void end(1);
  });

  try {
    const telemetry = await startTelemetry({ service: name, ...common, log });
    releases.push({ name: 'telemetry', release: () => telemetry.close() });
    await start({
      config,
      log,
      clock: systemClock,
      telemetry,
      signal: stopping.signal,
      onStop: (part, release) => releases.push({ name: part, release }),
      done: () => void end(0),
    });
    if (ending !== undefined) return;
    log.info({ telemetry: telemetry.address, pid: process.pid }, 'started');
  } catch (error) {
    if (!stopping.signal.aborted) {
      log.fatal({ error }, 'could not start');
      process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
    await end(1);
  }
}

async function releaseInTime(part: string, release: () => Promise<void> | void, log: Log): Promise<void> {
  let cancel = (): void => undefined;
  const late = new Promise<'late'>((resolve) => {
    cancel = systemClock.after(releaseTimeoutMs, () => {
      resolve('late');
    });
  });
  try {
    if ((await Promise.race([release(), late])) === 'late') log.warn({ part }, 'did not stop in time; going on');
  } catch (error) {
    log.warn({ part, error }, 'failed while stopping; going on');
  } finally {
    cancel();
  }
}

/** A process that should be over but is not says what holds it, then goes. */
function reportWhatKeepsAlive(log: Log): void {
  const watchdog = setTimeout(() => {
    log.warn({ resources: process.getActiveResourcesInfo() }, 'something kept the process alive after its end');
    process.exit();
  }, 2_000);
  watchdog.unref();
}
