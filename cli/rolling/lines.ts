import type { RollingPhase, RollingStatus } from '../../lib/api/rolling-updates.ts';
import type { Colors } from '../columns.ts';

/** How far an update is, in one line: `Progressing  web-2 2 of 4 ready, web-1 2 left`. */
export function lineOf({ phase, reason, message, ...figures }: RollingStatus): string {
  const { from, to, replicas, newReplicas, newAvailable, oldReplicas } = figures;
  const made = newReplicas === newAvailable ? '' : ` (${String(newReplicas)} made)`;
  const why = phase === 'Progressing' || reason === undefined ? '' : `: ${message ?? reason}`;
  return `${phase}  ${to} ${String(newAvailable)} of ${String(replicas)} ready${made}, ${from} ${String(oldReplicas)} left${why}`;
}

const width = 24;
const names: Readonly<Record<RollingPhase, 'green' | 'yellow' | 'red' | 'cyan'>> = {
  ...{ Waiting: 'yellow', Progressing: 'cyan', Canary: 'yellow', Paused: 'yellow' },
  ...{ Stopped: 'red', RollingBack: 'yellow', Succeeded: 'green', RolledBack: 'yellow' },
};

/** For a terminal: a bar for each of the two. What is made and not ready yet is shaded. */
export function barsOf(
  status: RollingStatus,
  { from, to }: { from: string; to: string },
  colors: Colors,
): readonly string[] {
  const { phase, message, replicas, newReplicas, newAvailable, oldReplicas, oldAvailable } = status;
  const pad = Math.max(from.length, to.length);
  const most = Math.max(replicas, newReplicas, oldReplicas, 1);
  const row = (name: string, made: number, ready: number): string =>
    `${name.padEnd(pad)}  ${barOf(ready, made, most)}  ${String(ready)} of ${String(made)} ready`;
  return [
    `${colors.bold(`${from} to ${to}`)}: ${colors[names[phase]](phase)}${message === undefined ? '' : `: ${message}`}`,
    row(to, newReplicas, newAvailable),
    row(from, oldReplicas, oldAvailable),
  ];
}

export function barOf(ready: number, made: number, most: number): string {
  const full = Math.round((Math.min(ready, most) * width) / most);
  const begun = Math.max(full, Math.round((Math.min(made, most) * width) / most));
  return '█'.repeat(full) + '▒'.repeat(begun - full) + '·'.repeat(width - begun);
}
