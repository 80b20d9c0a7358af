import { admitting } from '../table/sources.ts';
import { frontendKey, type Frontend, type ProxyTable } from '../table/table.ts';
import type { Flow, Selection } from './flow.ts';

/** Which of the kernel's flows: those made to `frontend`, of one backend when given. */
export interface FlowFilter {
  readonly frontend: Frontend;
  readonly backend?: string;
}

/** Up to so many backends the kernel is asked for one by one; for more, for all flows that are ours. */
const many = 8;

/** What to ask the kernel for, so that all flows of these filters are in the answers. */
export function selectionsFor(filters: readonly FlowFilter[]): readonly Selection[] {
  const ips = ipsOf(filters.flatMap(({ backend }) => backend ?? []));
  const ofBackends = selectionsTo(ips);
  // Flows from before an address was ours have no mark of ours; they are all UDP.
  const early = filters.some(({ backend }) => backend === undefined);
  return early ? [...ofBackends, { protocol: 'udp' }] : ofBackends;
}

/** The same for all flows to these addresses of pods. */
export const selectionsTo = (ips: readonly string[]): readonly Selection[] =>
  ips.length > many ? [{ ours: true }] : ips.map((backendIp) => ({ ours: true, backendIp }));

const ipsOf = (backends: readonly string[]): readonly string[] => [
  ...new Set(backends.map((backend) => backend.slice(0, backend.lastIndexOf(':')))),
];

/** Picks the flows that one of the filters names. */
export function flowsOf(filters: readonly FlowFilter[], flows: readonly Flow[]): readonly Flow[] {
  const wanted = new Set(
    filters.map(({ frontend: { protocol, address, port }, backend = '' }) =>
      keyOf(protocol.toLowerCase(), address, port, backend),
    ),
  );
  return flows.filter((flow) => keysOf(flow).some((key) => wanted.has(key)));
}

/** The filters that one of the flows answers to. */
export function filtersWith(filters: readonly FlowFilter[], flows: readonly Flow[]): readonly FlowFilter[] {
  const there = new Set(flows.flatMap(keysOf));
  return filters.filter(({ frontend: { protocol, address, port }, backend = '' }) =>
    there.has(keyOf(protocol.toLowerCase(), address, port, backend)),
  );
}

const keyOf = (protocol: string, address: string, port: number, backend: string): string =>
  `${protocol} ${address} ${port} ${backend}`;

/** A key for each way in which a filter can name a flow: with any address or its own, with its backend or without. */
const keysOf = ({ protocol, address, port, backend }: Flow): readonly string[] =>
  [address, '*'].flatMap((at) => [keyOf(protocol, at, port, backend), keyOf(protocol, at, port, '')]);

/**
 * Picks the flows to these frontends whose client may not connect to them. `isInside` tells pods and this node from others, since an
 * external address may be another frontend for them.
 */
export function strangersAmong(
  flows: readonly Flow[],
  frontends: readonly Frontend[],
  table: ProxyTable,
  isInside: (ip: string) => boolean,
): readonly Flow[] {
  const judges = new Map<string, (ip: string) => boolean>();
  for (const { address, port, protocol } of frontends) {
    const at = { address, port, protocol };
    const sourcesAt = (frontend: Frontend | undefined): ((ip: string) => boolean) =>
      admitting(frontend && table.targets.get(frontend.target)?.sources);
    const outside = table.frontends.get(frontendKey(at));
    const inside = table.frontends.get(frontendKey({ ...at, inside: true })) ?? outside;
    const [admitsOutside, admitsInside] = [sourcesAt(outside), sourcesAt(inside)];
    judges.set(keyOf(protocol.toLowerCase(), address, port, ''), (ip) =>
      isInside(ip) ? admitsInside(ip) : admitsOutside(ip),
    );
  }
  return flows.filter((flow) => {
    const asked = keysOf(flow).flatMap((key) => judges.get(key) ?? []);
    return !asked.every((admits) => admits(flow.client.ip));
  });
}
