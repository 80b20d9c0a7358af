import { sameJson } from '../../../lib/api/json.ts';
import type {
  EndpointAddress,
  EndpointPort,
  Endpoints,
  EndpointSlice,
  Labels,
  SliceEndpoint,
  SlicePort,
} from '../../../lib/api/objects.ts';
import type { Draft } from '../../../lib/client/client.ts';

/** Whose slice it is. */
export const serviceNameLabel = 'kubernetes.io/service-name';
/** Who writes it: slices of others are not touched. */
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const manager = 'troupe-endpoints-controller';
/** In one slice; a change is told with all of its slice. */
export const maxPerSlice = 100;

export type SliceAction =
  | { readonly type: 'create'; readonly draft: Draft<EndpointSlice> }
  | { readonly type: 'update'; readonly slice: EndpointSlice }
  | { readonly type: 'delete'; readonly slice: EndpointSlice };

/**
 * The writes that make the slices say what the Endpoints say, and no more: an endpoint stays in the slice in which it is, new ones go where there is
 * room, and a slice that has none any more goes. Without Endpoints all slices go. A settled state gives `[]`.
 */
export function reconcileSlices(endpoints: Endpoints | undefined, slices: readonly EndpointSlice[]): SliceAction[] {
  if (endpoints === undefined) return slices.map((slice) => ({ type: 'delete', slice }));
  const actions: SliceAction[] = [];
  const labels = labelsOf(endpoints);
  const left = new Set(slices);
  for (const { ports, byAddress } of wantedSets(endpoints)) {
    const wanted = new Map(byAddress);
    const ofSet = slices.filter((slice) => left.has(slice) && sameJson(slice.ports ?? [], ports));
    const kept = ofSet.map((slice) => {
      left.delete(slice);
      return { slice, endpoints: stay(slice, wanted) };
    });
    for (const each of kept) fill(each.endpoints, wanted);
    for (const { slice, endpoints: next } of kept) {
      if (next.length === 0) actions.push({ type: 'delete', slice });
      else if (!sameJson(slice.endpoints ?? [], next) || !hasLabels(slice, labels))
        actions.push({ type: 'update', slice: { ...slice, ...withLabels(slice, labels), endpoints: next } });
    }
    while (wanted.size > 0) {
      const next: SliceEndpoint[] = [];
      fill(next, wanted);
      actions.push({ type: 'create', draft: draftOf(endpoints, { labels, ports, endpoints: next }) });
    }
  }
  for (const slice of left) actions.push({ type: 'delete', slice });
  return actions;
}

interface WantedSet {
  readonly ports: readonly SlicePort[];
  readonly byAddress: ReadonlyMap<string, SliceEndpoint>;
}

function wantedSets({ subsets = [], access }: Endpoints): readonly WantedSet[] {
  const sets = new Map<string, { ports: readonly SlicePort[]; byAddress: Map<string, SliceEndpoint> }>();
  const enter = (
    ports: readonly EndpointPort[] | undefined,
    addresses: readonly EndpointAddress[] | undefined,
    state: State,
  ): void => {
    const told = (ports ?? []).map(portOf);
    const key = JSON.stringify(told);
    let set = sets.get(key);
    if (set === undefined) sets.set(key, (set = { ports: told, byAddress: new Map() }));
    for (const address of addresses ?? [])
      if (!set.byAddress.has(address.ip)) set.byAddress.set(address.ip, endpointOf(address, state));
  };
  for (const { ports, addresses, notReadyAddresses } of subsets) {
    enter(ports, addresses, 'ready');
    enter(ports, notReadyAddresses, 'unready');
  }
  for (const { ports, addresses, notReadyAddresses } of access?.leaving ?? [])
    enter(ports, [...(addresses ?? []), ...(notReadyAddresses ?? [])], 'leaving');
  return [...sets.values()].filter(({ byAddress }) => byAddress.size > 0);
}

type State = 'ready' | 'unready' | 'leaving';

const portOf = ({ name, port, protocol, appProtocol }: EndpointPort): SlicePort => ({
  ...{ name: name ?? '', port, protocol },
  ...(appProtocol === undefined ? {} : { appProtocol }),
});

const endpointOf = ({ ip, hostname, nodeName, targetRef }: EndpointAddress, state: State): SliceEndpoint => ({
  addresses: [ip],
  conditions: { ready: state === 'ready', serving: state === 'ready', terminating: state === 'leaving' },
  ...(hostname === undefined ? {} : { hostname }),
  ...(nodeName === undefined ? {} : { nodeName }),
  ...(targetRef === undefined ? {} : { targetRef }),
});

/** The endpoints of a slice that are still wanted, as they are now, in their places; taken out of `wanted`. */
function stay({ endpoints = [] }: EndpointSlice, wanted: Map<string, SliceEndpoint>): SliceEndpoint[] {
  return endpoints.slice(0, maxPerSlice).flatMap(({ addresses }) => {
    const [address = ''] = addresses;
    const now = wanted.get(address);
    wanted.delete(address);
    return now === undefined ? [] : [now];
  });
}

/** Moves wanted endpoints into a slice until it is full. */
function fill(into: SliceEndpoint[], wanted: Map<string, SliceEndpoint>): void {
  for (const [address, endpoint] of wanted) {
    if (into.length >= maxPerSlice) return;
    into.push(endpoint);
    wanted.delete(address);
  }
}

const labelsOf = ({ metadata }: Endpoints): Labels => ({
  ...metadata.labels,
  [serviceNameLabel]: metadata.name,
  [managedByLabel]: manager,
});
const hasLabels = ({ metadata }: EndpointSlice, labels: Labels): boolean => sameJson(metadata.labels ?? {}, labels);
const withLabels = (slice: EndpointSlice, labels: Labels): Pick<EndpointSlice, 'metadata'> => ({
  metadata: { ...slice.metadata, labels },
});

function draftOf(
  { metadata }: Endpoints,
  parts: {
    readonly labels: Labels;
    readonly ports: readonly SlicePort[];
    readonly endpoints: readonly SliceEndpoint[];
  },
): Draft<EndpointSlice> {
  const { name, namespace, uid } = metadata;
  const { labels, ports, endpoints } = parts;
  return {
    metadata: {
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Endpoints', name, uid, controller: true }],
    },
    addressType: 'IPv4',
    endpoints,
    ports,
  };
}
