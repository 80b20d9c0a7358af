import { color } from './color.ts';
import type { ClusterState, PartState } from './state-file.ts';

const paint: Record<PartState['state'], (text: string) => string> = {
  ready: color.green,
  starting: color.yellow,
  'not ready': color.yellow,
  restarting: color.red,
  stopped: color.dim,
};

/** The parts as an aligned table. */
export function partsTable(
  parts: readonly PartState[],
  nowMs: number,
  memory: (pid: number) => number | undefined,
): string {
  const head = ['PART', 'STATE', 'PID', 'RESTARTS', 'MEMORY', 'FOR', 'METRICS'];
  const rows = parts.map((part) => [
    part.name,
    part.state,
    part.pid === undefined ? '-' : String(part.pid),
    String(part.restarts),
    part.pid === undefined ? '-' : megabytes(memory(part.pid)),
    seconds(nowMs - part.sinceMs),
    part.telemetry === undefined ? '-' : `http://${part.telemetry}/metrics`,
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[], state?: PartState['state']): string =>
    cells
      .map((cell, i) => {
        const padded = i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0);
        return i === 1 && state !== undefined ? paint[state](padded) : padded;
      })
      .join('   ');
  const reasons = parts
    .filter((part) => part.why !== undefined)
    .map((part) => `${part.name}: ${part.why ?? ''}\n  log: ${part.logFile}`);
  return [color.bold(line(head)), ...rows.map((row, i) => line(row, parts[i]?.state)), ...reasons].join('\n');
}

/** How to reach a running cluster and what to type next. */
export function howToGoOn(state: ClusterState, command: string): string {
  return [
    `The API is at ${color.cyan(state.server)} (gRPC), events are on ${color.cyan(state.nats)} (subjects ${state.cluster}.v1.>).`,
    ...(state.kubeconfig === undefined
      ? []
      : [`kubectl and helm reach it by ${color.cyan(`export KUBECONFIG=${state.kubeconfig}`)}`]),
    '',
    'What to type next:',
    `  ${command} get pods,services -A          what runs`,
    `  ${command} apply -f examples/guestbook/  the example of the books`,
    `  ${command} status                        how each part is`,
    `  ${command} down                          stop it (Ctrl-C here does the same)`,
  ].join('\n');
}

const megabytes = (bytes: number | undefined): string =>
  bytes === undefined ? '-' : `${(bytes / 1024 / 1024).toFixed(0)} MB`;

function seconds(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 120) return `${s}s`;
  if (s < 7200) return `${Math.floor(s / 60)}m`;
  return s < 172_800 ? `${Math.floor(s / 3600)}h` : `${Math.floor(s / 86_400)}d`;
}
