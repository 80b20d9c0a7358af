import type { Objects } from '../../lib/api/kinds.ts';
import type { Endpoints, Event, Lease, Node, Pod, ResourceList } from '../../lib/api/objects.ts';
import { isReady, isTerminal, needsOf, othersIn, togetherOf } from '../../lib/api/pods.ts';
import { bytesQuantity, milliOf, milliQuantity, unitsOf } from '../../lib/api/quantity.ts';
import { inner, type Entry, type Outline } from './outline.ts';

export function describeEndpoints(endpoints: Endpoints): Outline {
  return [
    [
      'Subsets',
      inner(
        ...(endpoints.subsets ?? []).map((subset, index): Entry => [
          `Subset ${index + 1}`,
          inner(
            ['Addresses', (subset.addresses ?? []).map(addressText)],
            ['Not ready', (subset.notReadyAddresses ?? []).map(addressText)],
            [
              'Ports',
              (subset.ports ?? []).map(
                ({ name, port, protocol }) => `${port}/${protocol}${name === undefined ? '' : ` (${name})`}`,
              ),
            ],
          ),
        ]),
      ),
    ],
  ];
}

const addressText = ({
  ip,
  targetRef,
}: {
  readonly ip: string;
  readonly targetRef?: { readonly name?: string };
}): string => (targetRef?.name === undefined ? ip : `${ip} (${targetRef.name})`);

/** Of what the node declares beyond cpu, memory and disk, how much its pods have. */
function requestedOthers(
  pods: readonly Pod[],
  room: ResourceList,
): readonly { readonly name: string; readonly asked: number; readonly has: number }[] {
  const needs = pods.map(({ spec }) => needsOf(spec).others ?? {});
  return Object.entries(othersIn(room) ?? {}).map(([name, has]) => ({
    name,
    asked: needs.reduce((total, others) => total + (others[name] ?? 0), 0),
    has,
  }));
}

export function describeNode(node: Node, pods: readonly Pod[]): Outline {
  const { spec, status } = node;
  const active = pods.filter((pod) => !isTerminal(pod));
  const sum = active.reduce(
    (total, pod) => {
      const needs = needsOf(pod.spec);
      return { cpuMilli: total.cpuMilli + needs.cpuMilli, memoryBytes: total.memoryBytes + needs.memoryBytes };
    },
    { cpuMilli: 0, memoryBytes: 0 },
  );
  const limitOf = (spec: Pod['spec'], name: string, amount: (quantity: string | number) => number): number =>
    togetherOf(spec, (container) => amount(container.resources?.limits?.[name] ?? 0));
  const limits = active.reduce(
    (total, pod) => ({
      cpuMilli: total.cpuMilli + limitOf(pod.spec, 'cpu', milliOf),
      memoryBytes: total.memoryBytes + limitOf(pod.spec, 'memory', unitsOf),
    }),
    { cpuMilli: 0, memoryBytes: 0 },
  );
  const room = status.allocatable ?? {};
  const roomFor = (name: string): number =>
    room[name] === undefined ? 0 : name === 'cpu' ? milliOf(room[name]) : unitsOf(room[name]);
  const amounts = ({ cpuMilli, memoryBytes }: { cpuMilli: number; memoryBytes: number }): readonly string[] => [
    `cpu ${milliQuantity(cpuMilli)}${share(cpuMilli, roomFor('cpu'))}`,
    `memory ${bytesQuantity(memoryBytes)}${share(memoryBytes, roomFor('memory'))}`,
  ];
  const share = (used: number, all: number): string => (all === 0 ? '' : ` (${Math.round((100 * used) / all)}%)`);
  return [
    ['Addresses', (status.addresses ?? []).map(({ type, address }) => `${type} ${address}`)],
    ['Pod addresses', spec.podCIDR ?? '<none yet>'],
    ['Schedulable', spec.unschedulable === true ? 'no: it takes no new pods' : 'yes'],
    [
      'Taints',
      (spec.taints ?? []).map(({ key, value, effect }) => `${key}${value === undefined ? '' : `=${value}`}:${effect}`),
    ],
    [
      'Conditions',
      inner(
        ...(status.conditions ?? []).map(({ type, status: is, reason, message }): Entry => [
          type,
          [is, reason, message].filter((part) => part !== undefined && part !== '').join('  '),
        ]),
      ),
    ],
    ['Capacity', Object.entries(status.capacity ?? {}).map(([name, amount]) => `${name} ${amount}`)],
    ['Allocatable', Object.entries(room).map(([name, amount]) => `${name} ${amount}`)],
    [
      'System',
      status.nodeInfo === undefined
        ? undefined
        : inner(
            ...Object.entries(status.nodeInfo)
              .filter(([, value]) => value !== '')
              .map(([name, value]): Entry => [name, value]),
          ),
    ],
    [
      'Requested',
      [
        ...amounts(sum),
        ...requestedOthers(active, room).map(({ name, asked, has }) => `${name} ${asked} of ${has}`),
        `pods ${active.length}${share(active.length, roomFor('pods'))}`,
      ],
    ],
    // More than the node has is no mistake: not all use what they may at one time.
    ['Limits', amounts(limits)],
    [
      'Pods',
      inner(
        ...active
          .toSorted((a, b) => nameIn(a).localeCompare(nameIn(b)))
          .map((pod): Entry => {
            const needs = needsOf(pod.spec);
            return [
              nameIn(pod),
              `${isReady(pod) ? 'ready' : 'not ready'}, cpu ${milliQuantity(needs.cpuMilli)}, memory ${bytesQuantity(needs.memoryBytes)}`,
            ];
          }),
      ),
    ],
  ];
}

const nameIn = (pod: Pod): string => `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;

export const describeNamespace = ({ spec, status }: Objects['namespaces']): Outline => [
  ['Status', status.phase ?? 'Active'],
  ['Finalizers', spec.finalizers?.join(', ')],
  [
    'Conditions',
    status.conditions === undefined
      ? undefined
      : inner(
          ...status.conditions.map(({ type, status: is, message }): Entry => [
            type,
            [is, message].filter((part) => part !== undefined).join('  '),
          ]),
        ),
  ],
];

export const describeConfigMap = ({ data, binaryData, immutable }: Objects['configmaps']): Outline => [
  ['Immutable', immutable === true ? 'yes' : undefined],
  ['Data', inner(...Object.entries(data ?? {}).map(([key, value]): Entry => [key, value.trimEnd().split('\n')]))],
  [
    'Binary data',
    binaryData === undefined
      ? undefined
      : inner(
          ...Object.entries(binaryData).map(([key, value]): Entry => [
            key,
            `${Buffer.byteLength(value, 'base64')} bytes`,
          ]),
        ),
  ],
];

/** A secret's values are not shown: `get -o yaml` is for those who mean it. */
export const describeSecret = ({ data, type, immutable }: Objects['secrets']): Outline => [
  ['Type', type],
  ['Immutable', immutable === true ? 'yes' : undefined],
  [
    'Data',
    inner(
      ...Object.entries(data ?? {}).map(([key, value]): Entry => [key, `${Buffer.byteLength(value, 'base64')} bytes`]),
    ),
  ],
];

export const describeServiceAccount = (account: Objects['serviceaccounts']): Outline => [
  ['Token for pods', account.automountServiceAccountToken === false ? 'only where they ask for it' : 'yes'],
  ['Pull secrets', account.imagePullSecrets?.map(({ name = '' }) => name).join(', ')],
];

export const describeLease = ({ spec }: Lease): Outline => [
  ['Holder', spec.holderIdentity === '' ? '<none>' : (spec.holderIdentity ?? '<none>')],
  ['Valid for', spec.leaseDurationSeconds === undefined ? undefined : `${spec.leaseDurationSeconds} s`],
  ['Acquired', spec.acquireTime],
  ['Renewed', spec.renewTime],
  ['Transitions', spec.leaseTransitions],
];

export const describeEvent = (event: Event): Outline => [
  ['About', `${event.involvedObject.kind ?? ''}/${event.involvedObject.name ?? ''}`],
  ['Type', event.type],
  ['Reason', event.reason],
  ['Message', event.message],
  [
    'From',
    [event.source?.component ?? event.reportingComponent, event.source?.host]
      .filter((part) => part !== undefined && part !== '')
      .join(' on '),
  ],
  ['Count', event.count],
  ['First seen', event.firstTimestamp ?? undefined],
  ['Last seen', event.lastTimestamp ?? event.eventTime ?? undefined],
];
