import { carriageOf, equalCarriages, type Carriage } from '../../../lib/api/carriage.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Endpoints, EndpointSubset, Protocol, Service, ServicePort } from '../../../lib/api/objects.ts';
import { behindOf, clientsOf, type Behind } from './guards.ts';
import { intersect, sameSources, sourcesOf, type Sources } from './sources.ts';

/** `10.1.2.3:8080` */
export type Backend = string;

/** Where new connections to a service port go: one of `backends`, each in its turn. */
export interface Target {
  /** `namespace/service/protocol/port`, with `/external` or `/balanced` (through a load balancer) when it is for traffic from outside the cluster. */
  readonly id: string;
  readonly protocol: Protocol;
  /** Sorted, each once. Empty: connections are refused. */
  readonly backends: readonly Backend[];
  /** A client returns to its backend when it comes back within this time; 0: no affinity. */
  readonly affinitySeconds: number;
  /** The backend sees the node as the sender, so that answers come back this way. */
  readonly masquerade: boolean;
  /** Who may connect; everybody else is refused. Absent: everybody. */
  readonly sources?: Sources;
  /** How userspace carries it, where that is more than a backend for each connection. */
  readonly carriage?: Carriage;
}

/** What a connection is made to. */
export interface Frontend {
  /** A virtual address, or `*`: any address of this node (a node port). */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** The id of a target in the same table. */
  readonly target: string;
  /** For pods and this machine only, to whom the external address is as good as the virtual one; a frontend without it serves the others. */
  readonly inside?: true;
  /** Nobody else answers at this address: its other ports are refused. An external address may be this machine's own. */
  readonly whole?: true;
}

export const frontendKey = ({ address, protocol, port, inside }: Omit<Frontend, 'target' | 'whole'>): string =>
  `${address}/${protocol}/${port}${inside === true ? '/inside' : ''}`;

/** What one service contributes to the table, with the keys at hand. */
export interface Piece {
  /** When the service was made: an address that two claim is the older's. */
  readonly since: string;
  /** The objects that it was made from; empty where there are no Endpoints. */
  readonly serviceRevision: string;
  readonly endpointsRevision: string;
  readonly targets: readonly Target[];
  readonly frontends: readonly (readonly [key: string, frontend: Frontend])[];
  readonly local: readonly string[];
  readonly behind: readonly Behind[];
}

export const equalTargets = (a: Target, b: Target): boolean =>
  a === b ||
  (a.id === b.id &&
    a.protocol === b.protocol &&
    a.affinitySeconds === b.affinitySeconds &&
    a.masquerade === b.masquerade &&
    sameSources(a.sources, b.sources) &&
    equalCarriages(a.carriage, b.carriage) &&
    a.backends.length === b.backends.length &&
    a.backends.every((backend, i) => backend === b.backends[i]));

/** `former` is what the service contributed before: targets that say the same are the same objects again. */
export function compileService(
  service: Service,
  endpoints: Endpoints | undefined,
  nodeName: string,
  former?: Piece,
): Piece {
  const { spec } = service;
  const origin = {
    since: service.metadata.creationTimestamp,
    serviceRevision: service.metadata.resourceVersion,
    endpointsRevision: endpoints?.metadata.resourceVersion ?? '',
  };
  const clients = clientsOf(service, endpoints);
  const behind = behindOf(endpoints, clients, nodeName);
  if (spec.type === 'ExternalName' || spec.clusterIP === undefined || !isAddress(spec.clusterIP)) {
    return { ...origin, targets: [], frontends: [], local: [], behind };
  }
  const clusterIP = spec.clusterIP;
  const targets: Target[] = [];
  const frontends: Frontend[] = [];
  const local = new Set<string>();

  for (const port of spec.ports ?? []) {
    const { protocol } = port;
    const found = backendsOf(endpoints, port, spec.publishNotReadyAddresses === true, nodeName);
    for (const ip of found.localIps) local.add(ip);
    const id = `${keyOf(service)}/${protocol.toLowerCase()}/${port.port}`;
    const affinitySeconds = affinityOf(service);
    const asked = carriageOf(service, port);
    const inside = spec.internalTrafficPolicy === 'Local' ? found.local : found.all;
    const who = {
      ...carriedBy(asked, spec.internalTrafficPolicy),
      ...(clients === undefined ? {} : { sources: clients }),
    };
    targets.push({ id, protocol, backends: inside, affinitySeconds, masquerade: false, ...who });
    frontends.push({ address: clusterIP, port: port.port, protocol, target: id, whole: true });

    const outside = outsideFrontends(service, port);
    const carriage = carriedBy(asked, spec.externalTrafficPolicy);
    const keepsSource = spec.externalTrafficPolicy === 'Local';
    const backends = keepsSource ? found.local : found.all;
    for (const [kind, { addresses, sources }] of Object.entries(outside)) {
      if (addresses.length === 0) continue;
      const target = `${id}/${kind}`;
      const both = clients !== undefined && sources !== undefined ? intersect(clients, sources) : (clients ?? sources);
      const allowed = { ...carriage, ...(both === undefined ? {} : { sources: both }) };
      targets.push({ id: target, protocol, backends, affinitySeconds, masquerade: !keepsSource, ...allowed });
      for (const at of addresses) {
        frontends.push({ ...at, protocol, target });
        if (at.address !== '*') frontends.push({ ...at, protocol, target: id, inside: true });
      }
    }
  }
  return {
    ...origin,
    targets: former === undefined ? targets : targets.map((target) => sameAs(former, target)),
    frontends: frontends.map((each) => [frontendKey(each), each]),
    local: [...local],
    behind,
  };
}

/** With a traffic policy of Local, to have no endpoint here says nothing of whether there is one elsewhere: nobody waits. */
function carriedBy(asked: Carriage | undefined, policy: string | undefined): Pick<Target, 'carriage'> {
  if (asked === undefined) return {};
  const { holdSeconds, ...unheld } = asked;
  return { carriage: policy === 'Local' && holdSeconds !== undefined ? unheld : asked };
}

function sameAs(former: Piece, target: Target): Target {
  const before = former.targets.find((each) => each.id === target.id);
  return before !== undefined && equalTargets(before, target) ? before : target;
}

const isAddress = (clusterIP: string): boolean => clusterIP !== '' && clusterIP !== 'None';

const affinityOf = ({ spec }: Service): number =>
  spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0;

interface Outside {
  readonly addresses: readonly { readonly address: string; readonly port: number }[];
  readonly sources?: Sources;
}

/**
 * Node port, external addresses and addresses of load balancers (F150). Ranges of senders are for what comes through a load balancer,
 * which makes these addresses a target of their own.
 */
function outsideFrontends(
  { spec, status }: Service,
  port: ServicePort,
): Readonly<Record<'external' | 'balanced', Outside>> {
  const external = new Set(spec.externalIPs ?? []);
  const balanced = new Set<string>();
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const limited = ranges.length > 0 && !ranges.includes('0.0.0.0/0');
  if (spec.type === 'LoadBalancer') {
    for (const { ip = '', ipMode } of status.loadBalancer?.ingress ?? []) {
      if (ip !== '' && ipMode !== 'Proxy' && !external.has(ip)) (limited ? balanced : external).add(ip);
    }
  }
  const nodePort = spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? (port.nodePort ?? 0) : 0;
  const at = (address: string) => ({ address, port: port.port });
  return {
    external: { addresses: [...(nodePort > 0 ? [{ address: '*', port: nodePort }] : []), ...[...external].map(at)] },
    balanced: { addresses: [...balanced].map(at), sources: sourcesOf(ranges) },
  };
}

interface Found {
  readonly all: readonly Backend[];
  readonly local: readonly Backend[];
  readonly localIps: readonly string[];
}

/** The backends of one service port: a subset's port belongs to it by name and protocol, its number is the pods' own. */
function backendsOf(
  endpoints: Endpoints | undefined,
  port: ServicePort,
  withNotReady: boolean,
  nodeName: string,
): Found {
  const all = new Set<Backend>();
  const local = new Set<Backend>();
  const localIps = new Set<string>();
  for (const subset of endpoints?.subsets ?? []) {
    for (const at of subset.ports ?? []) {
      if ((at.name ?? '') !== (port.name ?? '') || at.protocol !== port.protocol) continue;
      for (const address of addressesOf(subset, withNotReady)) {
        const backend = `${address.ip}:${at.port}`;
        all.add(backend);
        if (address.nodeName !== nodeName) continue;
        local.add(backend);
        localIps.add(address.ip);
      }
    }
  }
  return { all: [...all].sort(), local: [...local].sort(), localIps: [...localIps] };
}

const addressesOf = (subset: EndpointSubset, withNotReady: boolean): NonNullable<EndpointSubset['addresses']> =>
  withNotReady ? [...(subset.addresses ?? []), ...(subset.notReadyAddresses ?? [])] : (subset.addresses ?? []);
