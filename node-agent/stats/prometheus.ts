import type { ContainerRecord, MachineRecord, PodRecord, Samples } from './sampler.ts';

/**
 * The figures in the text form of Prometheus, under the names that people know from Kubernetes' nodes. Written straight
 * from the last readings: nothing is kept for it, so that an ended container is gone with the next reading.
 */
export function metricsText(node: string, samples: Samples, podLabels: readonly string[]): string {
  const out: string[] = [];
  if (samples.machine !== undefined) machineFamilies(out, node, samples.machine);
  containerFamilies(out, node, samples.pods);
  networkFamilies(out, node, samples.pods);
  labelFamily(out, node, samples.pods, podLabels);
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

type Type = 'counter' | 'gauge';
interface Family<T> {
  readonly name: string;
  readonly type: Type;
  readonly help: string;
  /** Undefined: this one has no such figure, and no line. */
  readonly value: (of: T) => number | undefined;
}

const seconds = (nanos: number | undefined): number | undefined => (nanos === undefined ? undefined : nanos / 1e9);

const quotaPeriodMicros = 100_000;

const ofContainer: readonly Family<ContainerRecord>[] = [
  {
    name: 'container_cpu_usage_seconds_total',
    type: 'counter',
    help: 'CPU time used',
    value: ({ reading }) => seconds(reading.cpu?.usageNanos),
  },
  {
    name: 'container_cpu_user_seconds_total',
    type: 'counter',
    help: 'CPU time used by the program itself',
    value: ({ reading }) => seconds(reading.cpu?.userNanos),
  },
  {
    name: 'container_cpu_system_seconds_total',
    type: 'counter',
    help: 'CPU time used by the kernel for the program',
    value: ({ reading }) => seconds(reading.cpu?.systemNanos),
  },
  {
    name: 'container_cpu_cfs_periods_total',
    type: 'counter',
    help: 'Periods of 100 ms in which a limit of CPU time was kept',
    value: ({ reading }) => reading.cpu?.periods,
  },
  {
    name: 'container_cpu_cfs_throttled_periods_total',
    type: 'counter',
    help: 'Periods in which the container was held back by its limit',
    value: ({ reading }) => reading.cpu?.throttledPeriods,
  },
  {
    name: 'container_cpu_cfs_throttled_seconds_total',
    type: 'counter',
    help: 'Time for which the container was held back by its limit',
    value: ({ reading }) => seconds(reading.cpu?.throttledNanos),
  },
  {
    name: 'container_spec_cpu_quota',
    type: 'gauge',
    help: 'The limit of CPU time: microseconds in each period; absent: none',
    value: ({ reading }) =>
      reading.cpu?.limitMilli === undefined ? undefined : (reading.cpu.limitMilli * quotaPeriodMicros) / 1000,
  },
  {
    name: 'container_spec_cpu_period',
    type: 'gauge',
    help: 'The period of the limit, in microseconds',
    value: ({ reading }) => (reading.cpu?.limitMilli === undefined ? undefined : quotaPeriodMicros),
  },
  {
    name: 'container_memory_usage_bytes',
    type: 'gauge',
    help: 'Memory charged, file cache included',
    value: ({ reading }) => reading.memory?.usageBytes,
  },
  {
    name: 'container_memory_working_set_bytes',
    type: 'gauge',
    help: 'Memory in use that cannot be dropped at once',
    value: ({ reading }) => reading.memory?.workingSetBytes,
  },
  {
    name: 'container_memory_rss',
    type: 'gauge',
    help: 'Memory of the processes themselves',
    value: ({ reading }) => reading.memory?.rssBytes,
  },
  {
    name: 'container_memory_cache',
    type: 'gauge',
    help: 'Memory that holds parts of files',
    value: ({ reading }) => reading.memory?.cacheBytes,
  },
  {
    name: 'container_memory_swap',
    type: 'gauge',
    help: 'Memory on the swap device',
    value: ({ reading }) => reading.memory?.swapBytes,
  },
  {
    name: 'container_spec_memory_limit_bytes',
    type: 'gauge',
    help: 'The limit of memory; absent: none',
    value: ({ reading }) => reading.memory?.limitBytes,
  },
  {
    name: 'container_oom_events_total',
    type: 'counter',
    help: 'Processes killed for want of memory in this life of the container',
    value: ({ reading }) => reading.memory?.oomKills,
  },
  {
    name: 'container_fs_reads_bytes_total',
    type: 'counter',
    help: 'Bytes read from disks',
    value: ({ reading }) => reading.io?.readBytes,
  },
  {
    name: 'container_fs_writes_bytes_total',
    type: 'counter',
    help: 'Bytes written to disks',
    value: ({ reading }) => reading.io?.writeBytes,
  },
  {
    name: 'container_fs_reads_total',
    type: 'counter',
    help: 'Reads from disks',
    value: ({ reading }) => reading.io?.reads,
  },
  {
    name: 'container_fs_writes_total',
    type: 'counter',
    help: 'Writes to disks',
    value: ({ reading }) => reading.io?.writes,
  },
  {
    name: 'container_processes',
    type: 'gauge',
    help: 'Processes and threads',
    value: ({ reading }) => reading.processes,
  },
  {
    name: 'container_start_time_seconds',
    type: 'gauge',
    help: 'When this life of the container began, in seconds since 1970',
    value: ({ container }) => (container.is.startedAtMs === undefined ? undefined : container.is.startedAtMs / 1000),
  },
];

const ofMachine: readonly Family<MachineRecord>[] = [
  {
    name: 'node_cpu_usage_seconds_total',
    type: 'counter',
    help: 'CPU time used on the node, by everything',
    value: ({ reading }) => seconds(reading.cpu?.usageNanos),
  },
  {
    name: 'node_memory_working_set_bytes',
    type: 'gauge',
    help: 'Memory of the node that is not available to programs',
    value: ({ reading }) => reading.memory?.workingSetBytes,
  },
];

type DeviceFigures = NonNullable<ReturnType<PodRecord['network']>> extends ReadonlyMap<string, infer F> ? F : never;
const ofNetwork: readonly Family<DeviceFigures>[] = [
  { name: 'receive_bytes', type: 'counter', help: 'Bytes received by the pod', value: (of) => of.rxBytes },
  { name: 'receive_packets', type: 'counter', help: 'Packets received by the pod', value: (of) => of.rxPackets },
  { name: 'receive_errors', type: 'counter', help: 'Errors while receiving', value: (of) => of.rxErrors },
  {
    name: 'receive_packets_dropped',
    type: 'counter',
    help: 'Packets for the pod that were dropped',
    value: (of) => of.rxDropped,
  },
  { name: 'transmit_bytes', type: 'counter', help: 'Bytes sent by the pod', value: (of) => of.txBytes },
  { name: 'transmit_packets', type: 'counter', help: 'Packets sent by the pod', value: (of) => of.txPackets },
  { name: 'transmit_errors', type: 'counter', help: 'Errors while sending', value: (of) => of.txErrors },
  {
    name: 'transmit_packets_dropped',
    type: 'counter',
    help: 'Packets of the pod that were dropped',
    value: (of) => of.txDropped,
  },
];

const ofDisk: readonly Family<NonNullable<MachineRecord['reading']['filesystem']>>[] = [
  {
    name: 'node_filesystem_size_bytes',
    type: 'gauge',
    help: "Size of the disk where pods' files are",
    value: (of) => of.totalBytes,
  },
  {
    name: 'node_filesystem_avail_bytes',
    type: 'gauge',
    help: 'What can still be written on it',
    value: (of) => of.availableBytes,
  },
  { name: 'node_filesystem_files', type: 'gauge', help: 'Files that it can hold', value: (of) => of.files },
  { name: 'node_filesystem_files_free', type: 'gauge', help: 'Files it has room for', value: (of) => of.freeFiles },
];

function machineFamilies(out: string[], node: string, machine: MachineRecord): void {
  for (const family of ofMachine) {
    const value = family.value(machine);
    if (value !== undefined) out.push(...head(family), line(family.name, labelsText([['node', node]]), value));
  }
  const { filesystem } = machine.reading;
  if (filesystem === undefined) return;
  const labels = labelsText([
    ['node', node],
    ['path', filesystem.path],
  ]);
  for (const family of ofDisk) out.push(...head(family), line(family.name, labels, family.value(filesystem) ?? NaN));
}

function containerFamilies(out: string[], node: string, pods: readonly PodRecord[]): void {
  const rows = pods.flatMap(({ pod, containers }) =>
    containers.map((record) => ({
      record,
      labels: labelsText([
        ...podLabel(pod, node),
        ['container', record.container.name],
        ['id', record.container.is.id],
      ]),
    })),
  );
  for (const family of ofContainer) {
    const lines = rows.flatMap(({ record, labels }) => {
      const value = family.value(record);
      return value === undefined ? [] : [line(family.name, labels, value)];
    });
    if (lines.length > 0) out.push(...head(family), ...lines);
  }
}

function networkFamilies(out: string[], node: string, pods: readonly PodRecord[]): void {
  const rows = pods.flatMap(({ pod, network }) =>
    [...(network() ?? [])].map(([device, figures]) => ({
      figures,
      labels: labelsText([...podLabel(pod, node), ['interface', device]]),
    })),
  );
  if (rows.length === 0) return;
  for (const family of ofNetwork) {
    const name = `container_network_${family.name}_total`;
    out.push(...head({ ...family, name }));
    for (const { figures, labels } of rows) out.push(line(name, labels, family.value(figures) ?? NaN));
  }
}

/** Labels of pods, to be joined to the figures by namespace and pod; only those that were asked for, since each costs. */
function labelFamily(out: string[], node: string, pods: readonly PodRecord[], wanted: readonly string[]): void {
  if (wanted.length === 0 || pods.length === 0) return;
  const name = 'kube_pod_labels';
  out.push(...head({ name, type: 'gauge', help: 'Chosen labels of pods; always 1' }));
  for (const { pod } of pods) {
    const chosen = wanted.flatMap((key): (readonly [string, string])[] => {
      const value = pod.metadata.labels?.[key];
      return value === undefined ? [] : [[`label_${key.replace(/[^A-Za-z0-9_]/g, '_')}`, value]];
    });
    out.push(line(name, labelsText([...podLabel(pod, node), ['uid', pod.metadata.uid], ...chosen]), 1));
  }
}

const podLabel = (pod: PodRecord['pod'], node: string): readonly (readonly [string, string])[] => [
  ['namespace', pod.metadata.namespace ?? ''],
  ['pod', pod.metadata.name],
  ['node', node],
];

const head = ({ name, type, help }: Pick<Family<never>, 'name' | 'type' | 'help'>): readonly string[] => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} ${type}`,
];

const line = (name: string, labels: string, value: number): string => `${name}${labels} ${value}`;

const labelsText = (labels: readonly (readonly [string, string])[]): string =>
  `{${labels.map(([name, value]) => `${name}="${escaped(value)}"`).join(',')}}`;

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
