import type { BuiltIn, BuiltInObjects as Objects } from '../kinds.ts';
import type { Event, Labels, Node, PodSpec, Service } from '../objects.ts';
import { ageOfTime } from './age.ts';
import { restartsText, summaryOf } from './pod.ts';
import { quotaRow, roleText, sliceRow, subjectsText } from './bounds.ts';
import { claimRow, classRow, volumeRow } from './storage.ts';
import { autoscalerRow } from './autoscaling.ts';
import { cronJobRow, jobRow } from './batch.ts';
import { daemonSetRow, revisionRow } from './daemon.ts';
import { budgetRow } from './disruption.ts';
import { deploymentRow, replicaSetRow } from './workload.ts';

export { ageOf, ageOfTime, durationText } from './age.ts';
export { summaryOf } from './pod.ts';

export interface Column {
  /** As a heading in its own case: `Cluster-IP`. */
  readonly name: string;
  /** 0: always shown; 1: only where there is room (`-o wide`). */
  readonly priority: 0 | 1;
}

/** The columns of a resource's table, in the order in which `rowOf` fills them. */
export const columnsOf = (resource: BuiltIn): readonly Column[] => tables[resource].columns;

/** One cell a column. `nowMs` is what ages are counted from. */
export const rowOf = <R extends BuiltIn>(resource: R, object: Objects[R], nowMs: number): readonly string[] =>
  tables[resource].row(object, nowMs);

interface Table<T> {
  readonly columns: readonly Column[];
  row(object: T, nowMs: number): readonly string[];
}

/** Headings; one in brackets is for wide tables. */
const columns = (...names: readonly string[]): readonly Column[] =>
  names.map((name) => (name.startsWith('[') ? { name: name.slice(1, -1), priority: 1 } : { name, priority: 0 }));

const none = '<none>';
const orNone = (text: string | undefined): string => (text === undefined || text === '' ? none : text);
const listText = (items: readonly string[] | undefined): string => orNone(items?.join(','));
const pairsText = (labels: Labels | undefined): string =>
  listText(
    Object.entries(labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
  );
const age = (object: { readonly metadata: { readonly creationTimestamp?: string } }, nowMs: number): string =>
  ageOfTime(object.metadata.creationTimestamp, nowMs);
const names = (spec: PodSpec): string => spec.containers.map((each) => each.name).join(',');
const images = (spec: PodSpec): string => spec.containers.map((each) => each.image).join(',');
const countOf = (map: object | undefined): number => Object.keys(map ?? {}).length;

const tables: { readonly [R in BuiltIn]: Table<Objects[R]> } = {
  pods: {
    columns: columns(
      'Name',
      'Ready',
      'Status',
      'Restarts',
      'Age',
      '[IP]',
      '[Node]',
      '[Nominated Node]',
      '[Readiness Gates]',
    ),
    row(pod, nowMs) {
      const summary = summaryOf(pod);
      return [
        pod.metadata.name,
        `${summary.ready}/${summary.total}`,
        summary.status,
        restartsText(summary, nowMs),
        age(pod, nowMs),
        orNone(pod.status.podIP),
        orNone(pod.spec.nodeName),
        orNone(pod.status.nominatedNodeName),
        none,
      ];
    },
  },
  replicationcontrollers: {
    columns: columns('Name', 'Desired', 'Current', 'Ready', 'Age', '[Containers]', '[Images]', '[Selector]'),
    row: (rc, nowMs) => [
      rc.metadata.name,
      String(rc.spec.replicas),
      String(rc.status.replicas),
      String(rc.status.readyReplicas ?? 0),
      age(rc, nowMs),
      names(rc.spec.template.spec),
      images(rc.spec.template.spec),
      pairsText(rc.spec.selector),
    ],
  },
  replicasets: {
    columns: columns('Name', 'Desired', 'Current', 'Ready', 'Age', '[Containers]', '[Images]', '[Selector]'),
    row: (set, nowMs) => replicaSetRow(set, age(set, nowMs)),
  },
  jobs: {
    columns: columns(...['Name', 'Status', 'Completions', 'Duration', 'Age', '[Containers]', '[Images]', '[Selector]']),
    row: jobRow,
  },
  cronjobs: {
    columns: columns(
      ...['Name', 'Schedule', 'Timezone', 'Suspend', 'Active', 'Last Schedule', 'Age'],
      ...['[Containers]', '[Images]', '[Selector]'],
    ),
    row: cronJobRow,
  },
  poddisruptionbudgets: {
    columns: columns('Name', 'Min Available', 'Max Unavailable', 'Allowed Disruptions', 'Age'),
    row: (budget, nowMs) => budgetRow(budget, age(budget, nowMs)),
  },
  horizontalpodautoscalers: {
    columns: columns('Name', 'Reference', 'Targets', 'MinPods', 'MaxPods', 'Replicas', 'Age'),
    row: autoscalerRow,
  },
  daemonsets: {
    columns: columns(
      ...['Name', 'Desired', 'Current', 'Ready', 'Up-to-date', 'Available', 'Node Selector', 'Age'],
      ...['[Containers]', '[Images]', '[Selector]'],
    ),
    row: (set, nowMs) => daemonSetRow(set, age(set, nowMs)),
  },
  controllerrevisions: {
    columns: columns('Name', 'Controller', 'Revision', 'Age'),
    row: (revision, nowMs) => revisionRow(revision, age(revision, nowMs)),
  },
  deployments: {
    columns: columns('Name', 'Ready', 'Up-to-date', 'Available', 'Age', '[Containers]', '[Images]', '[Selector]'),
    row: (deployment, nowMs) => deploymentRow(deployment, age(deployment, nowMs)),
  },
  services: {
    columns: columns('Name', 'Type', 'Cluster-IP', 'External-IP', 'Port(s)', 'Age', '[Selector]'),
    row: (service, nowMs) => [
      service.metadata.name,
      service.spec.type,
      orNone(service.spec.clusterIP),
      externalIPs(service),
      portsText(service),
      age(service, nowMs),
      pairsText(service.spec.selector),
    ],
  },
  endpoints: {
    columns: columns('Name', 'Endpoints', 'Age'),
    row: (endpoints, nowMs) => [endpoints.metadata.name, addressesText(endpoints), age(endpoints, nowMs)],
  },
  nodes: {
    columns: columns(
      'Name',
      'Status',
      'Roles',
      'Age',
      'Version',
      '[Internal-IP]',
      '[External-IP]',
      '[OS-Image]',
      '[Kernel-Version]',
      '[Container-Runtime]',
    ),
    row: (node, nowMs) => [
      node.metadata.name,
      nodeStatus(node),
      nodeRoles(node),
      age(node, nowMs),
      node.status.nodeInfo?.['kubeletVersion'] ?? '',
      addressOf(node, 'InternalIP'),
      addressOf(node, 'ExternalIP'),
      orUnknown(node.status.nodeInfo?.['osImage']),
      orUnknown(node.status.nodeInfo?.['kernelVersion']),
      orUnknown(node.status.nodeInfo?.['containerRuntimeVersion']),
    ],
  },
  namespaces: {
    columns: columns('Name', 'Status', 'Age'),
    row: (namespace, nowMs) => [namespace.metadata.name, namespace.status.phase ?? '', age(namespace, nowMs)],
  },
  events: {
    columns: columns(
      'Last Seen',
      'Type',
      'Reason',
      'Object',
      '[Subobject]',
      '[Source]',
      'Message',
      '[First Seen]',
      '[Count]',
      '[Name]',
    ),
    row: (event, nowMs) => [
      ageOfTime(event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp, nowMs),
      event.type ?? '',
      event.reason ?? '',
      `${(event.involvedObject.kind ?? '').toLowerCase()}/${event.involvedObject.name ?? ''}`,
      event.involvedObject.fieldPath ?? '',
      sourceText(event),
      (event.message ?? '').trim(),
      ageOfTime(event.firstTimestamp ?? event.eventTime, nowMs),
      String(event.count ?? 1),
      event.metadata.name,
    ],
  },
  leases: {
    columns: columns('Name', 'Holder', 'Age'),
    row: (lease, nowMs) => [lease.metadata.name, lease.spec.holderIdentity ?? '', age(lease, nowMs)],
  },
  configmaps: {
    columns: columns('Name', 'Data', 'Age'),
    row: (map, nowMs) => [map.metadata.name, String(countOf(map.data) + countOf(map.binaryData)), age(map, nowMs)],
  },
  secrets: {
    columns: columns('Name', 'Type', 'Data', 'Age'),
    row: (secret, nowMs) => [secret.metadata.name, secret.type ?? '', String(countOf(secret.data)), age(secret, nowMs)],
  },
  serviceaccounts: {
    columns: columns('Name', 'Age'),
    row: (account, nowMs) => [account.metadata.name, age(account, nowMs)],
  },
  persistentvolumes: {
    columns: columns(
      ...['Name', 'Capacity', 'Access Modes', 'Reclaim Policy', 'Status', 'Claim', 'StorageClass'],
      ...['VolumeAttributesClass', 'Reason', 'Age', '[VolumeMode]'],
    ),
    row: (volume, nowMs) => volumeRow(volume, age(volume, nowMs)),
  },
  persistentvolumeclaims: {
    columns: columns(
      ...['Name', 'Status', 'Volume', 'Capacity', 'Access Modes', 'StorageClass', 'VolumeAttributesClass', 'Age'],
      '[VolumeMode]',
    ),
    row: (claim, nowMs) => claimRow(claim, age(claim, nowMs)),
  },
  storageclasses: {
    columns: columns('Name', 'Provisioner', 'ReclaimPolicy', 'VolumeBindingMode', 'AllowVolumeExpansion', 'Age'),
    row: (storageClass, nowMs) => classRow(storageClass, age(storageClass, nowMs)),
  },
  podtemplates: {
    columns: columns('Name', 'Containers', 'Images', 'Pod Labels'),
    row: ({ metadata, template }) => [
      metadata.name,
      names(template.spec),
      images(template.spec),
      pairsText(template.metadata?.labels),
    ],
  },
  resourcequotas: {
    columns: columns('Name', 'Request', 'Limit', 'Age'),
    row: (quota, nowMs) => [quota.metadata.name, ...quotaRow(quota), age(quota, nowMs)],
  },
  limitranges: {
    columns: columns('Name', 'Created At'),
    row: ({ metadata }) => [metadata.name, metadata.creationTimestamp],
  },
  endpointslices: {
    columns: columns('Name', 'AddressType', 'Ports', 'Endpoints', 'Age'),
    row: (slice, nowMs) => [slice.metadata.name, ...sliceRow(slice), age(slice, nowMs)],
  },
  priorityclasses: {
    columns: columns('Name', 'Value', 'Global-Default', 'Age', 'PreemptionPolicy'),
    row: (priority, nowMs) => [
      priority.metadata.name,
      String(priority.value),
      String(priority.globalDefault ?? false),
      age(priority, nowMs),
      priority.preemptionPolicy ?? '',
    ],
  },
  roles: {
    columns: columns('Name', 'Created At'),
    row: ({ metadata }) => [metadata.name, metadata.creationTimestamp],
  },
  clusterroles: {
    columns: columns('Name', 'Created At'),
    row: ({ metadata }) => [metadata.name, metadata.creationTimestamp],
  },
  rolebindings: {
    columns: columns('Name', 'Role', 'Age', '[Users]', '[Groups]', '[ServiceAccounts]'),
    row: (binding, nowMs) => [
      ...[binding.metadata.name, roleText(binding), age(binding, nowMs)],
      ...subjectsText(binding),
    ],
  },
  clusterrolebindings: {
    columns: columns('Name', 'Role', 'Age', '[Users]', '[Groups]', '[ServiceAccounts]'),
    row: (binding, nowMs) => [
      ...[binding.metadata.name, roleText(binding), age(binding, nowMs)],
      ...subjectsText(binding),
    ],
  },
  customresourcedefinitions: {
    columns: columns('Name', 'Created At'),
    row: ({ metadata }) => [metadata.name, metadata.creationTimestamp],
  },
};

// ---- Services and Endpoints --------------------------------------------------------------------

function externalIPs({ spec, status }: Service): string {
  if (spec.type === 'ExternalName') return orNone(spec.externalName);
  const given = spec.externalIPs ?? [];
  if (spec.type !== 'LoadBalancer') return listText(given);
  const ingress = (status.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '');
  const all = [...ingress.filter((each) => each !== ''), ...given];
  return all.length === 0 ? '<pending>' : all.join(',');
}

/** `80/TCP,443:30443/TCP` */
const portsText = ({ spec }: Service): string =>
  listText(
    (spec.ports ?? []).map((port) =>
      (port.nodePort ?? 0) === 0 ? `${port.port}/${port.protocol}` : `${port.port}:${port.nodePort}/${port.protocol}`,
    ),
  );

const maxAddresses = 3;

/** The first ready addresses with their ports, and how many more there are. */
function addressesText(endpoints: Objects['endpoints']): string {
  const all = (endpoints.subsets ?? []).flatMap((subset) => {
    const ips = (subset.addresses ?? []).map((address) => address.ip);
    const ports = subset.ports ?? [];
    return ports.length === 0 ? ips : ports.flatMap((port) => ips.map((ip) => `${ip}:${port.port}`));
  });
  const shown = all.slice(0, maxAddresses).join(',');
  return all.length > maxAddresses ? `${shown} + ${all.length - maxAddresses} more...` : orNone(shown);
}

// ---- Nodes and Events --------------------------------------------------------------------------

const orUnknown = (text: string | undefined): string => (text === undefined || text === '' ? '<unknown>' : text);

function nodeStatus(node: Node): string {
  const ready = node.status.conditions?.find((condition) => condition.type === 'Ready');
  const word = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return node.spec.unschedulable === true ? `${word},SchedulingDisabled` : word;
}

const rolePrefix = 'node-role.kubernetes.io/';
const nodeRoles = (node: Node): string =>
  listText(
    Object.keys(node.metadata.labels ?? {})
      .filter((key) => key.startsWith(rolePrefix) && key.length > rolePrefix.length)
      .map((key) => key.slice(rolePrefix.length))
      .sort(),
  );

const addressOf = (node: Node, type: string): string =>
  orNone(node.status.addresses?.find((address) => address.type === type)?.address);

function sourceText(event: Event): string {
  const component = event.source?.component ?? event.reportingComponent ?? '';
  const host = event.source?.host ?? event.reportingInstance ?? '';
  return [component, host].filter((part) => part !== '').join(', ');
}
