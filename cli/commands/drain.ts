import type { Command } from '@commander-js/extra-typings';
import { parseCount, parseDurationMs } from '../duration.ts';
import { withSession, type Session } from '../session.ts';
import type { Shell } from '../shell.ts';

interface Options {
  readonly force?: true;
  readonly deleteEmptydirData?: true;
  readonly gracePeriod?: string;
  readonly replaceFirst: boolean;
  readonly timeout?: string;
}

const nameOf = (node: string): string => node.replace(/^(nodes?|no)\//, '');

export function register(program: Command, shell: Shell): void {
  program
    .command('drain')
    .description(
      'move the pods of a node elsewhere and keep new ones away: replacements are ready first, budgets are kept, and it ends when the ' +
        "node's containers are gone",
    )
    .argument('<node>', 'name of the node')
    .option('--force', 'pods without a controller too, which nobody makes anew')
    .option('--delete-emptydir-data', 'pods with data in an emptyDir too, which goes with them')
    .option('--grace-period <seconds>', 'how long each pod may take to end (its own)')
    .option('--no-replace-first', 'evict at once what the budgets allow')
    .option('--timeout <duration>', 'how long to try (as long as it takes)')
    .action((node, options, command) => withSession(shell, command, (session) => run(session, node, options)));
  program
    .command('cordon')
    .description('keep new pods away from a node; those that are there stay')
    .argument('<node>', 'name of the node')
    .action((node, _, command) => withSession(shell, command, (session) => mark(session, node, true)));
  program
    .command('uncordon')
    .description('let new pods onto a node again')
    .argument('<node>', 'name of the node')
    .action((node, _, command) => withSession(shell, command, (session) => mark(session, node, false)));
}

async function run(session: Session, node: string, options: Options): Promise<void> {
  session.outputOf();
  const gracePeriodSeconds =
    options.gracePeriod === undefined ? undefined : parseCount('--grace-period', options.gracePeriod);
  const timeoutMs = options.timeout === undefined ? undefined : parseDurationMs('--timeout', options.timeout);
  const { drain } = await import('../drain/drain.ts');
  await drain(session, nameOf(node), {
    force: options.force === true,
    emptyDirData: options.deleteEmptydirData === true,
    replaceFirst: options.replaceFirst,
    gracePeriodSeconds,
    timeoutMs,
  });
}

async function mark(session: Session, node: string, on: boolean): Promise<void> {
  session.outputOf();
  const { cordon } = await import('../drain/drain.ts');
  await cordon(session, nameOf(node), on);
}
