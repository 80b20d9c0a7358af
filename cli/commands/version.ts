import type { Command } from '@commander-js/extra-typings';
import { messageOf } from '../../lib/base/errors.ts';
import { withSession } from '../session.ts';
import { AlreadyReported, type Shell } from '../shell.ts';
import { version } from '../version.ts';

export function register(program: Command, shell: Shell): void {
  program.version(version, '-V, --version', 'print the version of this program');
  program
    .command('version')
    .description('the version of this program, and whether the apiserver answers')
    .option('--client', 'of this program only')
    .action((options, command) =>
      withSession(shell, command, async (session) => {
        session.outputOf('json', 'yaml');
        const { output } = session.globals;
        const { server } = session.globals;
        const facts = { client: version, node: process.version, platform: `${process.platform}/${process.arch}` };
        const reached = options.client === true ? undefined : await reach();
        if (output === 'json' || output === 'yaml') {
          const { objectsText } = await import('../objects-text.ts');
          shell.stdout.write(
            objectsText(
              [{ ...facts, ...(reached === undefined ? {} : { server: { address: server, ...reached } }) }],
              output,
              true,
            ),
          );
        } else {
          session.print(`troupe ${version} (node ${process.version}, ${facts.platform})`);
          if (reached !== undefined)
            session.print(
              `apiserver at ${server}: ${'revision' in reached ? `answers, revision ${reached.revision}` : 'does not answer'}`,
            );
        }
        if (reached !== undefined && 'error' in reached) {
          session.report(reached.error);
          throw new AlreadyReported();
        }

        async function reach(): Promise<
          { readonly revision: string } | { readonly error: unknown; readonly message: string }
        > {
          try {
            return { revision: await (await session.client()).position('namespaces', undefined, session.call) };
          } catch (error) {
            return { error, message: messageOf(error) };
          }
        }
      }),
    );
}
