import type { Objects, Resource } from '../lib/api/kinds.ts';
import { colorOfStatus, newLayout, type Colors } from './columns.ts';
import { tableColumns, tableRow } from './kinds.ts';
import { nameOf } from './targets.ts';

export interface TableOptions {
  readonly resource: Resource;
  /** With the columns that are left out where space is short. */
  readonly wide: boolean;
  readonly withNamespace: boolean;
  /** Names as `pod/web-1`: where several kinds are shown. */
  readonly withKind: boolean;
  readonly headers: boolean;
  readonly labelColumns: readonly string[];
  readonly showLabels: boolean;
  readonly colors: Colors;
  readonly now: () => number;
}

/** Rows of one kind, in several goes; the headings come with the first. */
export interface Table {
  lines(items: readonly Objects[Resource][]): string[];
}

export function newTable(options: TableOptions): Table {
  const { resource, colors } = options;
  const columns = tableColumns(resource).map((column, index) => ({ ...column, index }));
  const shown = columns.filter((column) => column.priority === 0 || options.wide);
  const layout = newLayout();
  const tinted = resource === 'events' ? 'Type' : 'Status';
  let headed = false;

  const headings = [
    ...(options.withNamespace ? ['NAMESPACE'] : []),
    ...shown.map((column) => column.name.toUpperCase()),
    ...options.labelColumns.map((key) => key.slice(key.lastIndexOf('/') + 1).toUpperCase()),
    ...(options.showLabels ? ['LABELS'] : []),
  ];
  const rowFor = (item: Objects[Resource], nowMs: number): string[] => {
    const cells = tableRow(resource, item, nowMs);
    const labels = item.metadata.labels ?? {};
    return [
      ...(options.withNamespace ? [item.metadata.namespace ?? ''] : []),
      ...shown.map((column) => {
        const cell = cells[column.index] ?? '';
        if (column.name === 'Name' && options.withKind) return nameOf(resource, cell);
        return column.name === tinted ? colorOfStatus(colors, cell) : cell;
      }),
      ...options.labelColumns.map((key) => labels[key] ?? ''),
      ...(options.showLabels ? [labelsText(labels)] : []),
    ];
  };
  return {
    lines(items) {
      const nowMs = options.now();
      const rows = items.map((item) => rowFor(item, nowMs));
      if (!options.headers) return layout.lines(rows);
      const [heading, ...rest] = layout.lines([headings, ...rows]);
      if (headed || heading === undefined) return rest;
      headed = true;
      return [colors.bold(heading), ...rest];
    },
  };
}

/** `a=1,b=2`, sorted by key; `<none>` where there are none. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? '<none>' : entries.map(([key, value]) => `${key}=${value}`).join(',');
}
