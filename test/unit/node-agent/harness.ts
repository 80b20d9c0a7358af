import { setMaxListeners } from 'node:events';
import { createNoopMeter, trace } from '@opentelemetry/api';
import type { Objects, Resource } from '../../../lib/api/kinds.ts';
import type { ObjectReference, Pod, PodSpec } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { newViews } from '../../../lib/view/views.ts';
import { newAgent, type Agent } from '../../../node-agent/agent.ts';
import type { AgentOptions } from '../../../node-agent/agent-options.ts';
import { newFakeNetwork, type FakeNetwork, type FakeNetworkOptions } from '../../../node-agent/network/fake-network.ts';
import type { Machine } from '../../../node-agent/node/node-status.ts';
import { newFakeStorage, type PodStorage } from '../../../node-agent/pod-storage.ts';
import type { Outcome } from '../../../node-agent/probes/outcome.ts';
import { newFakeRuntime, type FakeRuntime, type FakeRuntimeOptions } from '../../../node-agent/runtime/fake-runtime.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { newRegistry, type RunningRegistry } from '../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { KillPoint } from '../../support/kill-point.ts';
import { RegistryClient } from '../../support/registry-client.ts';

export const aMachine = (name = 'n1'): Machine => ({
  name,
  hostIp: '192.0.2.10',
  cpuMilli: 4000,
  memoryBytes: 8 * 2 ** 30,
  diskBytes: 100 * 2 ** 30,
  maxPods: 110,
  info: { operatingSystem: 'linux' },
  arch: 'amd64',
});

interface Told {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly about: ObjectReference;
}

type PodWish = Omit<Partial<PodSpec>, 'containers' | 'initContainers'> & {
  readonly containers?: readonly object[];
  readonly initContainers?: readonly object[];
};

/** One node on a fake engine with the real registry behind it, on a clock that the test turns. */
export class AgentHarness {
  readonly clock = new FakeClock();
  readonly store = new MemoryStore({ clock: this.clock });
  readonly broker = new MemoryBroker();
  readonly bus = new MemoryBus(this.broker);
  readonly runtime: FakeRuntime;
  network: FakeNetwork = newFakeNetwork();
  /** The machine's network, for the agents that start from now on. */
  networkOptions: FakeNetworkOptions = {};
  storage: PodStorage = newFakeStorage();
  warmSandboxes = 0;
  /** Between the agent and its world; where a test puts another, the next agent meets it. */
  killPoint = new KillPoint();
  /** What agents have besides, from the next on. */
  wish: Partial<AgentOptions> = {};
  readonly told: Told[] = [];
  /** What probes find, by container name. */
  readonly health = new Map<string, Outcome>();
  client!: RegistryClient;
  agent!: Agent;
  #registry!: RunningRegistry;
  #stop = new AbortController();

  private constructor(options: FakeRuntimeOptions) {
    this.runtime = newFakeRuntime({ clock: this.clock, ...options });
  }

  static async start(
    options: FakeRuntimeOptions & {
      readonly podCIDR?: string;
      /** Called before the first agent starts. */
      readonly before?: (harness: AgentHarness) => void;
    } = {},
  ): Promise<AgentHarness> {
    const made = new AgentHarness(options);
    options.before?.(made);
    made.#registry = await newRegistry({ store: made.store, clock: made.clock });
    made.client = new RegistryClient(made.#registry);
    made.startAgent();
    await made.until('the node is registered', async () => (await made.get('nodes', 'n1')) !== undefined);
    const podCIDR = options.podCIDR ?? '10.244.1.0/24';
    if (podCIDR !== '') await made.assignRange(podCIDR);
    return made;
  }

  async assignRange(podCIDR: string): Promise<void> {
    const node = await this.get('nodes', 'n1');
    if (node === undefined) throw new Error('no node');
    await this.client.update('nodes', { ...node, spec: { ...node.spec, podCIDR, podCIDRs: [podCIDR] } });
    await this.until('the agent is ready', () => this.agent.notReady() === undefined);
  }

  startAgent(): void {
    this.network = newFakeNetwork(this.networkOptions);
    this.#stop = new AbortController();
    setMaxListeners(0, this.#stop.signal);
    const meter = createNoopMeter();
    const { killPoint } = this;
    const client = killPoint.guard('api', this.client, ['updateStatusMany', 'delete']);
    const shared = {
      client,
      cluster: 'test',
      clock: this.clock,
      log: silentLog,
      meter,
      signal: this.#stop.signal,
    };
    const views = newViews({ pods: { node: 'n1' }, services: {}, nodes: {} }, shared);
    const synced = views.synced();
    synced.catch(() => undefined);
    this.agent = newAgent({
      ...shared,
      machine: aMachine(),
      runtime: killPoint.guard('engine', this.runtime, ['create', 'start', 'rename', 'stop', 'kill', 'remove']),
      network: killPoint.guard('network', this.network, ['attach', 'detach']),
      storage: killPoint.guard('storage', this.storage, ['prepare', 'mounts', 'writeFiles', 'remove']),
      warmSandboxes: this.warmSandboxes,
      bus: this.bus,
      pods: views.pods,
      services: views.services,
      nodes: views.nodes,
      synced,
      dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
      tracer: trace.getTracer('test'),
      telling: { event: (about, type, reason, message) => this.told.push({ about, type, reason, message }) },
      check: async (_, target) => this.health.get(target.container.name) ?? { ok: true, message: '' },
      ...this.wish,
    });
  }

  /** The agent is gone as by kill -9; the engine goes on. */
  killAgent(): void {
    this.#stop.abort(new Error('killed'));
  }
  async restartAgent(between: () => Promise<void> = async () => undefined): Promise<void> {
    this.killAgent();
    await this.clock.advance(10);
    await between();
    this.startAgent();
    await this.until('the agent is back', () => this.killPoint.dead || this.agent.notReady() === undefined);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.clock.advance(10);
    await this.bus.close();
    await this.#registry.close();
    await this.store.close();
  }

  /** A pod on this node, as a user creates it; `spec` is what the test is about. */
  async createPod(name: string, spec: PodWish = {}): Promise<Pod> {
    const withImage = (container: object): object => ({ image: 'example/web:1', ...container });
    const containers = (spec.containers ?? [{ name: 'main' }]).map(withImage);
    const inits = spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(withImage) };
    return this.client.create('pods', {
      metadata: { name, namespace: 'default' },
      spec: { nodeName: 'n1', ...spec, ...inits, containers },
    });
  }

  get<R extends Resource>(resource: R, key: string): Promise<Objects[R] | undefined> {
    return this.client.get(resource, key);
  }
  async pod(name: string): Promise<Pod> {
    const pod = await this.get('pods', `default/${name}`);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  }
  async untilPod(name: string, what: string, check: (pod: Pod) => boolean, limitMs?: number): Promise<Pod> {
    let found: Pod | undefined;
    await this.until(
      `pod ${name} ${what}`,
      async () => {
        found = await this.get('pods', `default/${name}`);
        return found !== undefined && check(found);
      },
      limitMs,
    );
    if (found === undefined) throw new Error(`no pod ${name}`);
    return found;
  }
  untilRunning(name: string): Promise<Pod> {
    return this.untilPod(
      name,
      'is ready',
      (pod) => pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true,
    );
  }

  async containers(kind = 'container'): Promise<readonly RuntimeContainer[]> {
    return (await this.runtime.list()).filter((container) => container.labels['troupe.kind'] === kind);
  }
  async running(name: string): Promise<RuntimeContainer> {
    const found = (await this.containers()).find((c) => c.labels['troupe.container'] === name && c.state === 'running');
    if (found === undefined) throw new Error(`no running container ${name}`);
    return found;
  }

  /** Turns the clock until it is so. */
  async until(what: string, check: () => Promise<boolean> | boolean, limitMs = 60_000): Promise<number> {
    const from = this.clock.monotonic();
    while (!(await check())) {
      if (this.clock.monotonic() - from > limitMs) throw new Error(`${what}: not so after ${limitMs} ms`);
      await this.clock.advance(20);
    }
    return this.clock.monotonic() - from;
  }

  reasons(): readonly string[] {
    return this.told.map((event) => event.reason);
  }
}
