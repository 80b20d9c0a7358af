import { messageOf } from '../base/errors.ts';
import type { BusMessage, EventBus } from './bus.ts';
import { token } from './subjects.ts';

/**
 * What parts tell each other while addresses leave traffic (decision: acknowledged-removal). Facts on core NATS, as JSON, captured by no
 * stream; each is said again while it matters, so that a lost one costs time only.
 *
 *   <cluster>.programmed.<kind>.<name>   whoever sends traffic by Endpoints, such as the proxy of a node: what is in effect there
 *   <cluster>.stopping.<node>            an agent: these pods wait to be stopped
 *   <cluster>.withdrawn.<node>           the endpoints-controller: nobody sends to them any more, or who still may
 *   <cluster>.down.<node>                an agent, or the node-controller for a lost node: nothing answers at these addresses now
 *   <cluster>.up.<node>                  an agent: pods that it had told down are ready again
 */
export interface Programmed {
  /** Such as `proxy`. */
  readonly kind: string;
  /** Who of that kind: the node's name. */
  readonly name: string;
  /** Another one after each start. */
  readonly instance: string;
  /** The life of the chain of changes that the revisions belong to (`RelayStatus.epoch`); empty while it is not known. */
  readonly epoch: string;
  /** Everything up to these revisions is in effect; -1 when nothing can be said. */
  readonly services: number;
  readonly endpoints: number;
  /** Such as `nftables`. */
  readonly mode: string;
}

export interface Stopping {
  readonly pods: readonly StoppingPod[];
}
export interface StoppingPod {
  /** `namespace/name` */
  readonly key: string;
  readonly uid: string;
  /** The resourceVersion of the pod, with its deletionTimestamp. */
  readonly revision: number;
}

export interface Withdrawn {
  readonly pods: readonly WithdrawnPod[];
}
export interface WithdrawnPod {
  readonly uid: string;
  /** Who may still send to it, as `kind/name`; empty: nobody, it may be stopped. */
  readonly waitingFor: readonly string[];
}

export interface Down {
  readonly pods: readonly { readonly uid: string; readonly ip: string }[];
  /** In a word or two, for logs. */
  readonly reason: string;
  /** The whole node fell silent, with whoever sends traffic from there. */
  readonly node?: string;
  /** When it was noticed, ms since 1970, by the speaker's clock. */
  readonly atMs: number;
}

/** Takes back what `Down` of the same node said before: on one subscription each, they arrive in the order in which they were said. */
export interface Up {
  readonly pods: readonly { readonly uid: string }[];
  readonly atMs: number;
}

/** The largest crowd told in one message. */
export const mostPodsTold = 500;

export const programmedSubject = (cluster: string, { kind, name }: Pick<Programmed, 'kind' | 'name'>): string =>
  `${cluster}.programmed.${token(kind)}.${token(name)}`;
export const stoppingSubject = (cluster: string, node: string): string => `${cluster}.stopping.${token(node)}`;
export const withdrawnSubject = (cluster: string, node: string): string => `${cluster}.withdrawn.${token(node)}`;
export const downSubject = (cluster: string, node: string): string => `${cluster}.down.${token(node)}`;
export const upSubject = (cluster: string, node: string): string => `${cluster}.up.${token(node)}`;

export const allProgrammed = (cluster: string): string => `${cluster}.programmed.*.*`;
export const allStopping = (cluster: string): string => `${cluster}.stopping.*`;
export const allDown = (cluster: string): string => `${cluster}.down.*`;
export const allUp = (cluster: string): string => `${cluster}.up.*`;

/** Says a fact; false where the bus is away, since whoever says it will say it again. */
export function tell(bus: EventBus, subject: string, fact: Programmed | Stopping | Withdrawn | Down | Up): boolean {
  if (!bus.connected) return false;
  try {
    bus.publish({ subject, headers: {}, data: Buffer.from(JSON.stringify(fact)) });
    return true;
  } catch {
    return false; // it went away in this moment
  }
}

type Read<T> = T | { readonly wrong: string };
export const isWrong = (read: object): read is { readonly wrong: string } => 'wrong' in read;

export const readProgrammed = (message: BusMessage): Read<Programmed> =>
  reading(message, (is) => ({
    kind: textOf(is, 'kind'),
    name: textOf(is, 'name'),
    instance: textOf(is, 'instance'),
    epoch: textOf(is, 'epoch'),
    services: numberOf(is, 'services'),
    endpoints: numberOf(is, 'endpoints'),
    mode: textOf(is, 'mode'),
  }));

export const readStopping = (message: BusMessage): Read<Stopping> =>
  reading(message, (is) => ({
    pods: listOf(is, 'pods').map((pod) => ({
      key: textOf(pod, 'key'),
      uid: textOf(pod, 'uid'),
      revision: numberOf(pod, 'revision'),
    })),
  }));

export const readWithdrawn = (message: BusMessage): Read<Withdrawn> =>
  reading(message, (is) => ({
    pods: listOf(is, 'pods').map((pod) => ({
      uid: textOf(pod, 'uid'),
      waitingFor: Array.isArray(pod['waitingFor']) ? pod['waitingFor'].map(String) : [],
    })),
  }));

export const readDown = (message: BusMessage): Read<Down> =>
  reading(message, (is) => ({
    pods: listOf(is, 'pods').map((pod) => ({ uid: textOf(pod, 'uid'), ip: textOf(pod, 'ip') })),
    reason: textOf(is, 'reason'),
    atMs: numberOf(is, 'atMs'),
    ...(typeof is['node'] === 'string' ? { node: is['node'] } : {}),
  }));

export const readUp = (message: BusMessage): Read<Up> =>
  reading(message, (is) => ({
    pods: listOf(is, 'pods').map((pod) => ({ uid: textOf(pod, 'uid') })),
    atMs: numberOf(is, 'atMs'),
  }));

type Members = Readonly<Record<string, unknown>>;

/** What others say is checked before it is believed: a fact of a wrong shape is no fact. */
function reading<T extends object>({ data }: BusMessage, read: (is: Members) => T): Read<T> {
  try {
    return read(JSON.parse(Buffer.from(data).toString('utf8')) as Members);
  } catch (error) {
    return { wrong: messageOf(error) };
  }
}

function textOf(is: Members, name: string): string {
  const value = is[name];
  if (typeof value !== 'string') throw new Error(`${name} must be a text`);
  return value;
}
function numberOf(is: Members, name: string): number {
  const value = is[name];
  if (typeof value !== 'number') throw new Error(`${name} must be a number`);
  return value;
}
function listOf(is: Members, name: string): readonly Members[] {
  const value = is[name];
  if (!Array.isArray(value)) throw new Error(`${name} must be a list`);
  return value.slice(0, mostPodsTold) as readonly Members[];
}
