import { trace, type Meter } from '@opentelemetry/api';
import { silentLog } from '../../lib/base/log.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import type { Client } from '../../lib/client/client.ts';
import { newRecorder } from '../../lib/controller/events.ts';
import { newView, newViews } from '../../lib/view/views.ts';
import { newAgent } from '../../node-agent/agent.ts';
import { disksOfNode, startDiskKeeper } from '../../node-agent/disks/disk-keeper.ts';
import { newFakeDisks } from '../../node-agent/disks/disks.ts';
import { watchEviction } from '../../node-agent/eviction/eviction-watch.ts';
import { parseThresholds, type Rooms } from '../../node-agent/eviction/thresholds.ts';
import type { Checker } from '../../node-agent/probes/checks.ts';
import { newFakeNetwork } from '../../node-agent/network/fake-network.ts';
import type { Machine } from '../../node-agent/node/node-status.ts';
import { newFakeStorage, type PodStorage } from '../../node-agent/pod-storage.ts';
import { newFakeRuntime, type FakeRuntime } from '../../node-agent/runtime/fake-runtime.ts';

/** What of a node outlives its agent: the engine with its containers, and the volumes. */
export interface FlowMachine {
  readonly runtime: FakeRuntime;
  readonly storage: PodStorage;
  readonly disks: ReturnType<typeof newFakeDisks>;
  readonly figures: FlowFigures;
  /** What probes find; all succeed until the test says otherwise. */
  readonly probing: { check: Checker };
}

/** What a node has left, and what its pods take of it, by the pod's name: for the test to say. */
export interface FlowFigures {
  rooms: Rooms;
  readonly used: Map<string, number>;
}

export interface FlowAgentOptions {
  readonly node: string;
  readonly cluster: string;
  readonly clock: Clock;
  readonly client: Client;
  readonly bus: EventBus;
  readonly signal: AbortSignal;
  readonly meter: Meter;
  /** It records Events, as a real one does. */
  readonly tells?: boolean;
  /** The machine of an earlier agent of this node; a new one when absent. */
  readonly machine?: FlowMachine;
}

const facts = (name: string): Machine => ({
  name,
  hostIp: `192.0.2.${10 + Number(name.replace(/\D/g, ''))}`,
  cpuMilli: 4_000,
  memoryBytes: 8 * 2 ** 30,
  diskBytes: 100 * 2 ** 30,
  maxPods: 110,
  info: { operatingSystem: 'linux' },
  arch: 'amd64',
});

/** A node whose agent is the real one and whose machine is not: containers in memory, probes that find what the test says. */
export function startFlowAgent(options: FlowAgentOptions): { readonly machine: FlowMachine } {
  const { node, cluster, clock, client, bus, signal, meter } = options;
  const machine = options.machine ?? {
    runtime: newFakeRuntime({ clock }),
    storage: newFakeStorage(),
    disks: newFakeDisks(),
    figures: { rooms: {}, used: new Map() },
    probing: { check: async () => ({ ok: true, message: '' }) },
  };
  const { figures } = machine;
  const shared = { client, bus, cluster, clock, log: silentLog, meter, signal };
  const views = newViews({ pods: { node }, services: {}, nodes: {} }, shared);
  const volumes = newView('persistentvolumes', { ...shared, ...disksOfNode(node) });
  void startDiskKeeper({ ...shared, node, volumes, disks: machine.disks, tracer: trace.getTracer('flow') });
  const pods = () => [...agent.pods()].map(({ pod }) => pod);
  const watch = watchEviction({
    ...{ clock, log: silentLog, signal, pods, holdMs: 10_000 },
    thresholds: parseThresholds('memory.available<100Mi'),
    rooms: async () => figures.rooms,
    candidates: async () =>
      pods().map((pod) => ({ pod, used: figures.used.get(pod.metadata.name) ?? 0, requested: 0 })),
    evict: (uid, order) => agent.evict(uid, order),
    reclaim: async () => false,
    onChange: () => {
      agent.checkNode();
    },
    tell: () => undefined,
  });
  const recorder = newRecorder({ client, component: 'node-agent', host: node, clock, log: silentLog, meter, signal });
  const agent = newAgent({
    ...(options.tells === true && { telling: recorder }),
    ...{ cluster, clock, client, bus, signal, meter, log: silentLog, tracer: trace.getTracer('flow') },
    ...machine,
    network: newFakeNetwork(),
    machine: { ...facts(node), disksFolder: machine.disks.folder },
    pods: views.pods,
    services: views.services,
    nodes: views.nodes,
    synced: views.synced(),
    dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
    check: (...probe) => machine.probing.check(...probe),
    pressure: watch.short,
    refuse: watch.refuse,
  });
  return { machine };
}
