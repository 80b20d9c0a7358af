import { milliOf, unitsOf } from '../../lib/api/quantity.ts';
import type { Node } from '../../lib/api/objects.ts';
import type { NodeMetrics, PodMetrics, SilentNode, UsageAmounts, UsageSample } from '../../lib/api/usage.ts';

/** A line of the table, before it is text. */
export interface TopRow {
  readonly namespace: string;
  readonly name: string;
  /** Of a container, where these are shown. */
  readonly container?: string;
  /** Undefined: not known. */
  readonly cpuMilli: number | undefined;
  readonly memoryBytes: number | undefined;
  /** Of a node: what there is for pods. */
  readonly cpuRoomMilli?: number | undefined;
  readonly memoryRoomBytes?: number | undefined;
  /** CPU over the last minutes, oldest first, in thousandths. */
  readonly past: readonly number[];
}

export type SortBy = 'cpu' | 'memory' | 'name';

/** A row a pod, or a row a container. */
export function podRows(pods: readonly PodMetrics[], perContainer: boolean): TopRow[] {
  return pods.flatMap(({ metadata: { namespace = '', name }, containers }) => {
    const rows = containers.map((container): TopRow => ({
      ...{ namespace, name, container: container.name },
      ...amounts(container.usage),
      past: pastOf(container.history),
    }));
    return perContainer ? rows : [sumOf(namespace, name, rows)];
  });
}

/** A row a node; those that did not answer have one too, without figures. */
export function nodeRows(
  nodes: readonly NodeMetrics[],
  silent: readonly SilentNode[],
  known: readonly Node[],
): TopRow[] {
  const room = new Map(known.map((node) => [node.metadata.name, node.status.allocatable]));
  const row = (name: string, usage: UsageAmounts | undefined, history?: readonly UsageSample[]): TopRow => {
    const { cpu, memory } = room.get(name) ?? {};
    return {
      ...{ namespace: '', name },
      ...(usage === undefined ? { cpuMilli: undefined, memoryBytes: undefined } : amounts(usage)),
      cpuRoomMilli: cpu === undefined ? undefined : milliOf(cpu),
      memoryRoomBytes: memory === undefined ? undefined : unitsOf(memory),
      past: pastOf(history),
    };
  };
  return [
    ...nodes.map(({ metadata, usage, history }) => row(metadata.name, usage, history)),
    ...silent.map(({ node }) => row(node, undefined)),
  ];
}

/** Rounded up to a thousandth: whoever works at all is not at rest. */
const amounts = ({ cpu, memory }: UsageAmounts): { readonly cpuMilli: number; readonly memoryBytes: number } => ({
  cpuMilli: milliOf(cpu),
  memoryBytes: unitsOf(memory),
});

const pastOf = (history: readonly UsageSample[] | undefined): readonly number[] =>
  (history ?? []).map(({ cpuNanoCores }) => cpuNanoCores / 1e6);

function sumOf(namespace: string, name: string, rows: readonly TopRow[]): TopRow {
  const longest = Math.max(0, ...rows.map(({ past }) => past.length));
  return {
    ...{ namespace, name },
    cpuMilli: rows.reduce((sum, row) => sum + (row.cpuMilli ?? 0), 0),
    memoryBytes: rows.reduce((sum, row) => sum + (row.memoryBytes ?? 0), 0),
    // The newest stand under each other: a container that is younger has used nothing before.
    past: Array.from({ length: longest }, (_, i) =>
      rows.reduce((sum, { past }) => sum + (past[i - (longest - past.length)] ?? 0), 0),
    ),
  };
}

/** The largest first; by name where they are equal, and those without figures last. */
export function sorted(rows: readonly TopRow[], by: SortBy): TopRow[] {
  const nameOf = (row: TopRow): string => `${row.namespace}/${row.name}/${row.container ?? ''}`;
  const figure = (row: TopRow): number => (by === 'name' ? 0 : ((by === 'cpu' ? row.cpuMilli : row.memoryBytes) ?? -1));
  return rows.toSorted((a, b) => figure(b) - figure(a) || (nameOf(a) < nameOf(b) ? -1 : 1));
}

const bars = '▁▂▃▄▅▆▇█';

/** The past as a row of bars, the newest last; `top` is a full one. */
export function sparkline(past: readonly number[], top: number, width: number): string {
  const scale = Math.max(top, Number.MIN_VALUE);
  return past
    .slice(-width)
    .map((value) => bars[Math.min(bars.length - 1, Math.max(0, Math.floor((value / scale) * bars.length)))] ?? '')
    .join('');
}

export const unknown = '<unknown>';
export const cpuText = (milli: number | undefined): string => (milli === undefined ? unknown : `${milli}m`);
export const memoryText = (bytes: number | undefined): string =>
  bytes === undefined ? unknown : `${Math.floor(bytes / 2 ** 20)}Mi`;
/** A share in whole percent. */
export const shareText = (used: number | undefined, room: number | undefined): string =>
  used === undefined || room === undefined || room === 0 ? unknown : `${Math.floor((used / room) * 100)}%`;
