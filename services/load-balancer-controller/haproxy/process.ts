import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { wait, type Clock } from '../../../lib/base/clock.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import { answers, ask } from './socket.ts';

export interface ProcessOptions {
  /** The program. */
  readonly command: string;
  readonly configFile: string;
  readonly logFile: string;
  /** The socket of the process that watches over those that serve. */
  readonly master: string;
  readonly worker: string;
  readonly clock: Clock;
  /** HAProxy ended, whyever; `said` is the end of what it wrote. */
  onGone(said: string): void;
}

/** Starting HAProxy, and reading a configuration again, takes 20 ms to some 100 ms; it tells nobody when it is done, so its socket is asked. */
const askEveryMs = 10;
const settleMs = 10_000;

/**
 * HAProxy with a master that outlives this process: it is found again by its socket. A connection that is held open to the
 * master tells at once when it dies; it also breaks at each reload, and is then made anew.
 */
export class HaproxyProcess {
  readonly #o: ProcessOptions;
  #held: Socket | undefined;
  /** The master's; it stays the same over reloads. */
  #master: Identity | undefined;
  /** Those that serve, and those that finish their connections. */
  #workers: readonly Identity[] = [];
  #closed = false;

  constructor(options: ProcessOptions) {
    this.#o = options;
  }

  /** Whether a HAProxy of ours runs; from then on its end is told. */
  async adopt(): Promise<boolean> {
    await this.#findProcesses();
    if (this.#master === undefined || !(await answers(this.#o.worker))) return false;
    this.#hold();
    return true;
  }

  /** Starts it with the configuration in the file. Rejects with what it said when that does not work. */
  async start(): Promise<void> {
    const { command, configFile, logFile, master } = this.#o;
    const log = openSync(logFile, 'w', 0o600);
    const failed = new AbortController();
    const child = spawn(command, ['-W', '-S', `${master},mode,600`, '-L', 'troupe', '-f', configFile], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
    });
    closeSync(log);
    child.once('error', (error) => {
      failed.abort(error);
    });
    child.once('exit', () => {
      failed.abort(new Error(this.#said()));
    });
    child.unref();
    this.#master = child.pid === undefined ? undefined : identityOf(child.pid);
    try {
      await this.#until(async () => (await answers(this.#o.worker)) && (await answers(master)), failed.signal);
    } catch (error) {
      child.kill('SIGKILL'); // a second one would share its ports
      throw error;
    }
    await this.#findProcesses();
    this.#hold();
  }

  /**
   * Lets it read its configuration again: listeners are handed on, open connections go on in the process that has them.
   * Resolves when that one takes no new ones. Rejects with what is wrong with the configuration.
   */
  async reload(): Promise<void> {
    const before = await this.#workerPid();
    await this.#until(() => answers(this.#o.master)); // a moment after the last reload it may not
    await ask(this.#o.master, ['reload']);
    await this.#until(async () => {
      const state = await ask(this.#o.master, ['show proc']).catch(() => '');
      if (/\[failed: [1-9]/.test(state)) throw new Error(`HAProxy refused the configuration: ${this.#said()}`);
      const now = await this.#workerPid().catch(() => before);
      return state !== '' && now !== before && (await this.#isStopping(before));
    });
    await this.#findProcesses();
  }

  async #findProcesses(): Promise<void> {
    const state = await ask(this.#o.master, ['show proc']).catch(() => '');
    const found = (kind: string): Identity[] =>
      [...state.matchAll(new RegExp(`^(\\d+)\\s+${kind}`, 'gm'))].flatMap(([, pid]) => identityOf(Number(pid)) ?? []);
    this.#master = found('master')[0] ?? this.#master;
    if (state !== '') this.#workers = found('worker');
  }

  /** Until it is told to stop, a former process takes connections too, by its former rules. */
  async #isStopping(pid: string): Promise<boolean> {
    const said = await ask(this.#o.master, [`@!${pid} show info`]).catch(() => undefined);
    return said !== undefined && !said.includes('\nStopping: 0');
  }

  /** Ends it, with its connections. That it does not run is no error. */
  async stop(): Promise<void> {
    this.close();
    const master = this.#master;
    this.#master = undefined;
    if (master === undefined) return;
    // Just after a reload the master's new program does not listen to signals yet, and would leave its processes behind.
    await this.#until(async () => !lives(master) || (await answers(this.#o.master)));
    send(master, 'SIGTERM');
    await this.#until(() => Promise.resolve(!lives(master)));
    this.#endOrphans('SIGTERM');
  }

  /** The processes of a master that died without ending them: others are to have their ports. */
  #endOrphans(signal: NodeJS.Signals): void {
    for (const worker of this.#workers) send(worker, signal);
    this.#workers = [];
  }

  /** It goes on; its end is no longer told. */
  close(): void {
    this.#closed = true;
    this.#held?.destroy();
  }

  async #workerPid(): Promise<string> {
    const pid = /^Pid: (\d+)$/m.exec(await ask(this.#o.worker, ['show info']))?.[1];
    if (pid === undefined) throw new Error('HAProxy does not say which process serves');
    return pid;
  }

  #hold(): void {
    this.#closed = false;
    this.#held?.removeAllListeners('close');
    this.#held?.destroy();
    const held = createConnection(this.#o.master);
    this.#held = held;
    held.unref();
    held.on('error', () => undefined); // `close` follows
    held.on('data', () => undefined);
    held.once('close', () => void this.#look());
  }

  /** The connection broke: at a reload the same process goes on with a new program, and takes a moment until it listens. */
  async #look(): Promise<void> {
    while (!this.#isClosed() && this.#master !== undefined && lives(this.#master)) {
      if (await answers(this.#o.master)) {
        if (!this.#isClosed()) this.#hold();
        return;
      }
      await wait(this.#o.clock, askEveryMs);
    }
    if (this.#isClosed()) return;
    this.#master = undefined;
    this.#endOrphans('SIGUSR1'); // they finish the connections that they have
    this.#o.onGone(this.#said());
  }
  readonly #isClosed = (): boolean => this.#closed;

  async #until(done: () => Promise<boolean>, failed?: AbortSignal): Promise<void> {
    const { clock } = this.#o;
    const deadline = clock.monotonic() + settleMs;
    while (!(await done())) {
      if (failed?.aborted === true) throw new Error(`HAProxy did not start: ${messageOf(failed.reason)}`);
      if (clock.monotonic() > deadline)
        throw new Error(`HAProxy did not settle within ${settleMs / 1000} s: ${this.#said()}`);
      await wait(clock, askEveryMs);
    }
  }

  /** The end of what it wrote. */
  #said(): string {
    try {
      return readFileSync(this.#o.logFile, 'utf8').trim().slice(-2_000);
    } catch {
      return 'it wrote nothing';
    }
  }
}

/** A process, told from a later one with the same number by when it started; a new program in it changes neither. */
interface Identity {
  readonly pid: number;
  readonly started: string;
}

/** Undefined when there is no such process, or only its remains. */
function identityOf(pid: number): Identity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which may have any characters: state, and as the 20th from there when it started (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = 'X', started = ''] = [fields[0], fields[19]];
    return state === 'Z' || state === 'X' ? undefined : { pid, started };
  } catch {
    return undefined;
  }
}

const lives = ({ pid, started }: Identity): boolean => identityOf(pid)?.started === started;

/** Sends a signal, if the process is there. */
function send(who: Identity, signal: NodeJS.Signals): void {
  if (!lives(who)) return;
  try {
    process.kill(who.pid, signal);
  } catch {
    // it ended in this moment
  }
}
