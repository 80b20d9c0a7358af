import type { Key } from '../api/keys.ts';
import type { EventBus } from './bus.ts';

/**
 * Services without endpoints that clients wait for at a proxy, said by it. A fact on core NATS, as JSON, captured by no stream; it is said
 * again every second while it holds, so that a lost one costs time only.
 *
 *   <cluster>.wanted   Wanted
 */
export interface Wanted {
  /** `namespace/name`; more than `mostServicesWanted` are said in several messages. */
  readonly services: readonly Key[];
}

export const mostServicesWanted = 1_000;

export const wantedSubject = (cluster: string): string => `${cluster}.wanted`;

/** False where the bus is away: whoever says it will say it again. */
export function tellWanted(bus: EventBus, { cluster, services }: { readonly cluster: string } & Wanted): boolean {
  if (!bus.connected) return false;
  try {
    for (let from = 0; from < services.length; from += mostServicesWanted) {
      const wanted: Wanted = { services: services.slice(from, from + mostServicesWanted) };
      bus.publish({ subject: wantedSubject(cluster), headers: {}, data: Buffer.from(JSON.stringify(wanted)) });
    }
    return true;
  } catch {
    return false; // it went away in this moment
  }
}

/** Calls for each word until aborted. What cannot be understood says nothing. */
export function hearWanted(
  bus: EventBus,
  { cluster, signal }: { readonly cluster: string; readonly signal: AbortSignal },
  heard: (services: readonly Key[]) => void,
): void {
  const subscription = bus.subscribe(
    wantedSubject(cluster),
    ({ data }) => heard(servicesIn(data)),
    () => undefined, // what was missed is said again
  );
  signal.addEventListener('abort', () => subscription.close());
}

function servicesIn(data: Uint8Array): readonly Key[] {
  try {
    const services = (JSON.parse(Buffer.from(data).toString('utf8')) as { readonly services?: unknown } | null)
      ?.services;
    return Array.isArray(services)
      ? services.slice(0, mostServicesWanted).filter((each): each is Key => typeof each === 'string')
      : [];
  } catch {
    return [];
  }
}
