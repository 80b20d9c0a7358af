import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from '../lib/client/grpc-client.ts';
import type { Client } from '../lib/client/client.ts';
import { startNatsServer, type NatsServer } from '../test/support/nats-server.ts';
import { freePort } from '../test/support/free-port.ts';
import { until } from '../test/support/until.ts';
import type { BenchContext, BenchFigure } from './row.ts';

/** Where each part leaves a CPU profile (`NAME.cpuprofile`) of its whole life; empty: nowhere. */
const profileFolder = process.env['TROUPE_BENCH_PROFILE'] ?? '';
const profiling = (name: string): readonly string[] =>
  profileFolder === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`];

/** Separate processes from the built bundles, as in production; `stop` ends them and removes their data. */
export class BenchCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'));
  readonly #children: ChildProcess[] = [];
  #nats: NatsServer | undefined;
  server = '';
  /** Where REST is served, as host:port; empty when it was not asked for. */
  rest = '';
  /** Process ids by part. */
  readonly pids = new Map<string, number>();

  get nats(): string {
    return this.#nats?.url ?? '';
  }
  get natsServer(): NatsServer {
    if (this.#nats === undefined) throw new Error('the cluster was started without NATS');
    return this.#nats;
  }

  /** Starts NATS and an apiserver on the durable store, which serves REST too where that is asked for. */
  static async start(options: { readonly nats: boolean; readonly rest?: boolean }): Promise<BenchCluster> {
    const cluster = new BenchCluster();
    if (options.nats) cluster.#nats = await startNatsServer();
    cluster.server = `127.0.0.1:${await freePort()}`;
    if (options.rest === true) cluster.rest = `127.0.0.1:${await freePort()}`;
    await cluster.service('apiserver', [
      ...['--listen', cluster.server, '--https-listen', cluster.rest],
      ...['--data', join(cluster.folder, 'apiserver'), '--nats', cluster.nats],
    ]);
    return cluster;
  }

  /** A file of those that the apiserver makes for its REST door: `ca.crt`, `admin.crt`, `admin.key`. */
  certificate(file: string): Buffer {
    return readFileSync(join(this.folder, 'apiserver/pki', file));
  }

  /** Starts one more part and waits until it says that it has started. Resolves to its process id. */
  async service(name: string, args: readonly string[]): Promise<number> {
    const child = spawn(process.execPath, [...profiling(name), `dist/${name}.js`, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TROUPE_CLUSTER: 'bench' },
    });
    this.#children.push(child);
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)));
    await until(() => said.includes('"started"') || child.exitCode !== null, {
      timeoutMs: 20_000,
      what: `${name} to start`,
    });
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${said}`);
    this.pids.set(name, child.pid ?? 0);
    return child.pid ?? 0;
  }

  client(channels = 4): Client {
    return newClient({ address: this.server, channels, timeoutMs: 60_000 });
  }

  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill(profileFolder === '' ? 'SIGKILL' : 'SIGTERM'); // a profile is written by a process that ends itself
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await gone;
      clearTimeout(late);
    }
    await this.#nats?.remove();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export interface Load {
  readonly perSecond: number;
  readonly timesMs: readonly number[];
}

/** Runs `count` pieces of work, each by one of `inFlight` workers that does one after the other; the rate per second and each one's time in ms. */
export async function load(
  count: number,
  inFlight: number,
  work: (i: number, worker: number) => Promise<unknown>,
): Promise<Load> {
  const timesMs: number[] = [];
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async (_, worker) => {
      while (next < count) {
        const i = next++;
        const begun = performance.now();
        await work(i, worker);
        timesMs.push(performance.now() - begun);
      }
    }),
  );
  return { perSecond: (count / (performance.now() - started)) * 1000, timesMs };
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** p50 and p99 in the form of a row's extra figures. */
export const spread = (timesMs: readonly number[]): Record<string, number> => ({
  'p50 ms': percentile(timesMs, 0.5),
  'p99 ms': percentile(timesMs, 0.99),
});

/** CPU seconds that a process has used, from the kernel. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** A pod of the size that real ones have: about 2 kB as JSON. */
export const benchPod = (name: string, namespace = 'default'): never =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: 'bench', tier: `t${name.length % 7}` } },
    spec: {
      containers: [
        {
          name: 'app',
          image: 'registry.example/bench/app:1.0',
          env: [
            { name: 'LEVEL', value: 'info' },
            { name: 'PEER', value: 'bench.default.svc' },
          ],
          ports: [{ name: 'http', containerPort: 8080 }],
          resources: { requests: { cpu: '10m', memory: '16Mi' } },
          readinessProbe: { httpGet: { path: '/healthz', port: 'http' } },
        },
      ],
    },
  }) as never;

/** Runs a row against an apiserver that is a process of its own on the durable store, with the client in this one: both share the cores. */
export async function withServer(
  context: BenchContext,
  { rest = false }: { readonly rest?: boolean },
  work: (cluster: BenchCluster) => Promise<BenchFigure>,
): Promise<BenchFigure> {
  context.say('starting an apiserver');
  const cluster = await BenchCluster.start({ nats: false, rest });
  try {
    return await work(cluster);
  } finally {
    await cluster.stop();
  }
}

/** A real pod that does nothing, of the image that `importBusybox` brings. */
export const sleeper = (name: string): never =>
  ({
    metadata: { name, namespace: 'default', labels: { app: 'bench' } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'app', image: 'troupe-test/busybox:1', command: ['/bin/busybox', 'sleep', '3600'] }],
    },
  }) as never;
