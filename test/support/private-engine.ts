import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  containerdConfig,
  containerdFolders,
  engineRunDir,
  type ContainerdFolders,
} from '../../cli/cluster/engine-parts.ts';
import { systemClock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';

/** A Docker engine of our own, for machines on which none answers. It has no bridge and touches no firewall. */
export interface PrivateEngine {
  readonly socketPath: string;
  readonly pid: number;
  /** Of the containerd beside it, which outlives a kill of the engine. */
  readonly containerdPid: number;
  /** Whether it ran already when it was asked for. */
  readonly adopted: boolean;
  /** Ends the engine; containers go on running and are found again by the next start. Stopping twice is harmless. */
  stop(): Promise<void>;
}

const lateHostname = fileURLToPath(new URL('../../node-agent/runtime/late-hostname.sh', import.meta.url));

export interface PrivateEngineOptions {
  /** Images, containers and the log live here; one engine a folder. */
  readonly dataDir: string;
  readonly log: Log;
  /** What its programs are run by, such as one that enters a namespace first; default nothing. */
  readonly enter?: readonly string[];
  /** How long the engine may take until it answers. Default 30 s. */
  readonly timeoutMs?: number;
}

/**
 * Starts an engine on `dataDir`, or adopts the one that runs there already (it outlives its starter on purpose, so that
 * a restart of the launcher touches no container). Rejects with a sentence when there is no `dockerd`, or when it does
 * not answer in time; the engine's own words are in `<dataDir>/engine.log`.
 */
export async function startPrivateEngine(options: PrivateEngineOptions): Promise<PrivateEngine> {
  const { dataDir, log, timeoutMs = 30_000 } = options;
  const paths = pathsOf(dataDir);
  await mkdir(paths.data, { recursive: true, mode: 0o711 });
  await mkdir(paths.run, { recursive: true, mode: 0o711 });

  const enter = options.enter ?? [];
  const containerdPid = (await pidIn(paths.containerdPidFile, paths.data)) ?? (await launchContainerd(enter, paths));
  const running = await pidIn(paths.pidFile, paths.data);
  if (running !== undefined) {
    await answers(paths.socket, timeoutMs, () => isAlive(running));
    log.info({ pid: running, socket: paths.socket }, 'adopted the running engine');
    return engine(paths.socket, { pid: running, containerdPid }, true);
  }
  await rm(paths.pidFile, { force: true }); // a stale one keeps dockerd from starting
  const pid = await launch([...enter, 'dockerd', ...engineArgs(paths)], paths);
  await answers(paths.socket, timeoutMs, () => isAlive(pid)).catch(async (error: unknown) => {
    await endProcess(pid, 5_000);
    await endProcess(containerdPid, 5_000);
    const words = await readFile(paths.logFile, 'utf8').catch(() => '');
    throw new Error(`the Docker engine did not start: ${lastError(words)} (all of it is in ${paths.logFile})`, {
      cause: error,
    });
  });
  log.info({ pid, socket: paths.socket }, 'started an engine');
  return engine(paths.socket, { pid, containerdPid }, false);
}

/** Whether an engine answers on this socket within `timeoutMs`. */
export async function engineAnswers(socketPath: string, timeoutMs = 2_000): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: timeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy(new Error('timed out')));
    ping.on('error', () => {
      resolve(false);
    });
    ping.end();
  });
}

interface Paths {
  readonly data: string;
  readonly run: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly containerdPidFile: string;
  readonly containerdConfig: string;
  readonly containerd: ContainerdFolders;
  readonly logFile: string;
}

function pathsOf(dataDir: string): Paths {
  const run = engineRunDir(dataDir);
  const data = join(dataDir, 'docker');
  return {
    data,
    run,
    socket: join(run, 'docker.sock'),
    pidFile: join(run, 'docker.pid'),
    containerdPidFile: join(data, 'containerd.pid'),
    containerdConfig: join(data, 'containerd.toml'),
    containerd: containerdFolders(data, run),
    logFile: join(dataDir, 'engine.log'),
  };
}

const engineArgs = (paths: Paths): readonly string[] => [
  ...['--data-root', paths.data, '--exec-root', join(paths.run, 'exec'), '--pidfile', paths.pidFile],
  ...['-H', `unix://${paths.socket}`, '--live-restore', '--log-level', 'warn'],
  ...['--containerd', paths.containerd.socket],
  // Pods are routed by the agent: the engine must neither make networks nor write firewall rules.
  ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
  ...['--userland-proxy=false', '--add-runtime', `troupe=${lateHostname}`],
];

/** The engine waits for it, so that nobody else has to. */
async function launchContainerd(enter: readonly string[], paths: Paths): Promise<number> {
  await writeFile(paths.containerdConfig, containerdConfig(paths.containerd));
  const pid = await launch([...enter, 'containerd', '--config', paths.containerdConfig], paths);
  await writeFile(paths.containerdPidFile, `${pid}\n`);
  return pid;
}

async function launch([command = '', ...args]: readonly string[], paths: Paths): Promise<number> {
  const output = openSync(paths.logFile, 'a');
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(command, args, { detached: true, stdio: ['ignore', output, output] });
      child.once('error', (error: NodeJS.ErrnoException) => {
        reject(
          error.code === 'ENOENT'
            ? new Error(`no "${command}" on this machine: install a Docker engine (Debian: apt-get install docker.io)`)
            : error,
        );
      });
      child.once('spawn', () => {
        child.unref();
        resolve(child.pid ?? 0);
      });
    });
  } finally {
    closeSync(output);
  }
}

const engine = (
  socketPath: string,
  pids: { readonly pid: number; readonly containerdPid: number },
  adopted: boolean,
): PrivateEngine => ({
  socketPath,
  ...pids,
  adopted,
  async stop() {
    await endProcess(pids.pid, 15_000);
    await endProcess(pids.containerdPid, 15_000);
  },
});

/** The process that a file of this folder names, where it is alive; a number left over from before a reboot is none. */
async function pidIn(file: string, data: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const pid = Number(text.trim());
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.includes(data) ? pid : undefined;
}

/** Runs, that is: exists and is not a zombie that nobody has reaped. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z';
  } catch {
    return false;
  }
}

async function answers(socketPath: string, timeoutMs: number, alive: () => boolean): Promise<void> {
  const until = systemClock.monotonic() + timeoutMs;
  while (!(await engineAnswers(socketPath))) {
    if (!alive()) throw new Error('it ended at once');
    if (systemClock.monotonic() > until) throw new Error(`no answer on ${socketPath} within ${timeoutMs / 1000} s`);
    await pause(50);
  }
}

/** SIGTERM, then SIGKILL after `graceMs`. */
async function endProcess(pid: number, graceMs: number): Promise<void> {
  const until = systemClock.monotonic() + graceMs;
  signal(pid, 'SIGTERM');
  while (isAlive(pid)) {
    if (systemClock.monotonic() > until) signal(pid, 'SIGKILL');
    await pause(25);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended already
  }
}

/** Unlike `wait`, keeps the process alive: whoever awaits an engine has nothing else to do. */
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function lastError(words: string): string {
  const lines = words.trimEnd().split('\n');
  const line = lines.findLast((text) => /level=(fatal|error)|failed to/i.test(text)) ?? lines.at(-1) ?? '';
  return /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? (line === '' ? 'it said nothing' : line);
}
