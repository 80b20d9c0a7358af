import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { outliveReaders } from '../process.ts';
import { color } from './color.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { apiAddress, filesOf, natsUrl, partsOf } from './layout.ts';
import type { ClusterOptions, Part } from './part.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { endLeftovers } from './leftovers.ts';
import { memoryOf } from './memory.ts';
import { clusterOptions, defaultDataDir, type UpFlags } from './options.ts';
import { obstacles } from './preflight.ts';
import { newProgress, tellParent, type ToParent } from './progress.ts';
import { howToGoOn, partsTable } from './show.ts';
import {
  keepPodsOrdered,
  readState,
  removeState,
  startOf,
  supervisorLives,
  writeState,
  type ClusterState,
} from './state-file.ts';
import { Supervisor } from './supervisor.ts';

const startTimeoutMs = 60_000;
const checkEveryMs = 2_000;

export function register(program: Command): void {
  program
    .command('up')
    .description('start a cluster of one node on this machine and keep it running')
    .option('--data <folder>', 'where everything is kept', defaultDataDir)
    .option('--detach', 'give the terminal back once the cluster is up')
    .option('--with-guestbook', 'build the images of the Guestbook and run it')
    .option('--cluster <name>', 'name of the cluster, the first token of its event subjects', 'troupe')
    .option('--port <number>', 'port of the API', '7400')
    .option('--https-port <number>', 'port of the REST API, for kubectl', '7443')
    .option('--nats-port <number>', 'port of the event bus', '4222')
    .option('--telemetry-port <number>', 'first of the ports for metrics and health', '7410')
    .option('--node <name>', 'name of the node (default: the host name)')
    .option(
      '--docker-socket <path>',
      "the engine's socket; auto takes the machine's own or starts one, own always starts one",
      'auto',
    )
    .option('--cluster-cidr <cidr>', 'addresses of pods', '10.244.0.0/16')
    .option('--service-cidr <cidr>', 'addresses of Services', '10.96.0.0/16')
    .option('--cluster-dns <address>', 'address of the DNS service', '10.96.0.10')
    .option('--proxy-mode <mode>', 'nftables, iptables, userspace or auto', 'auto')
    .option('--together', 'run the controllers in one process: less memory and work, one fate')
    .option('--load-balancer-pool <cidr>', 'addresses for Services of type LoadBalancer; needs haproxy', '')
    .action(async (flags) => {
      process.exitCode =
        flags.detach === true ? await startDetached(flags) : await runInForeground(flags, flags.withGuestbook === true);
    });
}

/** Runs the cluster until a signal ends it. Resolves to the exit code. */
async function runInForeground(flags: UpFlags, withGuestbook: boolean): Promise<number> {
  const before = readState(flags.data);
  if (before !== undefined && supervisorLives(before)) {
    process.stderr.write(
      `A cluster of this folder runs already (pid ${before.supervisorPid}, ${flags.data}): see troupe status, or troupe down.\n`,
    );
    return 1;
  }
  if (before !== undefined) await endLeftovers(before, flags.data);
  const options = await clusterOptions(flags);
  const problems = await obstacles(options);
  if (problems.length > 0) {
    process.stderr.write(
      `${color.red('The cluster cannot start:')}\n${problems.map((text) => `  - ${text}`).join('\n')}\n`,
    );
    return 1;
  }
  mkdirSync(options.dataDir, { recursive: true });
  for (const [file, text] of filesOf(options)) writeFileSync(file, text);
  if (options.ownEngine) mkdirSync(dirname(options.dockerSocket), { recursive: true, mode: 0o711 });
  return supervise(options, withGuestbook);
}

async function supervise(options: ClusterOptions, withGuestbook: boolean): Promise<number> {
  outliveReaders();
  const { dataDir } = options;
  const startedAtMs = Date.now();
  let phase: ClusterState['phase'] = 'starting';
  let kubeconfig: string | undefined;
  const stateNow = (): ClusterState => ({
    supervisorPid: process.pid,
    supervisorStart: startOf(process.pid) ?? '',
    startedAtMs,
    cluster: options.cluster,
    phase,
    server: apiAddress(options),
    nats: natsUrl(options),
    dockerSocket: options.dockerSocket,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    parts: supervisor.states(),
  });
  const progress = newProgress('Starting the cluster');
  const supervisor = new Supervisor(partsOf(options), {
    logDir: join(dataDir, 'log'),
    clock: systemClock,
    env: { ...process.env, TROUPE_DATA_DIR: dataDir, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    onChange: () => {
      const state = stateNow();
      writeState(dataDir, state);
      const waiting = state.parts.filter((part) => part.state !== 'ready').map((part) => part.name);
      if (phase === 'starting' && waiting.length > 0)
        progress.update(`Starting the cluster: waiting for ${waiting.join(', ')}`);
    },
  });

  const stopping = new AbortController();
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (stopping.signal.aborted && signal === 'SIGINT') process.exit(1);
        stopping.abort(new Error('stopped'));
        resolve();
      });
    }
  });
  supervisor.start();
  const checking = setInterval(
    () =>
      void supervisor.check().then(() => {
        writeState(dataDir, stateNow());
      }),
    checkEveryMs,
  );
  let code = 0;
  try {
    await supervisor.untilReady(startTimeoutMs, stopping.signal);
    phase = 'running';
    kubeconfig = writeKubeconfig(options);
    writeState(dataDir, stateNow());
    progress.done(
      `The cluster ${options.cluster} is up: ${supervisor.states().length} parts on node ${options.nodeName}`,
    );
    process.stdout.write(`\n${partsTable(supervisor.states(), Date.now(), memoryOf)}\n\n`);
    if (withGuestbook) {
      const { runGuestbook } = await import('./guestbook.ts'); // brings the API client, which no other part needs
      await runGuestbook({ server: apiAddress(options), dockerSocket: options.dockerSocket, signal: stopping.signal });
    }
    process.stdout.write(`\n${howToGoOn(stateNow(), 'npx troupe')}\n`);
    tellParent({ kind: 'up' });
    await ended;
  } catch (error) {
    if (!stopping.signal.aborted) {
      code = 1;
      progress.fail(`The cluster did not come up:\n${messageOf(error)}`);
    }
  }
  clearInterval(checking);
  phase = 'stopping';
  const keepPods = keepPodsOrdered(dataDir);
  await stopAll(supervisor, keepPods);
  removeState(dataDir);
  return code;
}

async function stopAll(supervisor: Supervisor, keepPods: boolean): Promise<void> {
  const progress = newProgress('Stopping the cluster');
  await supervisor.stop((part) => {
    progress.update(`Stopping the cluster: ${part.name} has stopped`);
    cleanUp(part, keepPods);
    return Promise.resolve();
  });
  progress.done(
    keepPods
      ? 'The cluster has stopped; its pods run on'
      : 'The cluster has stopped, its pods too; troupe up starts it again as it was',
  );
}

function cleanUp(part: Part, keepPods: boolean): void {
  if (part.cleanup === undefined || keepPods) return;
  const result = spawnSync(part.cleanup.command, part.cleanup.args, { encoding: 'utf8', timeout: 60_000 });
  if (result.status !== 0)
    process.stderr.write(
      `${part.name} could not clean up: ${(result.stderr || result.stdout || String(result.error)).trim().slice(-500)}\n`,
    );
}

/** Starts the supervisor as a process of its own and waits until it says that the cluster is up, or why not. */
async function startDetached(flags: UpFlags): Promise<number> {
  mkdirSync(join(flags.data, 'log'), { recursive: true });
  const logFile = join(flags.data, 'log', 'supervisor.log');
  const output = openSync(logFile, 'w');
  const args = process.argv.slice(1).filter((word) => word !== '--detach');
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
  });
  closeSync(output);
  const progress = newProgress('Starting the cluster');
  const code = await new Promise<number>((resolve) => {
    child.once('exit', (status) => {
      resolve(status ?? 1);
    });
    child.on('message', (said: ToParent) => {
      if (said.kind === 'progress') progress.update(said.text);
      else resolve(0);
    });
  });
  if (code === 0) progress.done('The cluster runs on its own now');
  else progress.fail('The cluster did not come up');
  process.stdout.write(readFileSync(logFile, 'utf8'));
  child.removeAllListeners();
  if (child.connected) child.disconnect();
  child.unref();
  return code;
}
