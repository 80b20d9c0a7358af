import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../lib/base/clock.ts';
import type { PodContainer } from '../node-agent/labels.ts';
import type { PodInSight } from '../node-agent/stats/sampler.ts';
import { startStats } from '../node-agent/stats/stats.ts';
import { aPod } from '../test/support/builders.ts';
import type { BenchRow } from './row.ts';

const count = 50;
const intervalMs = 5_000;
const passes = 100;

/** 50 cgroups of the kernel with a process in each, as containers have them, but without an engine. */
class Containers {
  readonly pods: PodInSight[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #folders: string[] = [];

  constructor() {
    const parent = `troupe-bench-${process.pid}`;
    const roots = hierarchies().map((root) => join(root, parent));
    for (const root of roots) this.#make(root);
    for (let i = 0; i < count; i++) {
      const id = `${'0'.repeat(60)}${String(i).padStart(4, '0')}`;
      const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
      this.#children.push(child);
      for (const root of roots) {
        this.#make(join(root, id));
        writeFileSync(join(root, id, 'cgroup.procs'), String(child.pid));
      }
      this.pods.push(podOf(id, child.pid ?? 0, i));
    }
  }

  #make(folder: string): void {
    mkdirSync(folder);
    this.#folders.push(folder);
  }

  async remove(): Promise<void> {
    for (const child of this.#children) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    for (const folder of this.#folders.toReversed()) rmdirSync(folder);
  }
}

/** v1: a tree for each controller; v2: one for all. */
function hierarchies(): readonly string[] {
  const base = '/sys/fs/cgroup';
  if (existsSync(join(base, 'cgroup.controllers'))) return [base];
  return readdirSync(base)
    .filter((name) => ['cpu', 'cpuacct', 'memory', 'blkio', 'pids', 'cpu,cpuacct'].includes(name))
    .map((name) => join(base, name));
}

function podOf(id: string, pid: number, index: number): PodInSight {
  const pod = aPod({ name: `pod-${index}`, nodeName: 'n1' });
  const container = (kind: 'sandbox' | 'container'): PodContainer => ({
    ...{ kind, uid: pod.metadata.uid, namespace: 'default', podName: pod.metadata.name, attempt: 0, crashes: 0 },
    ...{ name: kind === 'sandbox' ? '' : 'main', ip: undefined },
    is: {
      ...{ id: kind === 'sandbox' ? `s${id}` : id, name: id, image: 'i', imageId: 'i', labels: {}, state: 'running' },
      ...{ pid, createdAtMs: 0, startedAtMs: Date.now() },
    },
  });
  return { uid: pod.metadata.uid, pod, containers: [container('sandbox'), container('container')] };
}

export const rows: readonly BenchRow[] = [
  {
    name: `figures of ${count} containers every ${intervalMs / 1000} s: share of a core`,
    unit: '%',
    better: 'lower',
    goal: 1,
    async run() {
      const containers = new Containers();
      const stop = new AbortController();
      try {
        const meter = startStats({
          ...{ cluster: 'bench', node: 'n1', bus: undefined, clock: systemClock, signal: stop.signal },
          ...{ pods: () => containers.pods, intervalMs, podLabels: ['app'] },
        });
        const first = await meter.stats({ maxAgeMs: 0 });
        const seen = first.pods.filter(({ containers: [one] }) => one?.cpu !== undefined).length;
        if (seen !== count)
          throw new Error(`${seen} of ${count} containers have figures; is this a root of the machine?`);
        const readingMs = await cpuMsOf(() => meter.stats({ maxAgeMs: 0, uids: [] }));
        const scrapeMs = await cpuMsOf(() => meter.metrics());
        return {
          value: (readingMs / intervalMs) * 100,
          extra: {
            'ms CPU a reading of all': readingMs,
            'ms CPU a scrape': scrapeMs,
            'kB a scrape': (await meter.metrics()).length / 1000,
          },
        };
      } finally {
        stop.abort();
        await containers.remove();
      }
    },
  },
];

/** The process' CPU time for one call, the mean of many. */
async function cpuMsOf(work: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < 10; i++) await work();
  const before = process.cpuUsage();
  for (let i = 0; i < passes; i++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / passes;
}
