import { fdatasyncSync, openSync, closeSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { newRegistry, type RunningRegistry } from '../services/apiserver/registry/index.ts';
import { LmdbStore } from '../services/apiserver/store/lmdb.ts';
import type { BenchFigure, BenchRow } from './row.ts';

const spanMs = 2_000;

/** A store of its own on the disk of this checkout (a memory file system would promise what no disk keeps). */
async function withStore<T>(work: (store: LmdbStore, folder: string) => Promise<T>): Promise<T> {
  const parent = join(import.meta.dirname, '../node_modules/.cache/troupe');
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, 'bench-store-'));
  const store = new LmdbStore({ folder });
  try {
    return await work(store, folder);
  } finally {
    await store.close();
    await rm(folder, { recursive: true });
  }
}

const withRegistry = <T>(work: (registry: RunningRegistry, folder: string) => Promise<T>): Promise<T> =>
  withStore(async (store, folder) => {
    const registry = await newRegistry({ store });
    try {
      return await work(registry, folder);
    } finally {
      await registry.close();
    }
  });

/** How often a second the disk makes one small append durable: the natural limit of one writer that waits each time. */
function fdatasyncRate(folder: string): number {
  const file = openSync(join(folder, 'fdatasync'), 'w');
  const block = Buffer.alloc(4_096, 1);
  const startedMs = performance.now();
  let count = 0;
  while (performance.now() - startedMs < 500) {
    writeSync(file, block);
    fdatasyncSync(file);
    count++;
  }
  closeSync(file);
  return count / ((performance.now() - startedMs) / 1000);
}

/** Calls `once` in so many loops at the same time; operations a second and their latencies. */
async function load(inFlight: number, once: (n: number) => Promise<unknown>): Promise<BenchFigure> {
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  let next = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() - startedMs < spanMs) {
      const beganMs = performance.now();
      await once(next++);
      latenciesMs.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  const seconds = (performance.now() - startedMs) / 1000;
  const sorted = Float64Array.from(latenciesMs).sort();
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { value: latenciesMs.length / seconds, extra: { 'p50 ms': at(0.5), 'p99 ms': at(0.99) } };
}

const podDraft = (): unknown => ({
  metadata: { generateName: 'web-', labels: { app: 'web', tier: 'front' } },
  spec: {
    containers: [
      {
        name: 'web',
        image: 'registry.example/web:1.4',
        ports: [{ containerPort: 8080 }],
        env: [{ name: 'MODE', value: 'production' }],
        resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
      },
    ],
  },
});

/** What a stored pod takes, about. */
const podBytes = 1_500;

const commitRow = (writers: number): BenchRow => ({
  name: `durable commits, ${writers} writer${writers === 1 ? '' : 's'}`,
  unit: '/s',
  better: 'higher',
  run: () =>
    withStore(async (store, folder) => {
      const value = Buffer.alloc(podBytes, 'x');
      const limit = fdatasyncRate(folder);
      const figure = await load(writers, (n) => store.commit([{ key: `pods/default/p${n}`, value, ifRevision: 0 }]));
      return { ...figure, limit, extra: { ...figure.extra, 'fdatasync/s': limit } };
    }),
});

const createRow = (inFlight: number, goal?: number): BenchRow => ({
  name: `pods created through the rules, ${inFlight} in flight`,
  unit: '/s',
  better: 'higher',
  ...(goal === undefined ? {} : { goal }),
  run: () =>
    withRegistry((registry) =>
      load(inFlight, () => registry.create('pods', 'default', podDraft(), { fieldValidation: 'Warn' })),
    ),
});

const listRow: BenchRow = {
  name: 'list of 10,000 pods through the rules',
  unit: 'ms',
  better: 'lower',
  goal: 50,
  run: () =>
    withRegistry(async (registry) => {
      for (let i = 0; i < 10_000; i += 500) {
        await Promise.all(
          Array.from({ length: 500 }, () =>
            registry.create('pods', 'default', podDraft(), { fieldValidation: 'Ignore' }),
          ),
        );
      }
      const timesMs: number[] = [];
      let bytes = 0;
      for (let i = 0; i < 9; i++) {
        // A change in between, so that nothing but the objects themselves is reused.
        await registry.create('pods', 'default', podDraft(), {});
        const beganMs = performance.now();
        const { items } = await registry.list('pods', {});
        timesMs.push(performance.now() - beganMs);
        bytes = items.reduce((sum, { json }) => sum + json.length, 0);
      }
      const selectedMs = performance.now();
      await registry.list('pods', { labelSelector: 'app=absent' });
      timesMs.sort((a, b) => a - b);
      return {
        value: timesMs[4] ?? 0,
        extra: { MB: bytes / 1e6, 'selector that takes none, ms': performance.now() - selectedMs },
      };
    }),
};

export const rows: readonly BenchRow[] = [
  commitRow(1),
  commitRow(16),
  commitRow(256),
  createRow(1),
  createRow(16),
  createRow(256, 5_000),
  listRow,
];
