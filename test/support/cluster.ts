import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineRunDir } from '../../cli/cluster/layout.ts';
import type { ClusterState, PartState } from '../../cli/cluster/state-file.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
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
  readonly #flags: readonly string[];
  #process: ChildProcess | undefined;
  #output = '';

  private constructor(dataDir: string, ports: { api: number; nats: number; telemetry: number }, network: number) {
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

  /** `network` is the second byte of its pods' addresses; the next one is its Services'. */
  static async start(network: number): Promise<TestCluster> {
    const dataDir = mkdtempSync(join(tmpdir(), 'troupe-e2e-'));
    const cluster = new TestCluster(
      dataDir,
      { api: await freePort(), nats: await freeNatsPort(), telemetry: await freePorts(12) },
      network,
    );
    await cluster.up();
    return cluster;
  }

  /** Runs `troupe up` and resolves when it says that the cluster is up. */
  async up(): Promise<void> {
    this.#output = '';
    const child = spawn(process.execPath, ['bin/troupe.js', 'up', ...this.#flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
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
  timeoutMs = 60_000,
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

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** The first of `count` neighbouring free ports, below the range that the kernel hands out. */
async function freePorts(count: number): Promise<number> {
  for (let first = 20_000 + Math.floor(Math.random() * 8_000); ; first += count) {
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}

/** Like freePorts, where the monitor's port 4000 above must be free too. */
async function freeNatsPort(): Promise<number> {
  for (;;) {
    const port = await freePorts(1);
    if (await isFree(port + 4_000)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () =>
      server.close(() => {
        resolve(true);
      }),
    );
  });
}
