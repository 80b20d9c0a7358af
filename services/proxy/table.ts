import type { Key } from '../../lib/api/keys.ts';
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

/** Everything that the proxy of one node makes happen. */
export interface ProxyTable {
  readonly targets: ReadonlyMap<string, Target>;
  /** By `frontendKey`. */
  readonly frontends: ReadonlyMap<string, Frontend>;
  /** Addresses of backends that are pods of this node: a pod among them can reach itself through its own service. */
  readonly local: ReadonlySet<string>;
  /** One sentence for each address and port that two services claim; the older service has it. */
  readonly conflicts: readonly string[];
}

export const emptyTable: ProxyTable = { targets: new Map(), frontends: new Map(), local: new Set(), conflicts: [] };

export const frontendKey = (frontend: Omit<Frontend, 'target'>): string =>
  `${frontend.address}/${frontend.protocol}/${frontend.port}`;

/** What one service contributes, with the keys at hand. */
interface Piece {
  readonly targets: readonly Target[];
  readonly frontends: readonly (readonly [key: string, frontend: Frontend])[];
  readonly local: readonly string[];
}

/** Pieces already worked out, by the objects they came from: objects are never changed, so a piece is good as long as its objects are. */
export type PieceCache = WeakMap<Service, Known>;
interface Known {
  readonly key: Key;
  readonly endpoints: Endpoints | undefined;
  readonly piece: Piece;
}

export interface CompileOptions {
  readonly nodeName: string;
  /** Given again, it makes the next compile cost only what changed; targets that did not change are then the same objects. */
  readonly cache?: PieceCache;
}

/**
 * The whole table from a snapshot of services and endpoints (F134, F138). Depends on its arguments only; the order of the services does not matter.
 * Headless services and ExternalName have no virtual address and are DNS's alone.
 */
export function compile(
  services: Iterable<Service>,
  endpoints: (key: Key) => Endpoints | undefined,
  options: CompileOptions,
): ProxyTable {
  const cache: PieceCache = options.cache ?? new WeakMap();
  const targets = new Map<string, Target>();
  const frontends = new Map<string, Frontend>();
  const local = new Set<string>();
  const contested = new Map<string, Service[]>();
  const all = [...services];

  for (const service of all) {
    const { piece } = knownOf(service, endpoints, options.nodeName, cache);
    for (const target of piece.targets) targets.set(target.id, target);
    for (const ip of piece.local) local.add(ip);
    for (const [key, frontend] of piece.frontends) {
      if (frontends.has(key)) contested.set(key, []);
      else frontends.set(key, frontend);
    }
  }
  return { targets, frontends, local, conflicts: contested.size === 0 ? [] : settle(contested, all, frontends, cache) };
}

/** Gives each contested frontend to its oldest service, and says so. */
function settle(
  contested: Map<string, Service[]>,
  services: readonly Service[],
  frontends: Map<string, Frontend>,
  cache: PieceCache,
): string[] {
  for (const service of services) {
    for (const [key] of cache.get(service)?.piece.frontends ?? []) contested.get(key)?.push(service);
  }
  const conflicts: string[] = [];
  for (const [key, claimants] of contested) {
    const [winner, ...losers] = claimants.toSorted(byAge);
    if (winner === undefined) continue;
    const found = cache.get(winner)?.piece.frontends.find(([each]) => each === key);
    if (found === undefined) continue;
    frontends.set(...found);
    conflicts.push(`${key} belongs to ${keyOf(winner)}; ${losers.map(keyOf).join(', ')} asked for it too`);
  }
  return conflicts.sort();
}

/** The older service keeps an address; the key decides between twins. */
function byAge(a: Service, b: Service): number {
  const [atA, atB] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  return atA === atB ? (keyOf(a) < keyOf(b) ? -1 : 1) : atA < atB ? -1 : 1;
}

function knownOf(
  service: Service,
  endpointsOf: (key: Key) => Endpoints | undefined,
  nodeName: string,
  cache: PieceCache,
): Known {
  const before = cache.get(service);
  const key = before?.key ?? keyOf(service);
  const endpoints = endpointsOf(key);
  if (before !== undefined && before.endpoints === endpoints) return before;
  const fresh = compileService(service, endpoints, nodeName);
  const piece = before === undefined ? fresh : { ...fresh, targets: fresh.targets.map((t) => same(before.piece, t)) };
  const known = { key, endpoints, piece };
  cache.set(service, known);
  return known;
}

/** The former object where it says the same, so that a comparison ends at identity. */
function same(before: Piece, target: Target): Target {
  const former = before.targets.find((each) => each.id === target.id);
  return former !== undefined && equalTargets(former, target) ? former : target;
}

export const equalTargets = (a: Target, b: Target): boolean =>
  a === b ||
  (a.id === b.id &&
    a.protocol === b.protocol &&
    a.affinitySeconds === b.affinitySeconds &&
    a.masquerade === b.masquerade &&
    a.backends.length === b.backends.length &&
    a.backends.every((backend, i) => backend === b.backends[i]));

const nothing: Piece = { targets: [], frontends: [], local: [] };

function compileService(service: Service, endpoints: Endpoints | undefined, nodeName: string): Piece {
  const { spec } = service;
  if (spec.type === 'ExternalName' || spec.clusterIP === undefined || !isAddress(spec.clusterIP)) return nothing;
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
  return { targets, frontends: frontends.map((each) => [frontendKey(each), each]), local: [...local] };
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
