import type { Command } from '@commander-js/extra-typings';
import type { Resource } from '../../lib/api/kinds.ts';
import { scopeOf } from '../targets.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';

/** Pressing TAB must not hang where the server is away. */
const completionTimeoutMs = 1000;

export function register(program: Command, shell: Shell): void {
  program
    .command('completion')
    .description('print the completion script of a shell: bash, zsh or fish')
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText('after', '\nFor this shell, now:  source <(troupe completion bash)')
    .action(async (name) => {
      const { scripts } = await import('../completion/scripts.ts');
      if (!Object.hasOwn(scripts, name)) throw new UsageError(`completion ${name}: must be bash, zsh or fish`);
      shell.stdout.write(scripts[name as keyof typeof scripts]);
    });
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action((words, _options, command) =>
      withSession(shell, command, async (session) => {
        const { candidates } = await import('../completion/candidates.ts');
        for (const candidate of await candidates(program, words, namesFrom(session, words))) session.print(candidate);
      }),
    );
}

/** The names that the server knows, in the namespace that the words so far name; none when it does not answer. */
function namesFrom(session: Session, words: readonly string[]): (resource: Resource) => Promise<readonly string[]> {
  const flag = words.findIndex((word) => word === '-n' || word === '--namespace');
  const given = flag < 0 || flag + 1 >= words.length - 1 ? undefined : words[flag + 1];
  return async (resource) => {
    try {
      const client = await session.client();
      const namespace = scopeOf(resource, given ?? session.globals.namespace, false);
      const call = { timeoutMs: completionTimeoutMs, signal: session.signal };
      const { items } = await client.list(resource, namespace === undefined ? {} : { namespace }, call);
      return items.map(({ metadata }) => metadata.name);
    } catch {
      return []; // a completion that prints an error into the prompt is worse than none
    }
  };
}
