import { keyOf } from '../../lib/api/keys.ts';
import type { Endpoints, EndpointSubset, Protocol, Service, ServicePort } from '../../lib/api/objects.ts';

/** `10.1.2.3:8080` */
export type Backend = string;

/** Where new connections to a service port go: one of `backends`, each in its turn. */
export interface Target {
  /** `namespace/service/protocol/port`, with `/external` when it is for traffic from outside the cluster. */
  readonly id: string;
  readonly protocol: Protocol;
  /** Sorted, each once. Empty: connections are refused. */
  readonly backends: readonly Backend[];
  /** A client returns to its backend when it comes back within this time; 0: no affinity. */
  readonly affinitySeconds: number;
  /** The backend sees the node as the sender, so that answers come back this way. */
  readonly masquerade: boolean;
}

/** What a connection is made to. */
export interface Frontend {
  /** A virtual address, or `*`: any address of this node (a node port). */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** The id of a target in the same table. */
  readonly target: string;
}

export const frontendKey = (frontend: Omit<Frontend, 'target'>): string =>
  `${frontend.address}/${frontend.protocol}/${frontend.port}`;

/** What one service contributes to the table, with the keys at hand. */
export interface Piece {
  /** When the service was made: an address that two claim is the older's. */
  readonly since: string;
  readonly targets: readonly Target[];
  readonly frontends: readonly (readonly [key: string, frontend: Frontend])[];
  readonly local: readonly string[];
}

export const equalTargets = (a: Target, b: Target): boolean =>
  a === b ||
  (a.id === b.id &&
    a.protocol === b.protocol &&
    a.affinitySeconds === b.affinitySeconds &&
    a.masquerade === b.masquerade &&
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
  const since = service.metadata.creationTimestamp;
  if (spec.type === 'ExternalName' || spec.clusterIP === undefined || !isAddress(spec.clusterIP)) {
    return { since, targets: [], frontends: [], local: [] };
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
    const inside = spec.internalTrafficPolicy === 'Local' ? found.local : found.all;
    targets.push({ id, protocol, backends: inside, affinitySeconds, masquerade: false });
    frontends.push({ address: clusterIP, port: port.port, protocol, target: id });

    const outside = outsideFrontends(service, port);
    if (outside.length === 0) continue;
    const keepsSource = spec.externalTrafficPolicy === 'Local';
    const target = `${id}/external`;
    const backends = keepsSource ? found.local : found.all;
    targets.push({ id: target, protocol, backends, affinitySeconds, masquerade: !keepsSource });
    for (const frontend of outside) frontends.push({ ...frontend, protocol, target });
  }
  return {
    since,
    targets: former === undefined ? targets : targets.map((target) => sameAs(former, target)),
    frontends: frontends.map((each) => [frontendKey(each), each]),
    local: [...local],
  };
}

function sameAs(former: Piece, target: Target): Target {
  const before = former.targets.find((each) => each.id === target.id);
  return before !== undefined && equalTargets(before, target) ? before : target;
}

const isAddress = (clusterIP: string): boolean => clusterIP !== '' && clusterIP !== 'None';

const affinityOf = ({ spec }: Service): number =>
  spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0;

/** Node port, external addresses and addresses of load balancers (F150). */
function outsideFrontends(service: Service, port: ServicePort): { readonly address: string; readonly port: number }[] {
  const { spec, status } = service;
  const addresses = new Set(spec.externalIPs ?? []);
  if (spec.type === 'LoadBalancer') {
    for (const { ip } of status.loadBalancer?.ingress ?? []) if (ip !== undefined && ip !== '') addresses.add(ip);
  }
  const hasNodePort = (spec.type === 'NodePort' || spec.type === 'LoadBalancer') && (port.nodePort ?? 0) > 0;
  return [
    ...(hasNodePort ? [{ address: '*', port: port.nodePort ?? 0 }] : []),
    ...[...addresses].map((address) => ({ address, port: port.port })),
  ];
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
