import type { Command } from '@commander-js/extra-typings';
import { registerMetadata } from '../metadata.ts';
import type { Shell } from '../shell.ts';

export function register(program: Command, shell: Shell): void {
  registerMetadata(program, shell, { field: 'labels', command: 'label', done: 'labeled' });
}
