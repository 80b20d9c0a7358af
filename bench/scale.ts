import { setMaxListeners } from 'node:events';
import { createNoopMeter } from '@opentelemetry/api';
import { cpuSeconds, BenchCluster, benchPod } from './support.ts';
import { memoryOf } from '../cli/cluster/memory.ts';
import type { Pod } from '../lib/api/objects.ts';
import { systemClock } from '../lib/base/clock.ts';
import { silentLog } from '../lib/base/log.ts';
import { connectBus } from '../lib/bus/nats-bus.ts';
import type { Client } from '../lib/client/client.ts';
import { newViews } from '../lib/view/views.ts';
import { aNode } from '../test/support/builders.ts';
import { counted } from './hollow/counted.ts';
import type { BenchRow } from './row.ts';

const loops = ['scheduler', 'replication-controller'] as const;
/** Pods of one controller: the larger clusters have more sets of pods, not larger ones. */
const mostInSet = 3_000;
/** As many nodes in each: what is spread evenly over both zones and nodes has no other way to fit. */
const zones = 5;
/** For a quick look: so much smaller, nodes and pods alike. */
const divisor = Number(process.env['TROUPE_BENCH_SCALE_DIVISOR'] ?? 1);

const evenly = (app: string): Pick<Pod['spec'], 'topologySpreadConstraints'> => ({
  topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: { app } },
  })),
});

interface Scale {
  readonly nodes: number;
  readonly podsPerNode: number;
  readonly spread: boolean;
  readonly goal: number;
}

/**
 * Pods made by ReplicationControllers and bound by the scheduler, end to end, on nodes that are objects only: nothing starts the pods, so that
 * the figure is that of apiserver, bus, replication-controller and scheduler, each a process of its own. The group `hollow` has agents, too.
 */
const scale = (wanted: Scale): BenchRow => ({
  name: `${wanted.podsPerNode} pods on each of ${wanted.nodes} nodes bound${wanted.spread ? ', spread over zones and machines' : ''}, end to end`,
  unit: 'pods/s',
  better: 'higher',
  goal: wanted.goal,
  repeats: 1,
  async run(context) {
    const nodes = Math.max(1, Math.round(wanted.nodes / divisor / zones)) * zones;
    const pods = nodes * wanted.podsPerNode;
    context.say('starting the control plane');
    const cluster = await BenchCluster.start({ nats: true });
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const client = cluster.client(2);
    const bus = connectBus({ servers: [cluster.nats], name: 'scale', cluster: 'bench', log: silentLog });
    try {
      const reach = ['--apiserver', cluster.server, '--nats', cluster.nats];
      await Promise.all(loops.map((name) => cluster.service(name, reach)));
      context.say(`${nodes} nodes register`);
      await register(client, nodes);
      const shared = { client, bus, cluster: 'bench', clock: systemClock, log: silentLog, meter: createNoopMeter() };
      const views = newViews({ pods: {} }, { ...shared, signal: stop.signal });
      await views.synced();

      const sets = Math.ceil(pods / mostInSet);
      context.say(`${sets} ReplicationControllers make ${pods} pods`);
      const parts = [...cluster.pids, ['this process', process.pid] as const];
      const before = parts.map(([, pid]) => cpuSeconds(pid));
      const from = performance.now();
      const allBound = counted(views.pods, pods, ({ spec }) => spec.nodeName !== undefined, from);
      const half = counted(views.pods, Math.floor(pods / 2), ({ spec }) => spec.nodeName !== undefined, from);
      for (let i = 0; i < sets; i++) await createSet(client, `set-${i}`, share(pods, sets, i), wanted.spread);
      const [ms, halfMs] = await Promise.all([allBound, half]);
      const cpu = parts.map(([, pid], i) => ((cpuSeconds(pid) - (before[i] ?? 0)) / pods) * 1000);
      return {
        value: (pods / ms) * 1000,
        extra: {
          'second half: pods/s': (pods / 2 / (ms - halfMs)) * 1000,
          ...Object.fromEntries(parts.map(([name], i) => [`${name} cpu ms a pod`, cpu[i] ?? 0])),
          ...Object.fromEntries(parts.map(([name, pid]) => [`${name} MB`, (memoryOf(pid) ?? 0) / 1e6])),
        },
      };
    } finally {
      stop.abort(new Error('done'));
      client.close();
      await bus.close();
      await cluster.stop();
    }
  },
});

const share = (all: number, parts: number, i: number): number => Math.floor(all / parts) + (i < all % parts ? 1 : 0);

/** Nodes in zones by turns that say they are ready. */
async function register(client: Client, count: number): Promise<void> {
  const step = 500;
  for (let from = 0; from < count; from += step) {
    const wanted = Array.from({ length: Math.min(step, count - from) }, (_, i) =>
      aNode({
        name: `node-${from + i}`,
        cpu: '32',
        memory: '64Gi',
        labels: { 'topology.kubernetes.io/zone': `zone-${(from + i) % zones}` },
      }),
    );
    const made = await client.createMany(
      'nodes',
      wanted.map(({ metadata: { name, labels }, spec }) => ({ metadata: { name, ...(labels && { labels }) }, spec })),
    );
    const stored = made.map((outcome) => {
      if (!outcome.ok) throw new Error(outcome.message);
      return outcome.object;
    });
    await client.updateStatusMany(
      'nodes',
      stored.map((node, i) => ({ ...node, status: wanted[i]?.status ?? {} })),
    );
  }
}

async function createSet(client: Client, app: string, replicas: number, spread: boolean): Promise<void> {
  const { spec } = benchPod('template') as unknown as { readonly spec: Pod['spec'] };
  await client.create('replicationcontrollers', {
    metadata: { name: app, namespace: 'default' },
    spec: { replicas, template: { metadata: { labels: { app } }, spec: { ...spec, ...(spread ? evenly(app) : {}) } } },
  });
}

export const rows: readonly BenchRow[] = [false, true].flatMap((spread) => [
  scale({ nodes: 100, podsPerNode: 30, spread, goal: 7_000 }),
  scale({ nodes: 1_000, podsPerNode: 30, spread, goal: 7_000 }),
  scale({ nodes: 5_000, podsPerNode: 30, spread, goal: 5_000 }),
]);
