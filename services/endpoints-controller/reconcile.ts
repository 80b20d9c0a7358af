import type { Draft } from '../../lib/client/client.ts';
import { sameJson } from '../../lib/api/json.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import type {
  EndpointAddress,
  EndpointPort,
  Endpoints,
  EndpointsAccess,
  EndpointSubset,
  Labels,
  Pod,
  Service,
  ServicePort,
} from '../../lib/api/objects.ts';
import { isActive, isDeleting, isReady, isTerminal } from '../../lib/api/pods.ts';
import { accessOf, clientsOverCapacity, compileClients, isRestricted, type Surroundings } from './access.ts';
import { triggerTime, triggerTimeOf } from './trigger-time.ts';

export const overCapacity = 'endpoints.kubernetes.io/over-capacity';
export const headlessLabel = 'service.kubernetes.io/headless';
/** Marks the Endpoints that this controller wrote, and may therefore remove. */
export const keeperLabel = 'troupe.dev/managed-by';
const keeper = 'endpoints-controller';
export const isOurs = (endpoints: Endpoints): boolean => endpoints.metadata.labels?.[keeperLabel] === keeper;

/** More addresses than this would make an object too large to send to every proxy at each change. */
export const maxAddresses = 1000;

/** Whether this controller keeps the Endpoints of that Service; those of others are their owners' to write. */
export const isKept = (service: Service): boolean =>
  service.spec.type !== 'ExternalName' &&
  service.spec.selector !== undefined &&
  Object.keys(service.spec.selector).length > 0 &&
  service.metadata.deletionTimestamp === undefined;

/** What the Endpoints of a Service should be, as far as this controller has a say in it. */
export interface Wanted {
  readonly labels: Labels;
  readonly subsets: readonly EndpointSubset[];
  readonly truncated: boolean;
  /** Absent: everybody may connect. */
  readonly access?: EndpointsAccess;
  readonly clientsTruncated: boolean;
}

/**
 * The whole of a Service's Endpoints, compiled from the pods of its namespace: one subset for each distinct set of ports,
 * everything sorted, each address once (F137, api-v1 3.5). Depends on its arguments only: the same pods in another order
 * give the same result, so that comparing tells whether there is anything to write. `around` knows who may connect, for
 * a Service that says so.
 */
export function compile(service: Service, pods: readonly Pod[], around: Surroundings = nothingAround): Wanted {
  const serves = (pod: Pod): boolean => isReady(pod) && !around.isDown(pod);
  const { subsets, truncated } = withinLimit(gather(service, pods, isActive, serves));
  const found = compileClients(service, around);
  const guarded = (pod: Pod): boolean => isLeaving(pod) && !around.isOpen(pod);
  const leaving = isRestricted(service) ? withinLimit(gather(service, pods, guarded, serves)).subsets : [];
  const access = accessOf(found?.clients, leaving);
  const rest = { truncated, clientsTruncated: found?.truncated === true };
  return { labels: labelsOf(service), subsets, ...(access === undefined ? {} : { access }), ...rest };
}

const nothingAround: Surroundings = { pods: () => [], namespaces: [], isOpen: () => false, isDown: () => false };

/** Its containers may still serve, and those who may not reach them must not now either. */
const isLeaving = (pod: Pod): boolean => isDeleting(pod) && !isTerminal(pod);

/** The pods behind the Service that `counts` picks, by their ports; those that `serves` picks as ready. */
function gather(
  service: Service,
  pods: readonly Pod[],
  counts: (pod: Pod) => boolean,
  serves: (pod: Pod) => boolean,
): Lists[] {
  const selector = service.spec.selector ?? {};
  const sets = new Map<string, PortSet>();
  for (const pod of pods) {
    if (pod.status.podIP === undefined || pod.status.podIP === '' || !counts(pod)) continue;
    if (pod.metadata.namespace !== service.metadata.namespace || !matchesMap(selector, pod.metadata.labels)) continue;
    const ports = portsOf(service, pod);
    if (ports === undefined) continue;
    const key = JSON.stringify(ports);
    let set = sets.get(key);
    if (set === undefined) sets.set(key, (set = { ports, byIp: new Map() }));
    const ready = serves(pod) || service.spec.publishNotReadyAddresses === true;
    enter(set, { address: addressOf(service, pod, pod.status.podIP), ready });
  }
  return [...sets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, set]) => subsetOf(set));
}

/** The write that makes the stored Endpoints what they should be. */
export type Action =
  | { readonly type: 'create'; readonly draft: Draft<Endpoints> }
  | { readonly type: 'update'; readonly endpoints: Endpoints };

/**
 * The write that is due, or undefined when `current` says it all already. What others put into its annotations stays.
 * An update is conditional on the revision of `current`.
 */
export function reconcile(
  service: Service,
  pods: readonly Pod[],
  current: Endpoints | undefined,
  around?: Surroundings,
): Action | undefined {
  const { labels, subsets, truncated, access, clientsTruncated } = compile(service, pods, around);
  const { name, namespace } = service.metadata;
  const {
    [overCapacity]: _,
    [clientsOverCapacity]: __,
    [triggerTime]: triggered,
    ...foreign
  } = current?.metadata.annotations ?? {};
  const since = triggerTimeOf(service, pods, current, subsets);
  // It changes with the rest only: by itself it is nothing to write.
  const withTime = (time: string | undefined): Labels => (time === undefined ? {} : { [triggerTime]: time });
  const annotations: Labels = {
    ...foreign,
    ...(truncated ? { [overCapacity]: 'truncated' } : {}),
    ...(clientsTruncated ? { [clientsOverCapacity]: 'truncated' } : {}),
  };
  const content = { subsets, ...(access === undefined ? {} : { access }) };
  if (current === undefined) {
    const place = namespace === undefined ? {} : { namespace };
    return {
      type: 'create',
      draft: { metadata: { name, ...place, labels, annotations: { ...annotations, ...withTime(since) } }, ...content },
    };
  }
  const same =
    samePairs(current.metadata.labels ?? {}, labels) &&
    samePairs(current.metadata.annotations ?? {}, { ...annotations, ...withTime(triggered) }) &&
    sameJson(current.subsets ?? [], subsets) &&
    sameJson(current.access, access);
  if (same) return undefined;
  const { subsets: _old, access: _former, ...rest } = current;
  return {
    type: 'update',
    endpoints: {
      ...rest,
      metadata: { ...current.metadata, labels, annotations: { ...annotations, ...withTime(since) } },
      ...content,
    },
  };
}

// ---- Parts ---------------------------------------------------------------------------------------

interface PortSet {
  readonly ports: readonly EndpointPort[];
  readonly byIp: Map<string, Member>;
}
interface Member {
  readonly address: EndpointAddress;
  readonly ready: boolean;
}

/** Pods on the host's network share its address: the ready one speaks for it, then the first by name. */
function enter({ byIp }: PortSet, member: Member): void {
  const other = byIp.get(member.address.ip);
  if (other === undefined || rank(member) < rank(other)) byIp.set(member.address.ip, member);
}
const rank = ({ ready, address }: Member): string => `${ready ? 0 : 1} ${address.targetRef?.name ?? ''}`;

/** The pod's ports behind those of the Service; undefined when it has none of them. A headless Service needs none. */
function portsOf(service: Service, pod: Pod): readonly EndpointPort[] | undefined {
  const wanted = service.spec.ports ?? [];
  if (wanted.length === 0) return service.spec.clusterIP === 'None' ? [] : undefined;
  const ports = wanted.flatMap((port): EndpointPort | readonly [] => {
    const number = targetOf(port, pod);
    if (number === undefined) return [];
    return {
      ...(port.name === undefined ? {} : { name: port.name }),
      port: number,
      protocol: port.protocol,
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    };
  });
  return ports.length === 0 ? undefined : ports.sort(byNameAndPort);
}

/** A name is looked up in each pod by itself: two versions of an image may listen on different ports. */
function targetOf({ targetPort, protocol }: ServicePort, pod: Pod): number | undefined {
  if (typeof targetPort === 'number') return targetPort;
  for (const container of pod.spec.containers) {
    const named = container.ports?.find((port) => port.name === targetPort && port.protocol === protocol);
    if (named !== undefined) return named.containerPort;
  }
  return undefined;
}

function byNameAndPort(a: EndpointPort, b: EndpointPort): number {
  const [left, right] = [a.name ?? '', b.name ?? ''];
  if (left !== right) return left < right ? -1 : 1;
  return a.port - b.port || (a.protocol < b.protocol ? -1 : 1);
}

function addressOf(service: Service, pod: Pod, ip: string): EndpointAddress {
  const { namespace = '', name, uid } = pod.metadata;
  const { hostname, subdomain, nodeName } = pod.spec;
  return {
    ip,
    ...(hostname !== undefined && hostname !== '' && subdomain === service.metadata.name ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: 'Pod', namespace, name, uid },
  };
}

interface Lists {
  readonly ready: readonly EndpointAddress[];
  readonly notReady: readonly EndpointAddress[];
  readonly ports: readonly EndpointPort[];
}

function subsetOf({ byIp, ports }: PortSet): Lists {
  const members = [...byIp.values()].sort((a, b) => (a.address.ip < b.address.ip ? -1 : 1));
  const addresses = (ready: boolean): readonly EndpointAddress[] =>
    members.filter((member) => member.ready === ready).map(({ address }) => address);
  return { ready: addresses(true), notReady: addresses(false), ports };
}

/** Ready addresses come first; what is left of the room goes to those that are not. */
function withinLimit(lists: readonly Lists[]): {
  readonly subsets: readonly EndpointSubset[];
  readonly truncated: boolean;
} {
  let room = maxAddresses;
  const cut = (addresses: readonly EndpointAddress[]): readonly EndpointAddress[] => {
    const kept = addresses.slice(0, room);
    room -= kept.length;
    return kept;
  };
  const total = lists.reduce((sum, { ready, notReady }) => sum + ready.length + notReady.length, 0);
  const ready = lists.map((list) => cut(list.ready));
  const subsets = lists.flatMap((list, i): EndpointSubset | readonly [] => {
    const [addresses, notReadyAddresses] = [ready[i] ?? [], cut(list.notReady)];
    if (addresses.length + notReadyAddresses.length === 0) return [];
    return {
      ...(addresses.length === 0 ? {} : { addresses }),
      ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses }),
      ...(list.ports.length === 0 ? {} : { ports: list.ports }),
    };
  });
  return { subsets, truncated: total > maxAddresses };
}

const labelsOf = (service: Service): Labels => ({
  ...service.metadata.labels,
  ...(service.spec.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
  [keeperLabel]: keeper,
});

const samePairs = (a: Labels, b: Labels): boolean =>
  Object.keys(a).length === Object.keys(b).length && matchesMap(a, b);
