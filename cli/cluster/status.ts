import type { Command } from '@commander-js/extra-typings';
import { defaultDataDir } from './options.ts';
import { memoryOf } from './memory.ts';
import { partsTable } from './show.ts';
import { readState, supervisorLives } from './state-file.ts';

export function register(program: Command): void {
  program
    .command('status')
    .description('how each part of the cluster on this machine is')
    .option('--data <folder>', 'where the cluster keeps everything', defaultDataDir)
    .option('-o, --output <format>', 'json for programs')
    .action((flags) => {
      const state = readState(flags.data);
      const running = state !== undefined && supervisorLives(state);
      if (flags.output === 'json') {
        process.stdout.write(JSON.stringify(running ? state : { phase: 'stopped' }, undefined, 2) + '\n');
      } else if (!running) {
        process.stdout.write(`No cluster runs from ${flags.data}. Start one with troupe up.\n`);
      } else {
        process.stdout.write(
          `Cluster ${state.cluster} is ${state.phase}; API ${state.server}, events ${state.nats}, engine ${state.dockerSocket}\n\n`,
        );
        process.stdout.write(partsTable(state.parts, Date.now(), memoryOf) + '\n');
      }
      process.exitCode = running && state.parts.every((part) => part.state === 'ready') ? 0 : 1;
    });
}
