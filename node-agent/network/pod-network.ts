import type { HostPort } from '../../lib/api/pods.ts';
import type { Protocol } from '../../lib/api/objects.ts';

/**
 * Gives each pod of this node an address that every pod and node reaches without translation (F49, F51). Verbs may be
 * repeated: attaching what is attached and detaching what is gone succeed. Methods reject with NetworkError.
 */
export interface PodNetwork {
  /** Takes the node's range into use, with the addresses that running pods have already. Again with the same range does nothing. */
  configure(range: {
    readonly podCidr: string;
    readonly inUse: ReadonlyMap<string, string>;
    /** Those of running pods, by address: they go on leading in from the first moment. */
    readonly hostPorts?: ReadonlyMap<string, readonly PortMapping[]>;
  }): Promise<void>;
  /** Whether pods can have addresses yet. */
  readonly configured: boolean;
  /** The pod's address, the same on every call until `detach`. Throws NetworkError when the range is used up. */
  reserve(podUid: string): string;
  /** Makes what was reserved and attached for one that of another, without touching it: host ports and sysctls take an `attach`. */
  hand(from: string, to: string): void;
  /** Joins the sandbox's network namespace to the node. */
  attach(attachment: Attachment): Promise<void>;
  /** The connections that others have made into the namespace of this process. Rejects when that cannot be looked at. */
  connections(pid: number): Promise<Connections>;
  /** Removes what `attach` made and frees the address. */
  detach(podUid: string): Promise<void>;
  /** Removes what is left of pods other than these, as after a crash of the agent. */
  sweep(podUids: ReadonlySet<string>): Promise<void>;
  /** Makes the pods of other nodes reachable through those nodes. */
  setPeers(peers: readonly Peer[]): Promise<void>;
  /** Removes all that the network made on this machine. */
  teardown(): Promise<void>;
}

/** At one moment. */
export interface Connections {
  /** Those that are open, or still have something to deliver. */
  readonly open: number;
  /** Those that a stop would cut short: something is under way, or an answer is owed. */
  readonly busy: number;
}

export interface Attachment {
  readonly podUid: string;
  readonly ip: string;
  /** A process in the sandbox's namespace. */
  readonly pid: number;
  readonly hostPorts: readonly PortMapping[];
  /** Kernel settings of the pod's network. */
  readonly sysctls?: readonly { readonly name: string; readonly value: string }[];
  /** It may have been attached before, by an agent that ran before this one. */
  readonly adopted: boolean;
}

/** A port of the node that leads into the pod. */
export interface PortMapping extends HostPort {
  readonly protocol: Protocol;
  readonly containerPort: number;
}

export interface Peer {
  readonly podCidr: string;
  readonly nodeIp: string;
}

export class NetworkError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'NetworkError';
  }
}
