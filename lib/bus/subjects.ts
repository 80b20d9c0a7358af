/**
 * The subject grammar that integrators rely on: `<cluster>.v1.<resource>.<node or ->.<namespace or ->.<name>`.
 * Dots inside a token become `_`, since a dot separates tokens.
 */
export interface SubjectParts {
  readonly resource: string;
  readonly node?: string;
  readonly namespace?: string;
  readonly name: string;
}

export const token = (text: string | undefined): string =>
  text === undefined || text === '' ? '-' : text.replaceAll('.', '_');

/** The subject on which a change of this object is published. */
export const changeSubject = (cluster: string, parts: SubjectParts): string =>
  `${cluster}.v1.${token(parts.resource)}.${token(parts.node)}.${token(parts.namespace)}.${token(parts.name)}`;

/** The channel of a subject, resource and node: the messages on one channel form a chain. */
export const channelOf = (resource: string, node: string | undefined): string => `${token(resource)}.${token(node)}`;

/** A subscription to one resource, on one node when given. */
export const resourceSubject = (cluster: string, resource: string, node?: string): string =>
  node === undefined ? `${cluster}.v1.${token(resource)}.>` : `${cluster}.v1.${token(resource)}.${token(node)}.>`;

/** The changes of one resource, many in a message, for views of everything (`bundle.ts`); not captured by the stream. */
export const bundleSubject = (cluster: string, resource: string): string => `${cluster}.bundle.${token(resource)}`;

/** Everything that changes in the cluster. */
export const allSubjects = (cluster: string): string => `${cluster}.v1.>`;

/** What an agent says of its own life every 500 ms; not captured by the stream. */
export const heartbeatSubject = (cluster: string, node: string): string => `${cluster}.heartbeat.${token(node)}`;
/** Questions to one node's agent, such as logs; not captured by the stream. */
export const nodeSubject = (cluster: string, node: string, verb: string): string =>
  `${cluster}.node.${token(node)}.${verb}`;

/** Questions to all proxies and DNS servers on what they have in effect; not captured by the stream. */
export const effectsSubject = (cluster: string): string => `${cluster}.effects`;
/** What proxies have carried, asked of all of them: see `traffic-figures.ts`. */
export const trafficSubject = (cluster: string): string => `${cluster}.traffic`;

/** The relay's word, every second, on how far it has published (`RelayStatus` as JSON); not captured by the stream. */
export const relaySubject = (cluster: string): string => `${cluster}.relay`;

/** What the relay says of itself. A view that hears nothing for a while reads through gRPC instead. */
export interface RelayStatus {
  /** Which relay speaks; one publishes at a time. */
  readonly relay: string;
  readonly epoch: string;
  /** The last revision of the store that was looked at: everything up to it has been published. */
  readonly revision: number;
  /** It still publishes what was committed before it began: news comes late by the bus. */
  readonly catchingUp?: true;
  /** The revision of the last message per resource; a resource that is absent had none in this epoch. */
  readonly positions: Readonly<Record<string, number>>;
}

/**
 * Resources whose changes are not published: Leases, since their renewals would push everything else out of the stream, and
 * Secrets, since whoever may listen to the bus may hear all of it. Views of these use the gRPC Watch.
 */
const unpublished: ReadonlySet<string> = new Set(['leases', 'secrets']);
export const isPublished = (resource: string): boolean => !unpublished.has(resource);

/** Whether a subject is meant by a pattern, in which `*` stands for one token and a final `>` for one or more. */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [index, want] of wanted.entries()) {
    if (want === '>') return tokens.length > index;
    if (index >= tokens.length || (want !== '*' && want !== tokens[index])) return false;
  }
  return wanted.length === tokens.length;
}

/** Headers of a change message: a CloudEvent in binary mode, plus the chain. */
export const header = {
  /** The revision of the change, decimal. */
  id: 'ce-id',
  /** `troupe.v1.<resource>.<added|modified|deleted>` */
  type: 'ce-type',
  source: 'ce-source',
  /** `namespace/name` or `name` */
  subject: 'ce-subject',
  time: 'ce-time',
  specVersion: 'ce-specversion',
  contentType: 'content-type',
  traceparent: 'traceparent',
  /**
   * The revision of the message before this one on the same channel (resource and node token). The first on its channel in an
   * epoch names the revision after which the epoch began: whoever knows the state as of then has missed nothing.
   */
  previous: 'troupe-previous',
  /** The same for the resource over all nodes: what a subscriber to `<cluster>.v1.<resource>.>` checks. */
  resourcePrevious: 'troupe-resource-previous',
  /** Present when the object is larger than the bus takes: the body is empty, read the object from the API. */
  omitted: 'troupe-omitted',
  /** `<revision>-<random>`: the life of the chain, and after which revision it began; a new one means that nothing can be said of what came before: list again. */
  epoch: 'troupe-epoch',
  messageId: 'Nats-Msg-Id',
} as const;
