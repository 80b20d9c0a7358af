import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kubeconfigFile } from '../../cli/cluster/kubeconfig.ts';
import { engineRunDir } from '../../cli/cluster/engine-parts.ts';
import type { ClusterState, PartState } from '../../cli/cluster/state-file.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
import { freePort, freePorts, isFree } from './free-port.ts';
import { until } from './until.ts';

/** What a command printed and how it ended. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A real cluster of one machine, started by `troupe up` as a user would, with an engine, ports and addresses of its own so
 * that it disturbs nothing else. `stop` leaves no process, container, rule or folder behind, also after a failure.
 */
export class TestCluster {
  readonly dataDir: string;
  readonly dockerSocket: string;
  readonly server: string;
  readonly nats: string;
  readonly #flags: string[];
  readonly #env: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  #output = '';

  private constructor(
    dataDir: string,
    ports: { api: number; https: number; nats: number; telemetry: number },
    network: number,
    env: Readonly<Record<string, string>>,
  ) {
    this.#env = env;
    this.dataDir = dataDir;
    this.dockerSocket = join(engineRunDir(dataDir), 'docker.sock');
    this.server = `127.0.0.1:${ports.api}`;
    this.nats = `nats://127.0.0.1:${ports.nats}`;
    this.#flags = [
      ...[
        '--data',
        dataDir,
        '--port',
        String(ports.api),
        '--https-port',
        String(ports.https),
        '--nats-port',
        String(ports.nats),
        '--telemetry-port',
        String(ports.telemetry),
      ],
      ...['--cluster', `e2e${network}`, '--node', 'node-1', '--docker-socket', 'own'],
      ...[
        '--cluster-cidr',
        `10.${network}.0.0/16`,
        '--service-cidr',
        `10.${network + 1}.0.0/16`,
        '--cluster-dns',
        `10.${network + 1}.0.10`,
      ],
    ];
  }

  /** `network` is the second byte of its pods' addresses; the next one is its Services'. `env` goes to every part, `flags` to `troupe up`. */
  static async start(
    network: number,
    env: Readonly<Record<string, string>> = {},
    flags: readonly string[] = [],
  ): Promise<TestCluster> {
    const dataDir = mkdtempSync(join(tmpdir(), 'troupe-e2e-'));
    const cluster = new TestCluster(
      dataDir,
      { api: await freePort(), https: await freePort(), nats: await freeNatsPort(), telemetry: await freePorts(24) },
      network,
      env,
    );
    cluster.#flags.push(...flags);
    await cluster.up();
    return cluster;
  }

  /** Runs `troupe up` and resolves when it says that the cluster is up. */
  async up(): Promise<void> {
    this.#output = '';
    const child = spawn(process.execPath, ['bin/troupe.js', 'up', ...this.#flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#env },
    });
    this.#process = child;
    const collect = (chunk: Buffer): void => void (this.#output = (this.#output + chunk.toString()).slice(-20_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    await until(() => this.#output.includes('What to type next') || child.exitCode !== null, {
      timeoutMs: 90_000,
      what: () => `the cluster to come up: ${this.#output}`,
    });
    if (child.exitCode !== null) throw new Error(`troupe up ended with ${child.exitCode}:\n${this.#output}`);
  }

  /** By which kubectl reaches it. */
  get kubeconfig(): string {
    return kubeconfigFile(this.dataDir);
  }

  /** What `troupe up` has printed. */
  get output(): string {
    return this.#output;
  }

  /** Runs a command of `troupe` against this cluster. */
  troupe(...args: readonly string[]): Promise<Said> {
    return run(process.execPath, ['bin/troupe.js', ...args, '--server', this.server], {
      TROUPE_NATS: this.nats,
      NO_COLOR: '1',
    });
  }

  client(): Client {
    return newClient({ address: this.server });
  }

  state(): ClusterState {
    return JSON.parse(readFileSync(join(this.dataDir, 'cluster.json'), 'utf8')) as ClusterState;
  }

  part(name: string): PartState {
    const part = this.state().parts.find((candidate) => candidate.name === name);
    if (part === undefined) throw new Error(`the cluster has no part ${name}`);
    return part;
  }

  /** Sends a signal to one part's process; the supervisor starts it again if it dies. */
  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): void {
    const { pid } = this.part(name);
    if (pid === undefined) throw new Error(`${name} does not run`);
    process.kill(pid, signal);
  }

  /** As when the terminal of `troupe up` is gone: what it prints goes nowhere. */
  stopReading(): void {
    this.#process?.stdout?.destroy();
    this.#process?.stderr?.destroy();
  }

  /** Ctrl-C on `troupe up`, and waits for its end. */
  async interrupt(): Promise<number> {
    const child = this.#process;
    if (child === undefined) return 0;
    child.kill('SIGINT');
    await this.#ended();
    return child.exitCode ?? 1;
  }

  /** Runs `troupe down`, and waits for the end of `troupe up`. */
  async down(): Promise<Said> {
    const said = await run(process.execPath, ['bin/troupe.js', 'down', '--data', this.dataDir]);
    await this.#ended();
    return said;
  }

  async stop(): Promise<void> {
    try {
      await this.interrupt();
    } finally {
      this.#process?.kill('SIGKILL');
      rmSync(engineRunDir(this.dataDir), { recursive: true, force: true, maxRetries: 5 });
      rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  async #ended(): Promise<void> {
    const child = this.#process;
    const isOver = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null;
    await until(isOver, { timeoutMs: 90_000, what: () => `troupe up to end: ${this.#output}` });
  }
}

/** Runs a program to its end; never rejects for its exit code. */
export function run(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  timeoutMs = 120_000,
): Promise<Said> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** A port of which the one that is 4000 above, the monitor's, is free too. */
const freeNatsPort = (): Promise<number> => freePorts(1, (port) => isFree(port + 4_000));
