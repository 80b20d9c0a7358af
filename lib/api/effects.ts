/** What a proxy or DNS server has made of the cluster's Services: its own word, asked for over the bus. Absent lists are empty. */
export interface EffectState {
  /** Who speaks: `proxy` or `dns`. */
  readonly part: string;
  /** Where it runs. */
  readonly node: string;
  /** Tells two of one part on one node apart. */
  readonly instance: string;
  /** How a proxy carries traffic, such as `nftables`; where a DNS server answers. */
  readonly mode: string;
  /** The latest revision of a Service and of an Endpoints object that is in effect; 0 before the first. */
  readonly servicesRevision: number;
  readonly endpointsRevision: number;
  /** How long the oldest change has been waiting to take effect; 0 where none is. */
  readonly behindMs: number;
  /** Services in effect. */
  readonly services: number;
  /** Differences from what should have been, found by its own checks since it started, and mended. */
  readonly drift: number;
  /** What it has for the Service that was asked about; absent when it has nothing. */
  readonly service?: ServiceEffect;
}

export interface ServiceEffect {
  /** The revision of the Service from which it was made. */
  readonly serviceRevision: string;
  /** That of its Endpoints; empty while there are none. */
  readonly endpointsRevision: string;
  readonly ports?: readonly PortEffect[];
}

/** One group of ways in, and where they lead. */
export interface PortEffect {
  /** `10.96.0.7:80/TCP`, `*:30080/TCP` for a port of every node, or a name. */
  readonly frontends?: readonly string[];
  /** `10.244.1.3:8080`, or addresses that a name answers with; at most 100 of them. */
  readonly backends?: readonly string[];
  /** How many there are. */
  readonly count: number;
}

/** What the service `Effects` answers. */
export interface EffectsReply {
  /** Of the Service that was asked about, when the question left: whoever has an older one is behind. */
  readonly serviceRevision?: string;
  readonly endpointsRevision?: string;
  readonly states?: readonly EffectState[];
  /** Nodes whose proxy did not answer. */
  readonly silent?: readonly { readonly node: string; readonly message: string }[];
}

/** Backends listed in one answer for one port. */
export const mostBackendsTold = 100;

/** Whether a state has the Service as it stood at these revisions, or later. Revisions of one store grow. */
export const isUpToDate = (effect: ServiceEffect, reply: EffectsReply): boolean =>
  atLeast(effect.serviceRevision, reply.serviceRevision) && atLeast(effect.endpointsRevision, reply.endpointsRevision);

const atLeast = (has: string, wanted = ''): boolean =>
  has.length === wanted.length ? has >= wanted : has.length > wanted.length;
