import type { Endpoints, EndpointSubset, Protocol, Service } from '../../../lib/api/objects.ts';
import { sameSources, sourcesOf, union, type Sources } from './sources.ts';

/** A port of a pod of this node that only some may connect to, whichever way they come. */
export interface Guard {
  /** `10.244.0.9:8080` */
  readonly backend: string;
  readonly protocol: Protocol;
  /** The clients of all services that the pod's port is behind. */
  readonly sources: Sources;
}

export const guardKey = ({ backend, protocol }: Pick<Guard, 'backend' | 'protocol'>): string =>
  `${backend}/${protocol}`;

export const equalGuards = (a: Guard, b: Guard): boolean =>
  a.backend === b.backend && a.protocol === b.protocol && sameSources(a.sources, b.sources);

/** A pod's port behind one service; without `sources` that service is open to everybody. */
export interface Behind {
  readonly backend: string;
  readonly protocol: Protocol;
  readonly sources?: Sources;
}

/**
 * Who may connect to a service; undefined: everybody (D9). A service that declares clients admits nobody until they are
 * compiled into its Endpoints.
 */
export function clientsOf({ spec }: Service, endpoints: Endpoints | undefined): Sources | undefined {
  const access = endpoints?.access;
  if (access === undefined) return (spec.allowedClients ?? []).length > 0 ? [] : undefined;
  return sourcesOf(access.clients ?? []);
}

/** The ports of this node's pods behind a service: also of those not ready and of those on their way out. */
export function behindOf(endpoints: Endpoints | undefined, sources: Sources | undefined, nodeName: string): Behind[] {
  const found = new Map<string, Behind>();
  const subsets: readonly EndpointSubset[] = [...(endpoints?.subsets ?? []), ...(endpoints?.access?.leaving ?? [])];
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets) {
    for (const { ip, nodeName: at } of [...addresses, ...notReadyAddresses]) {
      if (at !== nodeName) continue;
      for (const { port, protocol } of ports) {
        const behind = { backend: `${ip}:${port}`, protocol, ...(sources === undefined ? {} : { sources }) };
        found.set(guardKey(behind), behind);
      }
    }
  }
  return [...found.values()];
}

/** What is guarded, from what is behind each service: a port that any open service leads to is open. */
export function guardsOf(services: Iterable<readonly Behind[]>): ReadonlyMap<string, Guard> {
  const lists = [...services].filter((list) => list.length > 0);
  const restricted = new Map<string, { readonly behind: Behind; readonly all: Sources[] }>();
  for (const list of lists) {
    for (const behind of list) {
      if (behind.sources === undefined) continue;
      const key = guardKey(behind);
      const entry = restricted.get(key);
      if (entry === undefined) restricted.set(key, { behind, all: [behind.sources] });
      else entry.all.push(behind.sources);
    }
  }
  if (restricted.size === 0) return noGuards;
  for (const list of lists)
    for (const behind of list) if (behind.sources === undefined) restricted.delete(guardKey(behind));
  return new Map(
    [...restricted].map(([key, { behind, all }]) => [
      key,
      { backend: behind.backend, protocol: behind.protocol, sources: union(all) },
    ]),
  );
}

/** The guards where no service says who may connect. Where some do, and all their ports are open by others, there are none either, but not these: the next change may make some. */
export const noGuards: ReadonlyMap<string, Guard> = new Map();

/** Whether two services' parts amount to the same guards. */
export const sameBehind = (a: readonly Behind[], b: readonly Behind[]): boolean =>
  a.length === b.length &&
  a.every((each, i) => {
    const other = b[i];
    return other !== undefined && guardKey(each) === guardKey(other) && sameSources(each.sources, other.sources);
  });
