import { readSection } from './configuration.ts';

/** One line of HAProxy's statistics. */
export interface Row {
  readonly labels: { readonly namespace: string; readonly service: string; readonly port: string };
  /** `FRONTEND`, `BACKEND`, or an endpoint. */
  readonly kind: string;
  readonly open: number;
  readonly connections: number;
  readonly sessions: number;
  readonly refused: number;
  readonly failures: number;
  readonly redispatches: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly active: number;
}

/** Reads the answer to `show stat`: comma-separated, the first line names the columns. Sections that are not ours are left out. */
export function readStatistics(text: string): readonly Row[] {
  const [head = '', ...lines] = text.trim().split('\n');
  const columns = new Map(
    head
      .replace(/^# /, '')
      .split(',')
      .map((name, index) => [name, index]),
  );
  return lines.flatMap((line): Row | readonly [] => {
    const cells = line.split(',');
    const cell = (name: string): string => cells[columns.get(name) ?? -1] ?? '';
    const number = (name: string): number => Number(cell(name) === '' ? 0 : cell(name));
    const labels = readSection(cell('pxname'));
    if (labels === undefined) return [];
    return {
      labels,
      kind: cell('svname'),
      open: number('scur'),
      connections: number('conn_tot'),
      sessions: number('stot'),
      refused: number('dcon') + number('dses'),
      failures: number('econ'),
      redispatches: number('wredis'),
      bytesIn: number('bin'),
      bytesOut: number('bout'),
      active: number('act'),
    };
  });
}
