import { setMaxListeners } from 'node:events';
import { createNoopMeter, trace } from '@opentelemetry/api';
import { isReady } from '../lib/api/pods.ts';
import { systemClock } from '../lib/base/clock.ts';
import { silentLog } from '../lib/base/log.ts';
import { connectBus } from '../lib/bus/nats-bus.ts';
import { newViews } from '../lib/view/views.ts';
import { newAgent } from '../node-agent/agent.ts';
import { newFakeNetwork } from '../node-agent/network/fake-network.ts';
import { nodeIndex, podsByNode, podSources } from '../node-agent/pod-source.ts';
import { newFakeStorage } from '../node-agent/pod-storage.ts';
import { newFakeRuntime } from '../node-agent/runtime/fake-runtime.ts';
import { newStatusWriter } from '../node-agent/status-writer.ts';
import { memoryOf } from '../cli/cluster/memory.ts';
import { counted, untilView } from './hollow/counted.ts';
import { BenchCluster, benchPod, cpuSeconds } from './support.ts';
import type { BenchRow } from './row.ts';

const cidr = '10.0.0.0/8';
const loops = ['scheduler', 'replication-controller', 'node-controller'] as const;

/**
 * Pods made by one ReplicationController, placed by the scheduler and started by agents, end to end: apiserver, NATS and
 * each loop a process of its own; the agents are the real ones on the fake runtime, all in this process, so that
 * what they cost is on the same two cores.
 */
const hollow = (nodes: number, pods: number, goal: number, { together = false } = {}): BenchRow => ({
  name: `${pods} pods of a ReplicationController bound on ${nodes} hollow nodes, end to end${together ? ', the controllers in one process' : ''}`,
  unit: 'pods/s',
  better: 'higher',
  goal,
  repeats: 1,
  async run(context) {
    context.say('starting the control plane');
    const cluster = await BenchCluster.start({ nats: true });
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const client = cluster.client(2);
    const bus = connectBus({ servers: [cluster.nats], name: 'hollow', cluster: 'bench', log: silentLog });
    try {
      const reach = ['--apiserver', cluster.server, '--nats', cluster.nats];
      const one = ['--controllers', loops.join(','), '--node-controller-cluster-cidr', cidr];
      if (together) await cluster.service('controller-manager', [...reach, ...one]);
      else
        await Promise.all(
          loops.map((name) =>
            cluster.service(name, name === 'node-controller' ? [...reach, '--cluster-cidr', cidr] : reach),
          ),
        );
      const meter = createNoopMeter();
      const shared = { client, bus, cluster: 'bench', clock: systemClock, log: silentLog, meter, signal: stop.signal };
      const views = newViews({ pods: { indexes: { [nodeIndex]: podsByNode } }, services: {}, nodes: {} }, shared);
      const synced = views.synced();
      await synced;
      const sources = podSources(views.pods);
      const statuses = newStatusWriter({ client, clock: systemClock, log: silentLog, signal: stop.signal });
      context.say(`${nodes} agents register`);
      for (let i = 0; i < nodes; i++) {
        const name = `hollow-${i}`;
        newAgent({
          ...shared,
          machine: {
            name,
            hostIp: '192.0.2.1',
            cpuMilli: 32_000,
            memoryBytes: 64 * 2 ** 30,
            diskBytes: 2 ** 40,
            maxPods: 110,
            info: {},
            arch: 'amd64',
          },
          runtime: newFakeRuntime(),
          network: newFakeNetwork(),
          storage: newFakeStorage(),
          pods: sources(name),
          services: views.services,
          nodes: views.nodes,
          synced,
          statuses,
          dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
          tracer: trace.getTracer('bench'),
          check: async () => ({ ok: true, message: '' }),
          routes: false,
          heartbeatMs: 1_000,
          leaseMs: 0,
        });
        if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
      }
      const readyNodes = (): number =>
        views.nodes
          .list()
          .filter(
            (node) =>
              node.spec.podCIDR !== undefined &&
              node.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
          ).length;
      await untilView(views.nodes, () => readyNodes() === nodes, `${nodes} nodes to be ready`, 180_000);

      context.say(`one ReplicationController of ${pods}`);
      const { metadata: _, ...template } = benchPod('template') as unknown as { metadata: object; spec: object };
      const parts = [...cluster.pids, ['agents', process.pid] as const];
      /** Milliseconds to all bound and to all ready, and the CPU milliseconds of all parts for each pod until all were ready. */
      const grow = async (name: string): Promise<{ bound: number; ready: number; cpu: readonly number[] }> => {
        const before = parts.map(([, pid]) => cpuSeconds(pid));
        const known = views.pods.size;
        const created = performance.now();
        await client.create('replicationcontrollers', {
          metadata: { name, namespace: 'default' },
          spec: { replicas: pods, template: { metadata: { labels: { app: name } }, spec: template.spec } },
        });
        const total = known + pods;
        const bound = await counted(views.pods, total, (pod) => pod.spec.nodeName !== undefined, created);
        const ready = await counted(views.pods, total, isReady, created);
        return { bound, ready, cpu: parts.map(([, pid], i) => ((cpuSeconds(pid) - (before[i] ?? 0)) / pods) * 1000) };
      };
      const cold = await grow('bench');
      context.say('and one more, now that all parts have compiled what they do');
      const warm = await grow('again');
      const sum = (cpu: readonly number[]): number => cpu.reduce((a, b) => a + b, 0);
      const extra = {
        'ready pods/s': (pods / cold.ready) * 1000,
        'warm: bound pods/s': (pods / warm.bound) * 1000,
        'warm: ready pods/s': (pods / warm.ready) * 1000,
        'cpu ms a pod': sum(cold.cpu),
        'warm: cpu ms a pod': sum(warm.cpu),
        ...Object.fromEntries(parts.map(([name], i) => [`warm: ${name} cpu ms a pod`, warm.cpu[i] ?? 0])),
        ...Object.fromEntries(parts.map(([name, pid]) => [`${name} MB`, (memoryOf(pid) ?? 0) / 1e6])),
      };
      return { value: (pods / cold.bound) * 1000, extra };
    } finally {
      stop.abort(new Error('done'));
      client.close();
      await bus.close();
      await cluster.stop();
    }
  },
});

export const rows: readonly BenchRow[] = [
  hollow(100, 3_000, 7_000),
  hollow(100, 3_000, 7_000, { together: true }),
  hollow(1_000, 5_000, 7_000),
];
