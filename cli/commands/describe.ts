import type { Command } from '@commander-js/extra-typings';
import { checkSelection, read, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, type Shell } from '../shell.ts';
import { readTargets } from '../targets.ts';

export function register(program: Command, shell: Shell): void {
  program
    .command('describe')
    .description('everything about objects, with their events')
    .argument('<what...>', 'kinds, a kind and names, or kind/name pairs')
    .option('-l, --selector <selector>', 'objects with these labels')
    .option('--field-selector <selector>', 'objects with these fields')
    .option('-A, --all-namespaces', 'of all namespaces')
    .action((what, options, command) => withSession(shell, command, (session) => describeAll(session, what, options)));
}

async function describeAll(session: Session, what: readonly string[], options: Selecting): Promise<void> {
  session.outputOf();
  const targets = await readTargets(session, what);
  checkSelection(targets, options);
  const { describe } = await import('../describe/describe.ts');
  let failed = 0;
  let shown = 0;
  for (const target of targets) {
    const { items } = await read(session, target, options, (error) => {
      failed++;
      session.report(error);
    });
    for (const item of items) {
      if (shown++ > 0) session.print('\n');
      for (const line of await describe(session, target.resource, item)) session.print(line);
    }
  }
  if (shown === 0 && failed === 0) session.note('No resources found.');
  if (failed > 0) throw new AlreadyReported();
}
