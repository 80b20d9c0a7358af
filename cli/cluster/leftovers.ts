import { setTimeout as pause } from 'node:timers/promises';
import { isPart, removeState, type ClusterState } from './state-file.ts';

/** A supervisor that was killed left its parts running: end them, so that the new ones find their ports free. */
export async function endLeftovers(state: ClusterState, dataDir: string): Promise<void> {
  for (const part of state.parts.toReversed()) {
    if (part.pid === undefined || !isPart(part.pid, dataDir)) continue;
    process.kill(part.pid, 'SIGTERM');
    for (let tries = 0; tries < 100 && isPart(part.pid, dataDir); tries++) await pause(100);
    if (isPart(part.pid, dataDir)) process.kill(part.pid, 'SIGKILL');
  }
  removeState(dataDir);
}
