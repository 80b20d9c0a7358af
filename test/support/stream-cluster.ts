import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import type { Client } from '../../lib/client/client.ts';
import { newPodStreams, type PodStreams, type PodTarget } from '../../lib/client/pod-streams.ts';
import { TestCluster } from './cluster.ts';
import { importBusybox } from './docker-engine.ts';
import { until } from './until.ts';

export interface Ran {
  readonly code: number;
  readonly out: Buffer;
  readonly err: string;
}

/** The image of its pods. */
export const image = 'troupe-test/busybox:1';
/** What may become of other commands, and of the memory of any process, while much is moved. */
const mostLateMs = 1_000;
const mostGrowthMiB = 150;

/** A cluster of one machine with a pod or two and the real `troupe`: for what people do inside pods. */
export class StreamCluster {
  readonly cluster: TestCluster;
  readonly client: Client;
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-streams-'));
  readonly #children = new Set<ChildProcess>();
  #streams: PodStreams | undefined;

  private constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.client = cluster.client();
  }

  static async start(network: number): Promise<StreamCluster> {
    const cluster = await TestCluster.start(network);
    await importBusybox(new Docker({ socketPath: cluster.dockerSocket }));
    return new StreamCluster(cluster);
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#streams?.close();
    this.client.close();
    await this.cluster.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get docker(): Docker {
    return new Docker({ socketPath: this.cluster.dockerSocket });
  }
  get streams(): PodStreams {
    return (this.#streams ??= newPodStreams({ address: this.cluster.server }));
  }

  async pod(name: string, container: object, labels: Record<string, string> = {}): Promise<void> {
    await this.client.create('pods', {
      metadata: { name, namespace: 'default', labels },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, ...container }] },
    });
  }
  async running(name: string): Promise<void> {
    const isReady = async (): Promise<boolean> =>
      (await this.client.get('pods', `default/${name}`))?.status.containerStatuses?.[0]?.ready === true;
    await until(isReady, { what: `pod ${name} is ready`, timeoutMs: 60_000 });
  }

  /** Starts `troupe`, or another program in its place. */
  start(args: readonly string[], program: readonly string[] = [process.execPath, 'bin/troupe.js']): ChildProcess {
    const [command = '', ...first] = program;
    const env = { ...process.env, NO_COLOR: '1', TROUPE_SERVER: this.cluster.server };
    const child = spawn(command, [...first, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
  troupe(args: readonly string[], stdin: Buffer | string = ''): Promise<Ran> {
    const child = this.start(args);
    child.stdin?.on('error', () => undefined); // it may end without reading
    child.stdin?.end(stdin);
    return ended(child);
  }

  /**
   * Does `work` and looks meanwhile at the memory of every part (and of `others`) and at how long a command in a pod takes. Fails where
   * commands are late or a process grows; resolves to what was seen, in words.
   */
  async watched(target: PodTarget, bytes: number, work: () => Promise<void>, others: Others = {}): Promise<string> {
    const memory = new Map<string, { readonly before: number; most: number }>();
    const look = (): void => {
      const parts = ['apiserver', 'node-agent', 'nats'].map((part) => [part, this.cluster.part(part).pid] as const);
      for (const [name, pid] of [...parts, ...Object.entries(others.pids?.() ?? {})]) {
        const mib = residentMiB(pid);
        if (mib === undefined) continue;
        const known = memory.get(name);
        if (known === undefined) memory.set(name, { before: mib, most: mib });
        else known.most = Math.max(known.most, mib);
      }
    };
    look();
    const latencies: number[] = [];
    const started = performance.now();
    let isOver = false;
    const working = work().finally(() => (isOver = true));
    working.catch(() => undefined);
    const round = async (): Promise<boolean> => {
      const asked = performance.now();
      const never = new AbortController().signal;
      const process = this.streams.exec(target, { command: ['true'], stdin: false, tty: false }, never);
      for await (const _ of process.output) void _;
      latencies.push(performance.now() - asked);
      look();
      return isOver;
    };
    await until(round, { what: 'the work', timeoutMs: others.timeoutMs ?? 80_000, everyMs: 100 });
    await working;
    const seconds = (performance.now() - started) / 1000;
    const sorted = latencies.toSorted((a, b) => a - b).map(Math.round);
    const [usual = 0, late = 0, slowest = 0] = [0.5, 0.95, 1].map(
      (part) => sorted[Math.ceil(sorted.length * part) - 1],
    );
    const growth = [...memory].map(([name, { before, most }]) => [name, Math.round(most - before)] as const);
    const speed = `${Math.round(bytes / 2 ** 20 / seconds)} MiB/s in ${seconds.toFixed(1)} s`;
    const commands = `${sorted.length} commands meanwhile took ${usual} ms, 95 of 100 up to ${late} ms, the slowest ${slowest} ms`;
    const told = `${speed}; ${commands}; memory grew by ${growth.map(([name, mib]) => `${name} ${mib}`).join(', ')} MiB`;
    assert.ok(late < mostLateMs, told);
    for (const [, mib] of growth) assert.ok(mib < mostGrowthMiB, told);
    return told;
  }
}

interface Others {
  /** More processes to look at, by name. */
  readonly pids?: () => Readonly<Record<string, number>>;
  readonly timeoutMs?: number;
}

export async function ended(child: ChildProcess): Promise<Ran> {
  const parts: Buffer[] = [];
  let err = '';
  child.stdout?.on('data', (part: Buffer) => parts.push(part));
  child.stderr?.on('data', (part: Buffer) => (err += part.toString()));
  const code = await new Promise<number>((resolve) =>
    child.once('close', (status) => {
      resolve(status ?? 1);
    }),
  );
  return { code, out: Buffer.concat(parts), err };
}

/** What a process has in memory; undefined where it is over. */
export function residentMiB(pid: number | undefined): number | undefined {
  try {
    const kB = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kB === undefined ? undefined : Number(kB) / 1024;
  } catch {
    return undefined;
  }
}
