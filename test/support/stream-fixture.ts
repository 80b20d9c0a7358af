import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import { MemoryBus } from '../../lib/bus/memory-bus.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { newPodStreams, type PodStreams } from '../../lib/client/pod-streams.ts';
import { newFakeRuntime, type FakeRuntime } from '../../node-agent/runtime/fake-runtime.ts';
import { label, podContainerOf, type PodContainer } from '../../node-agent/labels.ts';
import { servePodStreams } from '../../node-agent/streams/stream-server.ts';
import type { StreamPod } from '../../node-agent/streams/target.ts';
import { newGrpcServer, type GrpcServer } from '../../services/apiserver/grpc/server.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import { newFanOut } from '../../services/apiserver/door/fan-out.ts';
import { newIdentities } from '../../services/apiserver/identity/identities.ts';
import { newRestDoor } from '../../services/apiserver/rest/door.ts';
import { newRestServer, type RestServer } from '../../services/apiserver/rest/http.ts';
import { newUpgrade } from '../../services/apiserver/rest/streams/upgrade.ts';
import { newUsage } from '../../services/apiserver/usage/usage.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { newNodeStreams, type NodeStreams } from '../../services/apiserver/streams/node-streams.ts';
import { RegistryClient } from './registry-client.ts';

interface Wish {
  readonly containers?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostNetwork?: boolean;
  readonly stdin?: boolean;
  /** The empty name: it has no node yet. */
  readonly node?: string;
  readonly started?: boolean;
  readonly status?: Partial<Pod['status']>;
}

/** The way into pods in one process: our client, the gRPC door, a bus, the agent's part, and an engine in memory. */
export class StreamFixture {
  readonly runtime: FakeRuntime = newFakeRuntime();
  readonly agentBus = new MemoryBus();
  readonly bus = new MemoryBus(this.agentBus.broker);
  readonly streams: PodStreams;
  readonly address: string;
  readonly client: RegistryClient;
  readonly #registry: RunningRegistry;
  readonly #store: MemoryStore;
  readonly #door: GrpcServer;
  readonly #nodeStreams: NodeStreams;
  #rest: RestServer | undefined;
  readonly #pods: Pod[] = [];
  #agent = new AbortController();
  #found: PodContainer[] = [];

  private constructor(
    store: MemoryStore,
    registry: RunningRegistry,
    door: { server: GrpcServer; address: string; streams: NodeStreams },
    buses: { bus: MemoryBus; agentBus: MemoryBus },
  ) {
    this.#store = store;
    this.#registry = registry;
    this.#door = door.server;
    this.#nodeStreams = door.streams;
    this.address = door.address;
    this.bus = buses.bus;
    this.agentBus = buses.agentBus;
    this.client = new RegistryClient(registry);
    this.streams = newPodStreams({ address: door.address, timeoutMs: 2_000 });
  }

  static async start(): Promise<StreamFixture> {
    const store = new MemoryStore();
    const registry = await newRegistry({ store });
    const agentBus = new MemoryBus();
    const bus = new MemoryBus(agentBus.broker);
    const streams = newNodeStreams({ bus, cluster: 'c', clock: systemClock });
    const server = newGrpcServer(registry, { drainMs: 200, streams });
    const door = { server, streams, address: await server.start('127.0.0.1:0') };
    const fixture = new StreamFixture(store, registry, door, { bus, agentBus });
    fixture.startAgent();
    return fixture;
  }

  /** Opens the REST door too, to whoever comes; resolves to `host:port`. */
  async rest(): Promise<string> {
    const identities = newIdentities({ registry: this.#registry, clock: systemClock });
    const parts = {
      ...{ registry: this.#registry, identities, clock: systemClock, streams: this.#nodeStreams },
      fallback: { user: 'admin', groups: ['system:masters'] },
    };
    const door = newRestDoor({
      ...parts,
      fanOut: newFanOut(this.#registry),
      usage: newUsage(this.#registry, undefined),
      random: () => 0.5,
      checks: () => [],
    });
    this.#rest = newRestServer({ door, upgrade: newUpgrade(parts) });
    return this.#rest.start('127.0.0.1:0');
  }

  startAgent(): void {
    this.#agent = new AbortController();
    servePodStreams({
      ...{ bus: this.agentBus, cluster: 'c', node: 'n1', runtime: this.runtime },
      ...{ clock: systemClock, log: silentLog, signal: this.#agent.signal },
      pods: () => this.#pods.map((pod) => this.#streamPod(pod)),
    });
  }
  stopAgent(): void {
    this.#agent.abort(new Error('stopped'));
  }

  /** A pod in the API, and its containers running in the engine. */
  async pod(name: string, wish: Wish = {}): Promise<Pod> {
    const {
      containers = ['main'],
      annotations = {},
      hostNetwork = false,
      stdin = false,
      node = 'n1',
      started = true,
    } = wish;
    const made = await this.client.create('pods', {
      metadata: { name, namespace: 'default', annotations },
      spec: {
        containers: containers.map((each) => ({ name: each, image: 'example/app:1', stdin })),
        hostNetwork,
        ...(node === '' ? {} : { nodeName: node }),
      },
    });
    const pod = { ...made, status: { ...made.status, ...wish.status } };
    this.#pods.push(pod);
    if (started) for (const container of ['', ...containers]) await this.run(pod, container, 0);
    return pod;
  }

  /** Starts one life of a container; the empty name is the sandbox. */
  async run(pod: Pod, container: string, attempt: number): Promise<string> {
    const id = await this.runtime.create({
      name: `${pod.metadata.name}-${container}-${attempt}`,
      image: 'example/app:1',
      labels: {
        [label.kind]: container === '' ? 'sandbox' : 'container',
        [label.namespace]: 'default',
        [label.pod]: pod.metadata.name,
        [label.uid]: pod.metadata.uid,
        [label.container]: container,
        [label.attempt]: String(attempt),
      },
      env: [],
      mounts: [],
    });
    await this.runtime.start(id);
    await this.look();
    return id;
  }

  /** Sees the containers anew, as the agent does at every event. */
  async look(): Promise<void> {
    this.#found = (await this.runtime.list()).flatMap((container) => podContainerOf(container) ?? []);
  }

  idOf(pod: string, container: string): string {
    const found = this.#found.findLast((each) => each.podName === pod && each.name === container);
    if (found === undefined) throw new Error(`no container ${container} of ${pod}`);
    return found.is.id;
  }

  async stop(): Promise<void> {
    this.streams.close();
    this.stopAgent();
    await this.#rest?.stop();
    await this.#door.stop();
    await this.#registry.close();
    await this.#store.close();
  }

  #streamPod(pod: Pod): StreamPod {
    const containers = this.#found.filter(({ uid }) => uid === pod.metadata.uid);
    return { key: `default/${pod.metadata.name}`, uid: pod.metadata.uid, pod, containers };
  }
}
