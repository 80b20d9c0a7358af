import { isDeepStrictEqual } from 'node:util';
import { rfc3339Micro, wait, type Clock } from '../../lib/base/clock.ts';
import { backoffMs } from '../../lib/base/backoff.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { Labels, Node, NodeStatus } from '../../lib/api/objects.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { heartbeatSubject } from '../../lib/bus/subjects.ts';
import type { Client } from '../../lib/client/client.ts';
import { nodeAnnotations, nodeLabels, nodeStatus, type Health, type Machine } from './node-status.ts';

/** The Node objects that the process knows. A view of nodes is one. */
export interface NodeSource {
  get(key: string): Node | undefined;
  list(): readonly Node[];
  onChange(listener: (change: { readonly key: string }) => void): () => void;
  wrote(node: Node): void;
}

export interface NodeKeeperOptions {
  readonly cluster: string;
  readonly machine: Machine;
  readonly nodes: NodeSource;
  readonly client: Pick<Client, 'get' | 'create' | 'update' | 'updateStatus'>;
  readonly bus: EventBus | undefined;
  /** Looked at whenever the node's status may have to change. */
  readonly health: () => Health;
  /** The images that its engine holds; undefined: nothing is said of them. */
  readonly images: () => NodeStatus['images'];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** 0: none (for nodes that nobody watches over). */
  readonly heartbeatMs: number;
  readonly leaseMs: number;
}

const leaseNamespace = 'kube-node-lease';
const leaseDurationSeconds = 40;
const urgentEveryMs = 400;
const urgentForMs = 4_000;
const retry = { firstMs: 100, maxMs: 5_000 };

/**
 * Keeps this machine's Node as it is: created or adopted, status written when it differs, a heartbeat on the bus, a slow
 * Lease for when the bus is away. Lasts until `signal` aborts and survives whatever is away meanwhile.
 */
export class NodeKeeper {
  readonly #options: NodeKeeperOptions;
  #busy = false;
  #again = false;
  #failures = 0;
  #sequence = 0;
  /** What was written last, and what it became: the same is not said again even where the API spells it otherwise. */
  #said: { readonly resourceVersion: string; readonly status: NodeStatus } | undefined;
  #wakeLease: () => void = () => undefined;
  #busLostMs: number | undefined;

  constructor(options: NodeKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    const { nodes, machine, bus, clock, signal } = this.#options;
    const stop = nodes.onChange(({ key }) => {
      if (key === machine.name) this.check();
    });
    signal.addEventListener('abort', stop, { once: true });
    const stopHearing = bus?.onStatus((connected) => {
      this.#busLostMs = connected ? undefined : (this.#busLostMs ?? clock.monotonic());
      if (!connected) this.#wakeLease();
    });
    if (stopHearing !== undefined) signal.addEventListener('abort', stopHearing, { once: true });
    this.check();
    this.#beat();
    void this.#keepLease();
  }

  /** Looks whether the Node says what is so; call it when the machine's health has changed. */
  check(): void {
    this.#again = true;
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    const { clock, signal, log, machine } = this.#options;
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        await this.#sync();
        this.#failures = 0;
      } catch (error) {
        this.#again = true;
        const conflict = hasReason(error, 'Conflict', 'AlreadyExists');
        if (!conflict && this.#failures === 0)
          log.warn({ node: machine.name, error: messageOf(error) }, 'the Node could not be written; trying on');
        await wait(clock, backoffMs(this.#failures++, retry), signal).catch(() => undefined);
      }
    }
    this.#busy = false;
  }

  async #sync(): Promise<void> {
    const { client, nodes, machine, health, clock, signal, log } = this.#options;
    const { name } = machine;
    let node = this.#failures === 0 ? nodes.get(name) : undefined;
    node ??= await client.get('nodes', name, { signal });
    if (node === undefined) {
      const metadata = { name, labels: nodeLabels(machine), annotations: nodeAnnotations(machine) };
      node = await client.create('nodes', { metadata, spec: {} }, { signal });
      log.info({ node: name }, 'registered the node');
    }
    const labels = { ...node.metadata.labels, ...nodeLabels(machine) };
    const annotations = { ...node.metadata.annotations, ...nodeAnnotations(machine, node) };
    if (differs(labels, node.metadata.labels) || differs(annotations, node.metadata.annotations)) {
      node = await client.update('nodes', { ...node, metadata: { ...node.metadata, labels, annotations } }, { signal });
    }
    const images = this.#options.images() ?? node.status.images;
    const status = nodeStatus(node, machine, { ...health(), images }, clock.now());
    const said =
      this.#said?.resourceVersion === node.metadata.resourceVersion && isDeepStrictEqual(status, this.#said.status);
    if (status !== node.status && !said) {
      node = await client.updateStatus('nodes', { ...node, status }, { signal });
      this.#said = { resourceVersion: node.metadata.resourceVersion, status };
    }
    nodes.wrote(node);
  }

  /** Said on the bus alone: nobody stores it, and nobody is hurt when it is lost now and then. */
  #beat(): void {
    const { bus, cluster, machine, clock, heartbeatMs, signal } = this.#options;
    if (bus === undefined || heartbeatMs === 0 || signal.aborted) return;
    if (bus.connected) {
      const data = Buffer.from(
        JSON.stringify({ node: machine.name, sequence: ++this.#sequence, time: rfc3339Micro(clock.now()) }),
      );
      try {
        bus.publish({ subject: heartbeatSubject(cluster, machine.name), headers: {}, data });
      } catch {
        // the connection broke this very moment
      }
    }
    clock.after(heartbeatMs, () => {
      this.#beat();
    });
  }

  async #keepLease(): Promise<void> {
    const { clock, signal, log, machine, leaseMs } = this.#options;
    if (leaseMs === 0) return;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#renewLease();
        failures = 0;
        await this.#untilRenewal();
      } catch (error) {
        if (failures++ === 1)
          log.warn({ node: machine.name, error: messageOf(error) }, 'the node Lease could not be renewed; trying on');
        await wait(clock, backoffMs(failures, retry), signal).catch(() => undefined);
      }
    }
  }

  /**
   * Without the bus nobody hears our heartbeats, and the Lease speaks for us: often at first, so that it is heard before the
   * silence counts as our end, then slowly again.
   */
  async #untilRenewal(): Promise<void> {
    const { clock, leaseMs, signal } = this.#options;
    const withoutBusMs = this.#busLostMs === undefined ? undefined : clock.monotonic() - this.#busLostMs;
    const ms =
      withoutBusMs === undefined ? leaseMs : withoutBusMs < urgentForMs ? urgentEveryMs : Math.min(leaseMs, 5_000);
    const woken = new AbortController();
    this.#wakeLease = () => {
      woken.abort(new Error('the bus is away'));
    };
    await wait(clock, ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
    this.#wakeLease = () => undefined;
  }

  async #renewLease(): Promise<void> {
    const { client, machine, clock, signal } = this.#options;
    const { name } = machine;
    const renewTime = rfc3339Micro(clock.now());
    const lease = await client.get('leases', `${leaseNamespace}/${name}`, { signal });
    if (lease !== undefined) {
      await client.update(
        'leases',
        { ...lease, spec: { ...lease.spec, holderIdentity: name, leaseDurationSeconds, renewTime } },
        { signal },
      );
      return;
    }
    try {
      const spec = { holderIdentity: name, leaseDurationSeconds, acquireTime: renewTime, renewTime };
      await client.create('leases', { metadata: { name, namespace: leaseNamespace }, spec }, { signal });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
      await client.create('namespaces', { metadata: { name: leaseNamespace } }, { signal }).catch((inner: unknown) => {
        if (!hasReason(inner, 'AlreadyExists')) throw inner;
      });
      throw error; // with the namespace there, the next try succeeds
    }
  }
}

const differs = (wanted: Labels, has: Labels | undefined): boolean =>
  Object.entries(wanted).some(([key, value]) => has?.[key] !== value);
