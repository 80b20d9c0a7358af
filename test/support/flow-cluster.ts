import { setMaxListeners } from 'node:events';
import { createNoopMeter, trace } from '@opentelemetry/api';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import { silentLog } from '../../lib/base/log.ts';
import type { ServiceContext } from '../../lib/base/lifecycle.ts';
import type { Telemetry } from '../../lib/base/telemetry.ts';
import type { ConfigTable } from '../../lib/base/config.ts';
import { MemoryBroker, MemoryBus } from '../../lib/bus/memory-bus.ts';
import { controllerOptions, startController, type ControllerSetup } from '../../lib/controller/service.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import { startRelay, type Relay } from '../../services/apiserver/relay/relay.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { autoscalerOptions } from '../../services/autoscaler/config.ts';
import { setup as autoscaler } from '../../services/autoscaler/setup.ts';
import { setup as deploymentController } from '../../services/deployment-controller/setup.ts';
import { setup as disruptionController } from '../../services/disruption-controller/setup.ts';
import { daemonOptions } from '../../services/daemonset-controller/config.ts';
import { setup as daemonSetController } from '../../services/daemonset-controller/setup.ts';
import { setup as endpointsController } from '../../services/endpoints-controller/setup.ts';
import { setup as garbageCollector } from '../../services/garbage-collector/setup.ts';
import { jobOptions } from '../../services/job-controller/config.ts';
import { setup as jobController } from '../../services/job-controller/setup.ts';
import { nodeControllerOptions } from '../../services/node-controller/config.ts';
import { setup as nodeController } from '../../services/node-controller/setup.ts';
import { persistentVolumeOptions } from '../../services/persistent-volume-controller/config.ts';
import { setup as persistentVolumeController } from '../../services/persistent-volume-controller/setup.ts';
import { rebalancerOptions } from '../../services/rebalancer/config.ts';
import { setup as rebalancer } from '../../services/rebalancer/setup.ts';
import { replicationOptions } from '../../services/replication-controller/config.ts';
import { setup as replicationController } from '../../services/replication-controller/setup.ts';
import { schedulerOptions } from '../../services/scheduler/config.ts';
import { setup as scheduler } from '../../services/scheduler/setup.ts';
import { FakeClock } from './fake-clock.ts';
import { startFlowAgent, type FlowFigures, type FlowMachine } from './flow-agent.ts';
import { startFlowProxy, type FlowProxy } from './flow-proxy.ts';
import type { FakeRuntime } from '../../node-agent/runtime/fake-runtime.ts';
import { RegistryClient } from './registry-client.ts';

const cluster = 'flow';
const meter = createNoopMeter();

/** The loops by name, as their own processes would run them. */
const controllers = {
  scheduler: { table: schedulerOptions, setup: scheduler },
  'replication-controller': { table: replicationOptions, setup: replicationController },
  'deployment-controller': { table: {}, setup: deploymentController },
  'disruption-controller': { table: {}, setup: disruptionController },
  'daemonset-controller': { table: daemonOptions, setup: daemonSetController },
  'job-controller': { table: jobOptions, setup: jobController },
  autoscaler: { table: autoscalerOptions, setup: autoscaler },
  rebalancer: { table: rebalancerOptions, setup: rebalancer },
  'endpoints-controller': { table: {}, setup: endpointsController },
  'node-controller': { table: nodeControllerOptions, setup: nodeController },
  'garbage-collector': { table: {}, setup: garbageCollector },
  'persistent-volume-controller': { table: persistentVolumeOptions, setup: persistentVolumeController },
} as const;
export type LoopName = keyof typeof controllers;
export const loopNames = Object.keys(controllers) as readonly LoopName[];

/** Where loops are configured otherwise than by default. */
export type FlowConfig = { readonly [L in LoopName]?: Readonly<Record<string, unknown>> };

/** Something that runs and can be killed: nothing is told to it, and what it was about to do is lost. */
interface Running {
  readonly stop: AbortController;
  readonly client: RegistryClient;
  readonly bus: MemoryBus;
  readonly releases: (() => Promise<void> | void)[];
}

/**
 * A whole cluster in one process: memory store, registry, relay, every controller and agents on the fake runtime, on one
 * clock that the test turns and a bus that loses what the test says. `kill` is the in-process form of kill -9: from that
 * moment its calls fail and its bus is cut, wherever it was.
 */
export class FlowCluster {
  readonly clock = new FakeClock(Date.now());
  readonly broker = new MemoryBroker();
  store = new MemoryStore({ clock: this.clock });
  readonly #dropEvery: number;
  #agentsTell = false;
  readonly #config: FlowConfig;
  readonly #running = new Map<string, Running>();
  readonly #machines = new Map<string, FlowMachine>();
  #registry: RunningRegistry | undefined;
  #client: RegistryClient | undefined;
  #relay: { readonly relay: Relay; readonly stop: AbortController; readonly bus: MemoryBus } | undefined;
  #births = 0;

  private constructor(dropEvery: number, config: FlowConfig) {
    this.#dropEvery = dropEvery;
    this.#config = config;
  }

  /** All loops and `nodes` agents. `dropEvery` 3 loses every third message of each subscription. */
  static async start(options: {
    readonly nodes: number;
    readonly dropEvery?: number;
    /** Agents record Events. */
    readonly agentsTell?: boolean;
    readonly config?: FlowConfig;
  }): Promise<FlowCluster> {
    const made = new FlowCluster(options.dropEvery ?? 0, options.config ?? {});
    made.#agentsTell = options.agentsTell ?? false;
    made.#registry = await newRegistry({ store: made.store, clock: made.clock });
    made.#client = new RegistryClient(made.#registry);
    made.startRelay();
    for (const name of loopNames) await made.startLoop(name);
    for (let i = 1; i <= options.nodes; i++) made.startAgent(`node-${i}`);
    return made;
  }

  get registry(): RunningRegistry {
    if (this.#registry === undefined) throw new Error('the cluster has not started');
    return this.#registry;
  }
  get client(): RegistryClient {
    if (this.#client === undefined) throw new Error('the cluster has not started');
    return this.#client;
  }

  startRelay(): void {
    const bus = new MemoryBus(this.broker);
    const stop = new AbortController();
    const relay = startRelay({
      store: this.store,
      bus,
      stream: bus.stream,
      cluster,
      clock: this.clock,
      log: silentLog,
      meter,
      signal: stop.signal,
      exclusive: true,
    });
    this.#relay = { relay, stop, bus };
  }
  /** The relay falls silent and the bus is cut for everybody until `mendBus`. */
  breakBus(): void {
    this.#relay?.bus.disconnect();
    for (const { bus } of this.#running.values()) bus.disconnect();
  }
  mendBus(): void {
    this.#relay?.bus.reconnect();
    for (const { bus } of this.#running.values()) bus.reconnect();
  }

  /** The state is lost while everything runs on: an empty store behind the same door, as after a restore of the first backup. */
  async wipe(): Promise<void> {
    this.#relay?.stop.abort();
    await this.#relay?.relay.ended;
    await this.#relay?.bus.close();
    const old = { registry: this.registry, store: this.store };
    this.store = new MemoryStore({ clock: this.clock });
    this.#registry = await newRegistry({ store: this.store, clock: this.clock });
    for (const { client } of this.#running.values()) client.moveTo(this.#registry);
    this.client.moveTo(this.#registry);
    await old.registry.close();
    await old.store.close();
    this.startRelay();
  }

  async startLoop(name: LoopName): Promise<void> {
    const { table, setup } = controllers[name];
    const running = this.#newRunning();
    const context = { ...this.#contextOf(name, table, running), client: running.client, bus: running.bus };
    this.#running.set(name, running);
    await startController(name, context as never, setup as ControllerSetup);
  }

  startAgent(node: string): void {
    const running = this.#newRunning();
    this.#running.set(node, running);
    const known = this.#machines.get(node);
    const { machine } = startFlowAgent({
      ...{
        node,
        cluster,
        clock: this.clock,
        client: running.client,
        bus: running.bus,
        signal: running.stop.signal,
        meter,
        tells: this.#agentsTell,
      },
      ...(known !== undefined && { machine: known }),
    });
    this.#machines.set(node, machine);
  }

  /** A proxy for a node, which is killed by the name `proxy <node>`; clusters start without any. */
  startProxy(node: string, applyMs = 5): FlowProxy {
    const running = this.#newRunning();
    this.#running.set(`proxy ${node}`, running);
    const { client, bus, stop } = running;
    return startFlowProxy({ node, cluster, client, bus, clock: this.clock, signal: stop.signal, applyMs });
  }

  /** The engine of a node, which outlives its agent. */
  engineOf(node: string): FakeRuntime {
    const machine = this.#machines.get(node);
    if (machine === undefined) throw new Error(`there is no node ${node}`);
    return machine.runtime;
  }

  /** What probes on a node find, to be set. */
  probingOf(node: string): FlowMachine['probing'] {
    const machine = this.#machines.get(node);
    if (machine === undefined) throw new Error(`there is no node ${node}`);
    return machine.probing;
  }

  /** The names of the disks that a node has made; they outlive its agent. */
  disksOf(node: string): ReadonlySet<string> {
    return this.#machines.get(node)?.disks.names ?? new Set();
  }

  /** What a node has left and what its pods take, to be set. */
  figuresOf(node: string): FlowFigures {
    const machine = this.#machines.get(node);
    if (machine === undefined) throw new Error(`there is no node ${node}`);
    return machine.figures;
  }

  /** A loop or an agent, by name: gone from one moment to the next. */
  async kill(name: string): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    this.#running.delete(name);
    running.client.down = true;
    running.stop.abort(new Error('killed'));
    await running.bus.close();
  }

  async restart(name: string): Promise<void> {
    await this.kill(name);
    if (name in controllers) await this.startLoop(name as LoopName);
    else this.startAgent(name);
  }

  async list<R extends Resource>(resource: R, labelSelector?: string): Promise<readonly Objects[R][]> {
    return (await this.client.list(resource, labelSelector === undefined ? {} : { labelSelector })).items;
  }

  /** Turns the clock until `check` holds. Resolves to the fake milliseconds it took. */
  async until(what: string, check: () => Promise<boolean> | boolean, limitMs = 60_000): Promise<number> {
    const from = this.clock.monotonic();
    while (!(await check())) {
      if (this.clock.monotonic() - from > limitMs)
        throw new Error(`${what}: not so after ${limitMs} ms of the cluster's time`);
      await this.clock.advance(25);
    }
    return this.clock.monotonic() - from;
  }

  async stop(): Promise<void> {
    for (const name of [...this.#running.keys()]) await this.kill(name);
    this.#relay?.stop.abort();
    await this.#relay?.relay.ended;
    await this.#relay?.bus.close();
    await this.#registry?.close();
    await this.store.close();
  }

  #newRunning(): Running {
    const bus = new MemoryBus(this.broker);
    bus.dropEvery(this.#dropEvery);
    const stop = new AbortController();
    setMaxListeners(0, stop.signal); // every view and loop listens
    return { stop, client: new RegistryClient(this.registry), bus, releases: [] };
  }

  #contextOf(name: string, table: ConfigTable, running: Running): ServiceContext<ConfigTable> {
    const defaults = Object.fromEntries(
      Object.entries({ ...table, ...controllerOptions }).map(([key, option]) => [key, option.default]),
    );
    const telemetry: Telemetry = {
      meter,
      tracer: trace.getTracer('flow'),
      expose: () => undefined,
      ready: () => undefined,
      notReady: () => [],
      checks: () => [],
      metrics: async () => '',
      address: undefined,
      close: async () => undefined,
    };
    return {
      config: {
        ...defaults,
        ...this.#config[name as LoopName],
        cluster,
        identity: `${name}-${++this.#births}`,
        logLevel: 'silent',
        telemetry: '',
        otlp: '',
      },
      log: silentLog,
      clock: this.clock,
      telemetry,
      signal: running.stop.signal,
      onStop: (_, release) => running.releases.push(release),
      done: () => undefined,
    };
  }
}
