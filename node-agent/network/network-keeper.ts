import type { Pod } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { PodContainer } from '../labels.ts';
import type { NodeSource } from '../node/node-keeper.ts';
import { portMappings } from '../perform.ts';
import type { Peer, PodNetwork, PortMapping } from './pod-network.ts';

const peersPauseMs = 100;
const retryMs = 2_000;

/** A pod that may be in the network. */
interface PodInNetwork {
  readonly uid: string;
  readonly pod: Pod;
  readonly containers: Iterable<PodContainer>;
}

export interface NetworkKeeperOptions {
  readonly network: PodNetwork;
  readonly nodes: NodeSource;
  readonly node: string;
  /** Whether the pods of other nodes must be reachable from here. */
  readonly routes: boolean;
  readonly pods: () => Iterable<PodInNetwork>;
  /** Sandboxes without a pod: whose they count as, and their addresses. */
  readonly warm: () => ReadonlyMap<string, string>;
  /** The range is in use from now: pods can have addresses. Called once. */
  readonly onRange: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Keeps the network of pods in step with the Nodes: the own range as soon as there is one, routes to the others. */
export class NetworkKeeper {
  readonly #options: NetworkKeeperOptions;
  #taking = false;
  #waiting = false;
  #again = false;

  constructor(options: NetworkKeeperOptions) {
    this.#options = options;
  }

  /** undefined when pods can have addresses, else why not. */
  missing(): string | undefined {
    return this.#options.network.configured ? undefined : 'the node has no range of pod addresses (podCIDR) yet';
  }

  /** Some Node has changed. */
  changed(key: string): void {
    if (key === this.#options.node) void this.takeRange();
    else this.peersChanged();
  }

  /** Takes the node's own range into use, if it has come. */
  async takeRange(): Promise<void> {
    const { nodes, network, node, warm, log, clock } = this.#options;
    const podCidr = nodes.get(node)?.spec.podCIDR;
    if (podCidr === undefined || podCidr === '' || network.configured || this.#taking) return;
    this.#taking = true;
    try {
      await network.configure({ podCidr, inUse: this.#addressesInUse(), hostPorts: this.#hostPortsInUse() });
      await network.sweep(new Set([...[...this.#options.pods()].map(({ uid }) => uid), ...warm().keys()]));
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the pod network could not be set up; trying again');
      clock.after(retryMs, () => void this.takeRange());
      return;
    } finally {
      this.#taking = false;
    }
    log.info({ podCidr }, 'took the pod range into use');
    this.#options.onRange();
  }

  /** Nodes come in crowds: what a moment brings is taken together, one round at a time. */
  peersChanged(): void {
    const { nodes, network, node, log, clock, signal, routes } = this.#options;
    if (!routes || signal.aborted) return;
    this.#again = this.#waiting;
    if (this.#waiting) return;
    this.#waiting = true;
    clock.after(peersPauseMs, () => {
      network
        .setPeers(peersOf(nodes, node))
        .catch((error: unknown) => {
          log.warn({ error: messageOf(error) }, 'the routes to other nodes could not be set');
        })
        .finally(() => {
          this.#waiting = false;
          const again = this.#again;
          this.#again = false;
          if (again) this.peersChanged();
        });
    });
  }

  #addressesInUse(): ReadonlyMap<string, string> {
    const inUse = new Map<string, string>(this.#options.warm());
    for (const pod of this.#options.pods()) {
      for (const { kind, ip } of pod.containers) if (kind === 'sandbox' && ip !== undefined) inUse.set(pod.uid, ip);
    }
    return inUse;
  }

  #hostPortsInUse(): ReadonlyMap<string, readonly PortMapping[]> {
    const inUse = new Map<string, readonly PortMapping[]>();
    for (const pod of this.#options.pods()) {
      const ports = portMappings(pod);
      for (const { kind, ip, is } of pod.containers)
        if (kind === 'sandbox' && ip !== undefined && is.state === 'running' && ports.length > 0) inUse.set(ip, ports);
    }
    return inUse;
  }
}

function peersOf(nodes: NodeSource, self: string): readonly Peer[] {
  return nodes.list().flatMap((node) => {
    const podCidr = node.spec.podCIDR ?? '';
    const nodeIp = node.status.addresses?.find((address) => address.type === 'InternalIP')?.address ?? '';
    return node.metadata.name === self || podCidr === '' || nodeIp === '' ? [] : [{ podCidr, nodeIp }];
  });
}
