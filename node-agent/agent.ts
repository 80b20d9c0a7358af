import type { Key } from '../lib/api/keys.ts';
import type { Pod } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { wait } from '../lib/base/clock.ts';
import { messageOf } from '../lib/base/errors.ts';
import { firstComeFirst, misfitOf } from './admission.ts';
import { oomKillsBeside } from './cgroups/oom-kills.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import { podContainerOf, uidOf, type PodContainer } from './labels.ts';
import { tellMaintenance } from './maintenance.ts';
import { NodeKeeper } from './node/node-keeper.ts';
import type { Health } from './node/node-status.ts';
import { podReference, type AgentParts } from './parts.ts';
import { PodWorker } from './pod-worker.ts';
import { forgottenPod } from './forgotten-pod.ts';
import type { RuntimeContainer, RuntimeEvent } from './runtime/runtime.ts';
import type { PodInSight } from './stats/sampler.ts';
import { tellDeath } from './withdrawal/deaths.ts';
import { servePodStreams } from './streams/stream-server.ts';
import { watchSizes } from './volumes/size-watch.ts';
import { agentParts, type AgentOptions } from './agent-options.ts';
import { sweepFolders, sweepGroups } from './leftovers.ts';
import { NetworkKeeper } from './network/network-keeper.ts';

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

const retry = { firstMs: 100, maxMs: 5_000 };

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
  readonly #network: NetworkKeeper;
  readonly #workers = new Map<string, PodWorker>();
  readonly #uidByKey = new Map<Key, string>();
  /** Pods that were refused when they came: they take no room. */
  readonly #turnedAway = new Set<string>();
  /** Pods of which it is being asked whether there is room for them. */
  readonly #inDoubt = new Set<string>();
  #engine: string | undefined = 'the container engine has not answered yet';
  #working = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { cluster, machine, nodes, network, client, bus, clock, log, signal } = options;
    this.#parts = agentParts(options, {
      onConfig: (uid) => this.#workers.get(uid)?.configChanged(),
      onExit: (containerId) => {
        for (const worker of this.#workers.values()) {
          if (![...worker.containers].some(({ is }) => is.id === containerId)) continue;
          this.#tellDeath(containerId, worker);
          worker.exited(containerId);
        }
      },
    });
    this.#network = new NetworkKeeper({
      ...{ network, nodes, node: machine.name, routes: options.routes ?? true, clock, log, signal },
      pods: () => this.#workers.values(),
      warm: () => this.#parts.warm.addresses(),
      onRange: () => {
        for (const worker of this.#workers.values()) worker.wake();
        this.#parts.warm.fill();
        this.#keeper.check();
      },
    });
    this.#keeper = new NodeKeeper({
      ...{ cluster, machine, nodes, client, bus, clock, log, signal },
      health: () => this.#health(),
      images: () => options.nodeImages?.(),
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
    return this.#engine ?? (this.#working ? this.#network.missing() : 'the views are not complete yet');
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
        this.#network.changed(key);
      });
      pods.onChange(({ key, after }) => {
        this.#onPod(key, after);
      });
      for (const pod of firstComeFirst(pods.list())) this.#onPod(keyOf(pod), pod); // whoever came meanwhile
      await this.#network.takeRange();
      this.#network.peersChanged();
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
    if (this.#inDoubt.has(uid)) return;
    const refusal = isNew ? this.#options.refuse?.(pod) : undefined;
    if (isNew && refusal === undefined && this.#misfit(pod, this.#options.pods.list()) !== undefined)
      void this.#ask(key, pod);
    else this.#take(pod, refusal);
  }

  #take(pod: Pod, refusal: EndOrder | undefined): void {
    const worker = this.#workerFor(pod);
    if (refusal !== undefined && worker.evict(refusal)) this.#turnedAway.add(pod.metadata.uid);
    worker.heard(pod);
  }

  /** Where a pod does not fit by what was heard, the API is asked: word of one that made room for it may have been lost. */
  async #ask(key: Key, { metadata: { uid } }: Pod): Promise<void> {
    const { client, machine, pods, signal, clock } = this.#options;
    this.#inDoubt.add(uid);
    let now: readonly Pod[] | undefined;
    for (let attempt = 0; now === undefined && !signal.aborted; attempt++) {
      const selected = { fieldSelector: `spec.nodeName=${machine.name}` };
      now = await client.list('pods', selected, { signal }).then(
        ({ items }) => items,
        () => undefined,
      );
      if (now === undefined) await wait(clock, backoffMs(attempt, retry), signal).catch(() => undefined);
    }
    this.#inDoubt.delete(uid);
    const pod = pods.get(key);
    if (now !== undefined && pod?.metadata.uid === uid) this.#take(pod, this.#misfit(pod, now));
  }

  /** Those that were taken already, as the API tells of them: their room is free when it says so, for schedulers and for us. */
  #misfit(pod: Pod, all: readonly Pod[]): EndOrder | undefined {
    const { machine, nodes } = this.#options;
    const taken = all.filter(({ metadata: { uid } }) => this.#workers.has(uid) && !this.#turnedAway.has(uid));
    return misfitOf(pod, nodes.get(machine.name), taken);
  }

  #workerFor(pod: Pod): PodWorker {
    const { uid } = pod.metadata;
    let worker = this.#workers.get(uid);
    if (worker === undefined) {
      worker = new PodWorker(this.#parts, pod, (over) => {
        this.#workers.delete(over);
        this.#turnedAway.delete(over);
        const key = keyOf(pod);
        if (this.#uidByKey.get(key) === over) this.#uidByKey.delete(key);
      });
      this.#workers.set(uid, worker);
    }
    return worker;
  }

  // ---- What the engine tells -------------------------------------------------------------------

  async #onEvent({ type, containerId, name, labels }: RuntimeEvent): Promise<void> {
    if (type === 'die') this.#parts.warm.died(containerId);
    const worker = this.#workers.get(uidOf(name, labels) ?? '');
    if (worker === undefined) return;
    if (type === 'die') this.#tellDeath(containerId, worker);
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

  #tellDeath(containerId: string, worker: PodWorker): void {
    const { bus, cluster, machine, services } = this.#options;
    const { wall, metrics } = this.#parts;
    if (tellDeath({ bus, cluster, node: machine, services, wall }, containerId, worker)) metrics.deathsTold.add(1);
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
    void this.#endLeftProcesses(found);
    await sweepGroups(this.#options.cgroups, (uid) => known.has(uid) || this.#workers.has(uid), log);
    await this.#sweepFolders();
    log.info({ adopted, pods: known.size }, 'took over what runs');
  }

  /** Commands of callers who lost them when the agent before this one was killed. */
  async #endLeftProcesses(found: readonly RuntimeContainer[]): Promise<void> {
    const { runtime, log } = this.#options;
    for (const { id, name, state } of found) {
      if (state !== 'running') continue;
      try {
        const ended = await runtime.endLeftProcesses(id);
        if (ended > 0) log.info({ container: name, ended }, 'ended commands whose callers have gone');
      } catch (error) {
        log.warn({ container: name, error: messageOf(error) }, 'what was left of commands could not be looked for');
      }
    }
  }

  async #sweepFolders(): Promise<void> {
    const { pods, storage, log } = this.#options;
    const known = new Set(pods.list().map((pod) => pod.metadata.uid));
    await sweepFolders(storage, (uid) => known.has(uid) || this.#workers.has(uid), log);
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
    return { engine: this.#engine, network: this.#network.missing(), ...(this.#options.pressure?.() ?? none) };
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
