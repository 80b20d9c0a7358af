import type { Meter, Tracer } from '@opentelemetry/api';
import type { Key } from '../lib/api/keys.ts';
import type { Pod } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { wait, type Clock } from '../lib/base/clock.ts';
import { messageOf } from '../lib/base/errors.ts';
import type { Log } from '../lib/base/log.ts';
import type { EventBus } from '../lib/bus/bus.ts';
import type { Client } from '../lib/client/client.ts';
import { oomKillsBeside } from './cgroups/oom-kills.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import { newObjectFollower, type ObjectFollower } from '../lib/view/follow.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import type { ImageKeeper } from './images/image-keeper.ts';
import { newImagePuller } from './images/image-puller.ts';
import { podContainerOf, uidOf, type PodContainer } from './labels.ts';
import { Limit } from './limit.ts';
import { tellMaintenance } from './maintenance.ts';
import { agentMetrics } from './metrics.ts';
import { portMappings } from './perform.ts';
import type { Peer, PodNetwork, PortMapping } from './network/pod-network.ts';
import { NodeKeeper, type NodeSource } from './node/node-keeper.ts';
import type { Health, Machine } from './node/node-status.ts';
import { podReference, type AgentParts, type ServiceSource, type Telling } from './parts.ts';
import type { DnsSettings } from './pod-files.ts';
import type { PodSource } from './pod-source.ts';
import type { PodStorage } from './pod-storage.ts';
import { PodWorker } from './pod-worker.ts';
import { newChecker, type Checker } from './probes/checks.ts';
import { forgottenPod } from './forgotten-pod.ts';
import { infraImageName } from './runtime/infra-image.ts';
import type { ContainerRuntime, RuntimeContainer, RuntimeEvent } from './runtime/runtime.ts';
import type { NodeSecurity } from './security/container-security.ts';
import type { PodInSight } from './stats/sampler.ts';
import { steadyClock } from './steady-time.ts';
import { WarmPool } from './warm/warm-pool.ts';
import { newStatusWriter, type StatusWriter } from './status-writer.ts';
import { servePodStreams } from './streams/stream-server.ts';
import { FollowedConfig } from './volumes/followed-config.ts';
import { PodTokens } from './volumes/pod-tokens.ts';
import { watchSizes } from './volumes/size-watch.ts';

/** What an agent is made of. Everything is handed in, so that a whole cluster can live in one process on fakes. */
export interface AgentOptions {
  readonly cluster: string;
  readonly machine: Machine;
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly storage: PodStorage;
  readonly client: Client;
  readonly bus: EventBus | undefined;
  readonly pods: PodSource;
  readonly services: ServiceSource;
  readonly nodes: NodeSource;
  /** Resolves when the three above are complete; nothing is ended or started before. */
  readonly synced: Promise<unknown>;
  readonly dns: DnsSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly signal: AbortSignal;
  /** Where Events go; default: nowhere. */
  readonly telling?: Telling;
  /** Can be shared by many agents. Default: one of its own. */
  readonly statuses?: StatusWriter;
  readonly follower?: ObjectFollower;
  readonly check?: Checker;
  /** What the machine is short of, as last looked at. */
  /** Why a pod that has just come must not start here; default: every pod may. */
  readonly refuse?: (pod: Pod) => EndOrder | undefined;
  readonly pressure?: () => Pick<Health, 'memory' | 'disk' | 'processes'>;
  /** Default: no seccomp profiles of its own, and the safe kernel settings only. */
  readonly security?: NodeSecurity;
  readonly cgroups?: PodCgroups | undefined;
  readonly maxPodPids?: number;
  /** Told of every pull; default: nobody remembers. */
  readonly images?: Pick<ImageKeeper, 'pulled'>;
  readonly infraImage?: string;
  /** How many sandboxes are kept ready in advance; only where the engine knows late host names. Default 0. */
  readonly warmSandboxes?: number;
  readonly maxParallelSteps?: number;
  readonly maxParallelPulls?: number;
  readonly heartbeatMs?: number;
  /** After so long without a byte either way a stream into a pod ends. */
  readonly streamIdleMs?: number;
  readonly leaseMs?: number;
  /** The slow net under the engine's events. */
  readonly relistMs?: number;
  /** Whether the pods of other nodes must be reachable from here; default: yes. Nodes without real pods need no routes. */
  readonly routes?: boolean;
}

export interface Agent {
  /** undefined when it can run pods, else why not. */
  notReady(): string | undefined;
  /** Looks at the machine's health anew. */
  checkNode(): void;
  /** Ends a pod from here (`PodWorker.evict`); false where there is no such pod, or it is ending already. */
  evict(podUid: string, order: EndOrder): boolean;
  /** Gives up the remains of containers that ended (`PodWorker.tidy`), of these pods or of all; whether there were any. */
  tidy(podUids?: readonly string[]): boolean;
  /** The pods that are being looked after. */
  readonly podCount: number;
  /** Sandboxes that are ready for pods to come. */
  readonly warmCount: number;
  pods(): Iterable<PodInSight>;
}

const telling: Telling = { event: () => undefined };
const retry = { firstMs: 100, maxMs: 5_000 };
const peersPauseMs = 100;

/**
 * Starts an agent; it lasts until `signal` aborts, and then leaves every container running. It comes to work when the
 * engine answers and the views are complete, takes over what runs, ends what the API does not know, and follows from there.
 */
export function newAgent(options: AgentOptions): Agent {
  const agent = new RunningAgent(options);
  void agent.run();
  return agent;
}

class RunningAgent implements Agent {
  readonly #options: AgentOptions;
  readonly #parts: AgentParts;
  readonly #keeper: NodeKeeper;
  readonly #workers = new Map<string, PodWorker>();
  readonly #uidByKey = new Map<Key, string>();
  #engine: string | undefined = 'the container engine has not answered yet';
  #working = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { machine, runtime, clock, log, signal, client } = options;
    const metrics = agentMetrics(options.meter);
    const steps = new Limit(options.maxParallelSteps ?? 8);
    const image = options.infraImage ?? infraImageName;
    const size = options.warmSandboxes ?? 0;
    this.#parts = {
      runtime,
      network: options.network,
      storage: options.storage,
      client,
      pods: options.pods,
      services: options.services,
      followed: new FollowedConfig(
        options.follower ??
          newObjectFollower({ client, bus: options.bus, cluster: options.cluster, clock, log, signal }),
        (uid) => this.#workers.get(uid)?.configChanged(),
      ),
      tokens: new PodTokens({ client, clock }, (uid) => this.#workers.get(uid)?.configChanged()),
      statuses:
        options.statuses ??
        newStatusWriter({
          ...{ client, clock, log, signal },
          onWritten: (count, failed) => {
            metrics.statusWrites.add(count - failed, { outcome: 'ok' });
            if (failed > 0) metrics.statusWrites.add(failed, { outcome: 'refused' });
          },
        }),
      puller: newImagePuller(runtime, options.maxParallelPulls ?? 3, options.images),
      cgroups: options.cgroups,
      maxPodPids: options.maxPodPids ?? 0,
      security: options.security ?? { seccompDir: '', allowedSysctls: [] },
      check: options.check ?? newChecker(runtime),
      telling: options.telling ?? telling,
      node: machine,
      dns: options.dns,
      infraImage: image,
      warm: new WarmPool({ runtime, network: options.network, steps, image, size, clock, log, signal }),
      steps,
      clock: steadyClock(clock),
      wall: () => clock.now(),
      log,
      tracer: options.tracer,
      metrics,
      signal,
    };
    this.#keeper = new NodeKeeper({
      ...{ cluster: options.cluster, machine, nodes: options.nodes, client, bus: options.bus, clock, log, signal },
      health: () => this.#health(),
      heartbeatMs: options.heartbeatMs ?? 500,
      leaseMs: options.leaseMs ?? 10_000,
    });
  }

  get podCount(): number {
    return this.#workers.size;
  }
  get warmCount(): number {
    return this.#parts.warm.ready;
  }
  notReady(): string | undefined {
    return this.#engine ?? (this.#working ? this.#networkMissing() : 'the views are not complete yet');
  }
  checkNode(): void {
    this.#keeper.check();
  }
  pods(): Iterable<PodInSight> {
    return this.#workers.values();
  }

  evict(podUid: string, order: EndOrder): boolean {
    return this.#workers.get(podUid)?.evict(order) ?? false;
  }

  tidy(podUids: readonly string[] = [...this.#workers.keys()]): boolean {
    return podUids.filter((uid) => this.#workers.get(uid)?.tidy() === true).length > 0;
  }

  async run(): Promise<void> {
    const { runtime, signal, log, bus, cluster, machine, nodes, pods, synced } = this.#options;
    try {
      // First listen, then list: what happens in between is heard.
      runtime.events(
        (event) => void this.#onEvent(event),
        () => void this.#relist(),
        signal,
      );
      await synced;
      this.#keeper.start();
      if (bus !== undefined)
        servePodStreams({
          ...{ ...this.#parts, bus, cluster, node: machine.name, pods: () => this.#workers.values() },
          ...(this.#options.streamIdleMs === undefined ? {} : { idleMs: this.#options.streamIdleMs }),
        });
      const found = await this.#untilDone('the containers could not be listed', async () => {
        await runtime.prepare();
        return runtime.list();
      });
      await this.#adopt(found);
      this.#working = true;
      this.#setEngine(undefined);
      nodes.onChange(({ key }) => {
        if (key === machine.name) void this.#takeRange();
        else this.#peersChanged();
      });
      pods.onChange(({ key, after }) => {
        this.#onPod(key, after);
      });
      for (const pod of pods.list()) this.#onPod(keyOf(pod), pod); // whoever came meanwhile
      await this.#takeRange();
      this.#peersChanged();
      void this.#relistNowAndThen();
      tellMaintenance({
        ...{ node: machine.name, nodes, pods, client: this.#options.client },
        ...{ telling: this.#parts.telling, clock: this.#options.clock, log, signal },
      });
      void watchSizes({
        ...{ pods: () => pods.list(), clock: this.#options.clock, log, signal },
        usage: (uid, volume) => this.#options.storage.usage(uid, volume),
        evict: (uid, order) => this.evict(uid, order),
      });
    } catch (error) {
      if (!signal.aborted) log.error({ error }, 'the agent cannot go on');
    }
  }

  // ---- What others tell ------------------------------------------------------------------------

  #onPod(key: Key, pod: Pod | undefined): void {
    const known = this.#uidByKey.get(key);
    if (known !== undefined && known !== pod?.metadata.uid) this.#workers.get(known)?.heard(undefined);
    if (pod === undefined) return;
    const { uid } = pod.metadata;
    this.#uidByKey.set(key, uid);
    const isNew = !this.#workers.has(uid) && pod.status.startTime === undefined;
    const worker = this.#workerFor(pod);
    const refusal = isNew ? this.#options.refuse?.(pod) : undefined;
    if (refusal !== undefined) worker.evict(refusal);
    worker.heard(pod);
  }

  #workerFor(pod: Pod): PodWorker {
    const { uid } = pod.metadata;
    let worker = this.#workers.get(uid);
    if (worker === undefined) {
      worker = new PodWorker(this.#parts, pod, (over) => {
        this.#workers.delete(over);
        const key = keyOf(pod);
        if (this.#uidByKey.get(key) === over) this.#uidByKey.delete(key);
      });
      this.#workers.set(uid, worker);
    }
    return worker;
  }

  #takingRange = false;
  /** The node's own range has come, perhaps. */
  async #takeRange(): Promise<void> {
    const { nodes, network, machine, log, clock } = this.#options;
    const podCidr = nodes.get(machine.name)?.spec.podCIDR;
    if (podCidr === undefined || podCidr === '' || network.configured || this.#takingRange) return;
    this.#takingRange = true;
    try {
      await network.configure({ podCidr, inUse: this.#addressesInUse(), hostPorts: this.#hostPortsInUse() });
      await network.sweep(new Set([...this.#workers.keys(), ...this.#parts.warm.addresses().keys()]));
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the pod network could not be set up; trying again');
      clock.after(2_000, () => void this.#takeRange());
      return;
    } finally {
      this.#takingRange = false;
    }
    log.info({ podCidr }, 'took the pod range into use');
    for (const worker of this.#workers.values()) worker.wake();
    this.#parts.warm.fill();
    this.#keeper.check();
  }

  #peersWaiting = false;
  #peersAgain = false;
  /** Nodes come in crowds: what a moment brings is taken together, one round at a time. */
  #peersChanged(): void {
    const { nodes, network, machine, log, clock, signal, routes = true } = this.#options;
    if (!routes || signal.aborted) return;
    this.#peersAgain = this.#peersWaiting;
    if (this.#peersWaiting) return;
    this.#peersWaiting = true;
    clock.after(peersPauseMs, () => {
      network
        .setPeers(peersOf(nodes, machine.name))
        .catch((error: unknown) => {
          log.warn({ error: messageOf(error) }, 'the routes to other nodes could not be set');
        })
        .finally(() => {
          this.#peersWaiting = false;
          const again = this.#peersAgain;
          this.#peersAgain = false;
          if (again) this.#peersChanged();
        });
    });
  }

  #addressesInUse(): ReadonlyMap<string, string> {
    const inUse = new Map<string, string>(this.#parts.warm.addresses());
    for (const worker of this.#workers.values()) {
      for (const { kind, ip } of worker.containers)
        if (kind === 'sandbox' && ip !== undefined) inUse.set(worker.uid, ip);
    }
    return inUse;
  }

  #hostPortsInUse(): ReadonlyMap<string, readonly PortMapping[]> {
    const inUse = new Map<string, readonly PortMapping[]>();
    for (const worker of this.#workers.values()) {
      const ports = portMappings(worker);
      for (const { kind, ip, is } of worker.containers)
        if (kind === 'sandbox' && ip !== undefined && is.state === 'running' && ports.length > 0) inUse.set(ip, ports);
    }
    return inUse;
  }

  // ---- What the engine tells -------------------------------------------------------------------

  async #onEvent({ type, containerId, name, labels }: RuntimeEvent): Promise<void> {
    if (type === 'die') this.#parts.warm.died(containerId);
    const worker = this.#workers.get(uidOf(name, labels) ?? '');
    if (worker === undefined) return;
    if (type === 'start' && worker.version === undefined) return; // its own doing, as a rule: it looks itself, and lists tell the rest
    try {
      const found = type === 'destroy' ? undefined : await this.#options.runtime.inspect(containerId);
      const container = found === undefined ? undefined : podContainerOf(found);
      if (container === undefined) worker.forget(containerId);
      else worker.file(container);
      if (type === 'oom' && container !== undefined) await this.#onOutOfMemory(worker, container);
      worker.wake();
    } catch (error) {
      this.#options.log.debug(
        { container: containerId, error: messageOf(error) },
        'an event could not be followed; the next list will',
      );
      void this.#relist();
    }
  }

  /** A container that lives on lost one of its processes: its status cannot tell, so that an Event does. */
  async #onOutOfMemory(worker: PodWorker, { name, kind, is }: PodContainer): Promise<void> {
    if (kind === 'sandbox' || is.state !== 'running' || is.pid === undefined) return;
    const kills = (await oomKillsBeside(is.pid)) ?? 0;
    if (kills === 0) return;
    this.#parts.telling.event(
      podReference(worker.pod, name),
      'Warning',
      'OOMKilling',
      `The kernel ended a process of container ${name} for want of memory (${kills} so far); the container goes on`,
    );
  }

  async #relistNowAndThen(): Promise<void> {
    const { clock, signal, relistMs = 60_000 } = this.#options;
    while (!signal.aborted) {
      await wait(clock, relistMs * (0.9 + 0.2 * Math.random()), signal).catch(() => undefined);
      if (!signal.aborted) await this.#relist();
    }
  }

  #relisting: Promise<void> | undefined;
  /** Sees all containers anew, as after events may have been missed. Several calls at once are one. */
  #relist(): Promise<void> {
    if (!this.#working) return Promise.resolve();
    return (this.#relisting ??= this.#untilDone('the containers could not be listed', () => this.#relistOnce())
      .catch(() => undefined)
      .finally(() => {
        this.#relisting = undefined;
      }));
  }

  async #relistOnce(): Promise<void> {
    const versions = new Map([...this.#workers].map(([uid, worker]) => [uid, worker.version]));
    const found = await this.#options.runtime.list();
    await this.#parts.warm.seen(found);
    this.#parts.warm.fill();
    const byUid = groupByUid(found);
    this.#setEngine(undefined);
    for (const [uid, worker] of this.#workers) {
      const version = versions.get(uid);
      if (version === undefined || worker.version !== version) continue; // it knows better by now
      const found = byUid.get(uid) ?? [];
      const ids = new Set(found.map((container) => container.is.id));
      for (const container of found) worker.file(container);
      for (const { is } of [...worker.containers]) if (!ids.has(is.id)) worker.forget(is.id);
      worker.wake();
    }
    for (const [uid, containers] of byUid)
      if (!this.#workers.has(uid) && !versions.has(uid)) this.#endForgotten(containers);
    await this.#sweepFolders();
  }

  // ---- Taking over -----------------------------------------------------------------------------

  /** After a start: what runs for a known pod is that pod's, untouched; the rest is ended. */
  async #adopt(found: readonly RuntimeContainer[]): Promise<void> {
    const { pods, storage, log } = this.#options;
    await this.#parts.warm.seen(found);
    const known = new Map(pods.list().map((pod) => [pod.metadata.uid, pod]));
    let adopted = 0;
    for (const [uid, containers] of groupByUid(found)) {
      const pod = known.get(uid);
      if (pod === undefined) {
        this.#endForgotten(containers);
        continue;
      }
      this.#workerFor(pod).adopt(containers, await storage.isPrepared(pod));
      this.#parts.followed.resume(pod);
      this.#parts.tokens.resume(pod);
      adopted++;
    }
    await this.#sweepGroups(new Set([...known.keys(), ...this.#workers.keys()]));
    await this.#sweepFolders();
    log.info({ adopted, pods: known.size }, 'took over what runs');
  }

  /** Removes what is left of pods that are gone; what cannot be removed now is tried again with the next list. */
  async #sweepFolders(): Promise<void> {
    const { pods, storage, log } = this.#options;
    const known = new Set(pods.list().map((pod) => pod.metadata.uid));
    for (const uid of await storage.list()) {
      if (known.has(uid) || this.#workers.has(uid)) continue;
      await storage.remove(uid).catch((error: unknown) => {
        log.warn({ uid, error: messageOf(error) }, 'the folder of a pod that is gone could not be removed');
      });
    }
  }

  async #sweepGroups(keep: ReadonlySet<string>): Promise<void> {
    const { cgroups, log } = this.#options;
    try {
      for (const uid of (await cgroups?.list()) ?? []) if (!keep.has(uid)) await cgroups?.remove(uid);
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'control groups of pods that are gone could not be removed');
    }
  }

  /** Containers of a pod that the API does not know: it was removed by force while nobody looked. */
  #endForgotten(containers: readonly PodContainer[]): void {
    const first = containers[0];
    if (first === undefined) return;
    this.#options.log.info(
      { pod: `${first.namespace}/${first.podName}`, uid: first.uid },
      'ending a pod that the API does not know',
    );
    const worker = this.#workerFor(forgottenPod(first));
    for (const container of containers) worker.file(container);
    worker.heard(undefined);
  }

  // ---- Health ----------------------------------------------------------------------------------

  #health(): Health {
    const none = { memory: undefined, disk: undefined, processes: undefined };
    return { engine: this.#engine, network: this.#networkMissing(), ...(this.#options.pressure?.() ?? none) };
  }
  #networkMissing(): string | undefined {
    return this.#options.network.configured ? undefined : 'the node has no range of pod addresses (podCIDR) yet';
  }
  #setEngine(engine: string | undefined): void {
    if (engine === this.#engine) return;
    this.#engine = engine;
    this.#keeper.check();
  }

  /** Tries until it succeeds, for as long as the agent lives; the engine being away is told as the node's state. */
  async #untilDone<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { clock, signal, log } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) throw error;
        if (attempt === 0) log.warn({ error: messageOf(error) }, `${what}; trying on`);
        if (attempt >= 2) this.#setEngine(messageOf(error));
        await wait(clock, backoffMs(attempt, retry), signal);
      }
    }
  }
}

const keyOf = (pod: Pod): Key => `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;

function groupByUid(found: readonly RuntimeContainer[]): ReadonlyMap<string, readonly PodContainer[]> {
  const groups = new Map<string, PodContainer[]>();
  for (const is of found) {
    const container = podContainerOf(is);
    if (container === undefined) continue;
    groups.set(container.uid, [...(groups.get(container.uid) ?? []), container]);
  }
  return groups;
}

function peersOf(nodes: NodeSource, self: string): readonly Peer[] {
  return nodes.list().flatMap((node) => {
    const podCidr = node.spec.podCIDR ?? '';
    const nodeIp = node.status.addresses?.find((address) => address.type === 'InternalIP')?.address ?? '';
    return node.metadata.name === self || podCidr === '' || nodeIp === '' ? [] : [{ podCidr, nodeIp }];
  });
}
