import type { Key } from '../api/keys.ts';
import type { Clock } from '../base/clock.ts';
import type { EventBus } from './bus.ts';
import { gather } from './gather.ts';
import { trafficSubject } from './subjects.ts';

/**
 * What each proxy has carried for Services, asked of all of them at once. Counters grow from the start of a process on; take differences.
 *
 *   <cluster>.traffic   TrafficQuestion  ->  TrafficState, one from each, to the reply subject
 */
export interface TrafficQuestion {
  /** `namespace/name`, at most `mostServicesAsked`. */
  readonly services: readonly Key[];
}

export interface TrafficState {
  readonly node: string;
  /** Another one after each start, when the counters begin anew. */
  readonly instance: string;
  /** Those of the question that this proxy counts. */
  readonly services: readonly ServiceTraffic[];
}

export interface ServiceTraffic {
  readonly service: Key;
  /** HTTP requests, answered or not; 0 where connections are not looked into. */
  readonly requests: number;
  /** Connections that have ended; of what the kernel carries, those that have begun. */
  readonly connections: number;
  /** Requests, or connections where these are not looked into, that are under way. */
  readonly active: number;
  /** The kernel carries it: nothing is known of requests, nor of what is under way. */
  readonly kernel?: boolean;
}

/** More Services are not asked for in one question, and not answered. */
export const mostServicesAsked = 1_000;

/** An answer, and when it came by a clock that never jumps: the counters are of that moment. */
export interface TrafficAnswer {
  readonly state: TrafficState;
  readonly atMs: number;
}

/** What proxies answer in time; complete as soon as all of `nodes` have. Rejects with ServiceUnavailable when the bus is away. */
export function askTraffic(
  bus: EventBus,
  at: {
    readonly cluster: string;
    readonly clock: Clock;
    readonly timeoutMs: number;
    readonly nodes: ReadonlySet<string>;
  },
  question: TrafficQuestion,
): Promise<readonly TrafficAnswer[]> {
  const missing = new Set(at.nodes);
  return gather<TrafficAnswer>(bus, { ...at, subject: trafficSubject(at.cluster) }, question, (data) => {
    const state = stateIn(data);
    if (state === undefined) return { answer: undefined, complete: false };
    missing.delete(state.node);
    return { answer: { state, atMs: at.clock.monotonic() }, complete: missing.size === 0 };
  });
}

/** Answers for this process until aborted. What cannot be understood asks for nothing. */
export function serveTraffic(
  bus: EventBus,
  at: { readonly cluster: string; readonly node: string; readonly instance: string; readonly signal: AbortSignal },
  carried: (services: ReadonlySet<Key>) => readonly ServiceTraffic[] | Promise<readonly ServiceTraffic[]>,
): void {
  const { node, instance } = at;
  const answer = async (reply: string, data: Uint8Array): Promise<void> => {
    const state: TrafficState = { node, instance, services: await carried(new Set(servicesIn(data))) };
    const bytes = Buffer.from(JSON.stringify(state));
    if (bus.connected && bytes.length <= bus.maxMessageBytes) bus.publish({ subject: reply, headers: {}, data: bytes });
  };
  const subscription = bus.subscribe(
    trafficSubject(at.cluster),
    ({ reply, data }) => {
      if (reply === undefined || !bus.connected) return;
      void answer(reply, data).catch(() => undefined); // who asked and hears nothing asks again
    },
    () => undefined, // who asked and hears nothing asks again
  );
  at.signal.addEventListener('abort', () => {
    subscription.close();
  });
}

function servicesIn(data: Uint8Array): readonly Key[] {
  const services = objectIn(data)?.['services'];
  return Array.isArray(services)
    ? services.slice(0, mostServicesAsked).filter((each): each is Key => typeof each === 'string')
    : [];
}

function stateIn(data: Uint8Array): TrafficState | undefined {
  const said = objectIn(data);
  if (typeof said?.['node'] !== 'string' || typeof said['instance'] !== 'string') return undefined;
  if (!Array.isArray(said['services'])) return undefined;
  const services = (said['services'] as readonly Partial<ServiceTraffic>[]).filter(
    (each): each is ServiceTraffic =>
      typeof each.service === 'string' &&
      [each.requests, each.connections, each.active].every((count) => typeof count === 'number' && count >= 0),
  );
  return { node: said['node'], instance: said['instance'], services };
}

function objectIn(data: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
