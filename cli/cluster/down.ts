import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from '@commander-js/extra-typings';
import { defaultDataDir } from './options.ts';
import { endLeftovers } from './leftovers.ts';
import { newProgress } from './progress.ts';
import { supervisorLives, orderKeepPods, readState } from './state-file.ts';

const stopTimeoutMs = 120_000;

export function register(program: Command): void {
  program
    .command('down')
    .description('stop the cluster of this machine, its pods too; everything it knows is kept')
    .option('--data <folder>', 'where the cluster keeps everything', defaultDataDir)
    .option('--keep-pods', 'leave the containers of the pods running')
    .action(async (flags) => {
      process.exitCode = await stopCluster(flags.data, flags.keepPods === true);
    });
}

async function stopCluster(dataDir: string, keepPods: boolean): Promise<number> {
  const state = readState(dataDir);
  if (state === undefined || !supervisorLives(state)) {
    process.stderr.write(
      state === undefined
        ? `No cluster runs from ${dataDir}.\n`
        : `The supervisor of ${dataDir} (pid ${state.supervisorPid}) is gone; troupe up ends what it left and starts again.\n`,
    );
    return state === undefined ? 0 : 1;
  }
  if (keepPods) orderKeepPods(dataDir);
  const progress = newProgress('Stopping the cluster');
  process.kill(state.supervisorPid, 'SIGTERM');
  const deadline = performance.now() + stopTimeoutMs;
  while (supervisorLives(state)) {
    if (performance.now() > deadline) {
      progress.fail(
        `The supervisor (pid ${state.supervisorPid}) did not end within ${stopTimeoutMs / 1000} s; its log is ${dataDir}/log/supervisor.log`,
      );
      return 1;
    }
    const left =
      readState(dataDir)
        ?.parts.filter((part) => part.state !== 'stopped')
        .map((part) => part.name) ?? [];
    if (left.length > 0) progress.update(`Stopping the cluster: ${left.join(', ')} still to go`);
    await pause(100);
  }
  const unfinished = readState(dataDir);
  if (unfinished !== undefined) {
    await endLeftovers(unfinished, dataDir);
    progress.fail(
      `The supervisor (pid ${state.supervisorPid}) ended before it had stopped the cluster; what it left has been ended`,
    );
    return 1;
  }
  progress.done(
    keepPods
      ? 'The cluster has stopped; its pods run on'
      : 'The cluster has stopped, its pods too; troupe up starts it again as it was',
  );
  return 0;
}
