import { wait, type Clock } from '../../lib/base/clock.ts';
import { AddressPool } from './address-pool.ts';
import {
  NetworkError,
  type Attachment,
  type Connections,
  type Peer,
  type PodNetwork,
  type PortMapping,
} from './pod-network.ts';

/** Addresses without a network: for tests and for nodes that run no real containers. */
export interface FakeNetwork extends PodNetwork {
  readonly attached: ReadonlyMap<string, Attachment>;
  readonly peers: readonly Peer[];
  /** The host ports that led in from the first moment, by address. */
  readonly adoptedPorts: ReadonlyMap<string, readonly PortMapping[]>;
}

export interface FakeNetworkOptions {
  readonly clock?: Clock;
  /** What attaching takes; needs `clock`. */
  readonly attachMs?: number;
  /** The devices of the machine, where they outlive this agent. */
  readonly attached?: Map<string, Attachment>;
  /** What comes in from outside; default: nothing. */
  readonly connections?: () => Connections;
}

export function newFakeNetwork(options: FakeNetworkOptions = {}): FakeNetwork {
  const { clock, attachMs = 0, attached = new Map<string, Attachment>() } = options;
  let pool: AddressPool | undefined;
  let peers: readonly Peer[] = [];
  let adoptedPorts: ReadonlyMap<string, readonly PortMapping[]> = new Map();
  const inRange = (): AddressPool => {
    if (pool === undefined) throw new NetworkError('the node has no pod range yet');
    return pool;
  };
  return {
    attached,
    get peers() {
      return peers;
    },
    get configured() {
      return pool !== undefined;
    },
    get adoptedPorts() {
      return adoptedPorts;
    },
    async configure({ podCidr, inUse, hostPorts }) {
      if (pool?.cidr === podCidr) return;
      adoptedPorts = hostPorts ?? new Map();
      pool = new AddressPool(podCidr);
      for (const [uid, ip] of inUse) pool.adopt(uid, ip);
    },
    reserve: (podUid) => inRange().take(podUid),
    hand(from, to) {
      pool?.hand(from, to);
      const attachment = attached.get(from);
      if (attachment === undefined || from === to) return;
      attached.delete(from);
      attached.set(to, { ...attachment, podUid: to });
    },
    async attach(attachment) {
      if (clock !== undefined && attachMs > 0) await wait(clock, attachMs);
      attached.set(attachment.podUid, attachment);
    },
    connections: async () => options.connections?.() ?? { open: 0, busy: 0 },
    async detach(podUid) {
      attached.delete(podUid);
      pool?.release(podUid);
    },
    async sweep(podUids) {
      for (const uid of attached.keys()) if (!podUids.has(uid)) attached.delete(uid);
    },
    async setPeers(next) {
      peers = next;
    },
    async teardown() {
      attached.clear();
      peers = [];
    },
  };
}
