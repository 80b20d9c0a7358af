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

/** Everything that changes in the cluster. */
export const allSubjects = (cluster: string): string => `${cluster}.v1.>`;

/** What an agent says of its own life every 500 ms; not captured by the stream. */
export const heartbeatSubject = (cluster: string, node: string): string => `${cluster}.heartbeat.${token(node)}`;
/** Questions to one node's agent, such as logs; not captured by the stream. */
export const nodeSubject = (cluster: string, node: string, verb: string): string =>
  `${cluster}.node.${token(node)}.${verb}`;

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
  /** The revision of the message before this one on the same channel, or 0. */
  previous: 'troupe-previous',
  /** The life of the chain; a new one means that nothing can be said of what came before: list again. */
  epoch: 'troupe-epoch',
  messageId: 'Nats-Msg-Id',
} as const;
