import type { BusMessage } from './bus.ts';
import { changeSubject, header, type SubjectParts } from './subjects.ts';

export type ChangeType = 'added' | 'modified' | 'deleted';

/** A committed change as the bus carries it: a CloudEvent in binary mode, plus the chain (docs/events.md). */
export interface BusChange extends SubjectParts {
  readonly type: ChangeType;
  readonly revision: number;
  /** When the change was committed, in milliseconds since 1970. */
  readonly timeMs: number;
  /** The whole object as JSON; for a deletion its last state. */
  readonly json: Uint8Array;
  readonly previous: number;
  readonly resourcePrevious: number;
  readonly epoch: string;
  readonly traceparent?: string | undefined;
  /** The object does not fit into a message: it is sent without. */
  readonly omitted?: boolean;
}

/** The message for a change. */
export function changeMessage(cluster: string, change: BusChange): BusMessage {
  const { resource, namespace, name, revision } = change;
  const id = String(revision);
  const headers: Record<string, string> = {
    [header.specVersion]: '1.0',
    [header.id]: id,
    [header.type]: `troupe.v1.${resource}.${change.type}`,
    [header.source]: `troupe/${cluster}`,
    [header.subject]: namespace === undefined ? name : `${namespace}/${name}`,
    [header.time]: new Date(change.timeMs).toISOString(),
    [header.contentType]: 'application/json',
    // One commit may change several objects, all at its revision.
    [header.messageId]: `${change.epoch}.${id}.${resource}.${namespace ?? ''}.${name}`,
    [header.previous]: String(change.previous),
    [header.resourcePrevious]: String(change.resourcePrevious),
    [header.epoch]: change.epoch,
  };
  if (change.traceparent !== undefined) headers[header.traceparent] = change.traceparent;
  if (change.omitted) headers[header.omitted] = 'too-large';
  return { subject: changeSubject(cluster, change), headers, data: change.omitted ? new Uint8Array() : change.json };
}

/** What a subscriber needs of a change message's headers; undefined when it is not one. */
export interface ChangeHeaders {
  readonly type: ChangeType;
  /** `namespace/name`, or `name`; empty when the message does not say. */
  readonly key: string;
  readonly revision: number;
  readonly previous: number;
  readonly resourcePrevious: number;
  readonly epoch: string;
  readonly timeMs: number;
  /** The object was too large for a message; the body is empty. */
  readonly omitted: boolean;
}

export function readHeaders({ headers }: BusMessage): ChangeHeaders | undefined {
  const revision = Number(headers[header.id]);
  const previous = Number(headers[header.previous]);
  const resourcePrevious = Number(headers[header.resourcePrevious]);
  const epoch = headers[header.epoch];
  const type = headers[header.type]?.split('.').at(-1);
  if (type !== 'added' && type !== 'modified' && type !== 'deleted') return undefined;
  if (epoch === undefined || !(revision > 0) || !(previous >= 0) || !(resourcePrevious >= 0)) return undefined;
  const timeMs = Date.parse(headers[header.time] ?? '');
  const omitted = headers[header.omitted] !== undefined;
  const key = headers[header.subject] ?? '';
  return { type, key, revision, previous, resourcePrevious, epoch, timeMs, omitted };
}

/** The name of a life of the chain that begins after `start`. */
export const newEpoch = (start: number, random: string): string => `${start}-${random}`;
/** The revision after which an epoch began: who knows the state as of then, or later, has missed nothing. */
export const epochStart = (epoch: string): number => Number(epoch.slice(0, epoch.indexOf('-'))) || 0;
