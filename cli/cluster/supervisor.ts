import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { raisePriority } from '../../lib/base/priority.ts';
import { hangLimits, watchForHang } from './hang-watch.ts';
import type { Part } from './part.ts';
import { notReady } from './ready.ts';
import type { PartState } from './state-file.ts';

const restart = { firstMs: 100, maxMs: 10_000 };
/** A part that ran so long before it died starts over with the shortest back-off. */
const healthyAfterMs = 30_000;
const stopTimeoutMs = 10_000;
const maxLogBytes = 20 * 1024 * 1024;

/**
 * Keeps the processes of one machine running: starts each, starts it again when it dies (with back-off), kills one that
 * hangs, stops them in reverse order. It knows nothing of what they do. Output goes straight to a file each, so that they outlive
 * the supervisor, should it be killed.
 *
 *   starting -> ready <-> not ready -> (death) restarting -> starting …
 *   any -> stopped, once stop() was called
 */
export class Supervisor {
  readonly #entries: Entry[];
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #env: NodeJS.ProcessEnv;
  #stopping = false;

  constructor(
    parts: readonly Part[],
    options: { logDir: string; clock: Clock; env: NodeJS.ProcessEnv; onChange: () => void },
  ) {
    mkdirSync(options.logDir, { recursive: true });
    this.#clock = options.clock;
    this.#onChange = options.onChange;
    this.#env = options.env;
    this.#entries = parts.map((part) => ({
      part,
      logFile: join(options.logDir, `${part.name}.log`),
      state: 'starting',
      restarts: 0,
      attempt: 0,
      sinceMs: options.clock.now(),
    }));
  }

  states(): readonly PartState[] {
    return this.#entries.map(({ part, child, state, why, restarts, sinceMs, logFile }) => ({
      name: part.name,
      state,
      restarts,
      sinceMs,
      logFile,
      ...(child?.pid !== undefined && { pid: child.pid }),
      ...(why !== undefined && { why }),
      ...(part.telemetry !== undefined && { telemetry: part.telemetry }),
    }));
  }

  start(): void {
    for (const entry of this.#entries) this.#spawn(entry);
  }

  /** Resolves when all parts are ready; rejects with a sentence when that takes longer than `timeoutMs` or a part keeps dying. */
  async untilReady(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    for (;;) {
      await this.check();
      const waiting = this.#entries.filter((entry) => entry.state !== 'ready');
      if (waiting.length === 0) return;
      const hopeless = waiting.find((entry) => entry.restarts >= 3);
      if (hopeless !== undefined)
        throw new Error(
          `${hopeless.part.name} keeps dying: ${hopeless.why ?? 'it says nothing'}; its log is ${hopeless.logFile}`,
        );
      if (this.#clock.monotonic() > deadline)
        throw new Error(
          waiting
            .map((entry) => `${entry.part.name} is not ready: ${entry.why ?? 'no answer'} (log: ${entry.logFile})`)
            .join('\n'),
        );
      await wait(this.#clock, 50, signal);
    }
  }

  /** Asks every running part how it is, and keeps the log files within bounds. */
  async check(): Promise<void> {
    await Promise.all(
      this.#entries.map(async (entry) => {
        const child = entry.child;
        if (child === undefined) return;
        const why = await notReady(entry.part.ready);
        if (entry.child !== child || this.#stopping) return;
        const starting = entry.state === 'starting' && why !== undefined;
        this.#set(entry, why === undefined ? 'ready' : starting ? 'starting' : 'not ready', why);
        boundLog(entry.logFile);
      }),
    );
  }

  /** Stops all, last started first; a part that does not go within 10 s is killed. `afterEach` runs when a part is gone. */
  async stop(afterEach: (part: Part) => Promise<void>): Promise<void> {
    this.#stopping = true;
    for (const entry of this.#entries.toReversed()) {
      entry.cancelRestart?.();
      await endProcess(entry.child, this.#clock);
      this.#set(entry, 'stopped', undefined);
      await afterEach(entry.part);
    }
  }

  #spawn(entry: Entry): void {
    const output = openSync(entry.logFile, 'a');
    const started = this.#clock.monotonic();
    const child = spawn(entry.part.command, entry.part.args, {
      stdio: ['ignore', output, output],
      env: this.#env,
      detached: true,
    });
    closeSync(output);
    if (entry.part.urgent === true && child.pid !== undefined) raisePriority(child.pid);
    entry.child = child;
    this.#set(entry, 'starting', undefined);
    const ended = new AbortController();
    let hung: string | undefined;
    if (entry.part.telemetry !== undefined) {
      const limits = entry.part.name === 'proxy' ? hangLimits.proxy : hangLimits.others;
      const onHang = (): void => {
        hung = `it ran, but answered nothing for ${(limits.answerMs * limits.silences) / 1000} s, and was killed`;
        child.kill('SIGKILL');
      };
      const { telemetry: address } = entry.part;
      void watchForHang({ address, limits, clock: this.#clock, signal: ended.signal, onHang });
    }
    const onEnd = (why: string): void => {
      ended.abort();
      if (entry.child !== child) return;
      delete entry.child;
      if (this.#stopping) return;
      if (this.#clock.monotonic() - started > healthyAfterMs) entry.attempt = 0;
      entry.restarts++;
      this.#set(entry, 'restarting', why);
      entry.cancelRestart = this.#clock.after(backoffMs(entry.attempt++, restart), () => {
        this.#spawn(entry);
      });
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      onEnd(error.code === 'ENOENT' ? `the program ${entry.part.command} is not installed` : error.message);
    });
    child.once('exit', (code, signal) => {
      if (hung !== undefined) onEnd(hung);
      else
        onEnd(signal === null ? `it ended with code ${code}: ${lastLine(entry.logFile)}` : `it was ended by ${signal}`);
    });
  }

  #set(entry: Entry, state: PartState['state'], why: string | undefined): void {
    if (entry.state !== state) entry.sinceMs = this.#clock.now();
    const changed = entry.state !== state || entry.why !== why;
    entry.state = state;
    if (why === undefined) delete entry.why;
    else entry.why = why;
    if (changed) this.#onChange();
  }
}

interface Entry {
  readonly part: Part;
  readonly logFile: string;
  child?: ChildProcess;
  state: PartState['state'];
  why?: string;
  restarts: number;
  attempt: number;
  sinceMs: number;
  cancelRestart?: () => void;
}

async function endProcess(child: ChildProcess | undefined, clock: Clock): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) =>
    child.once('exit', () => {
      resolve();
    }),
  );
  child.kill('SIGTERM');
  const cancel = clock.after(stopTimeoutMs, () => child.kill('SIGKILL'));
  await gone;
  cancel();
}

/** The last words of a log, which most often say why a process ended. */
function lastLine(file: string): string {
  try {
    const text = tail(file, 2_000).trim();
    return text.slice(text.lastIndexOf('\n') + 1).slice(0, 300);
  } catch {
    return 'it left no log';
  }
}

/** Writers append, so the file can be copied and cut under them. */
function boundLog(file: string): void {
  if (statSync(file).size <= maxLogBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
}

function tail(file: string, bytes: number): string {
  const size = statSync(file).size;
  const buffer = Buffer.alloc(Math.min(bytes, size));
  const handle = openSync(file, 'r');
  try {
    readSync(handle, buffer, 0, buffer.length, size - buffer.length);
  } finally {
    closeSync(handle);
  }
  return buffer.toString('utf8');
}
