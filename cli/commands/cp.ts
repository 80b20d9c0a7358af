import type { Command } from '@commander-js/extra-typings';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';

interface Options {
  readonly container?: string;
  readonly preserve: boolean;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('cp')
    .description('copy files and folders out of a container or into it: cp web-1:/var/log ./log')
    .argument('<from>', 'POD:PATH, NAMESPACE/POD:PATH, or a path here')
    .argument('<to>', 'the same; one of both is here')
    .option('-c, --container <name>', 'this container, where a pod has several')
    .option('--no-preserve', 'usual permissions and the present time, not those of the original')
    .action((from, to, options, command) => withSession(shell, command, (session) => cp(session, from, to, options)));
}

async function cp(session: Session, from: string, to: string, options: Options): Promise<void> {
  session.outputOf();
  const { parsePlace } = await import('../files/place.ts');
  const [source, target] = [parsePlace(from, session.globals.namespace), parsePlace(to, session.globals.namespace)];
  if ((source.pod === undefined) === (target.pod === undefined)) {
    throw new UsageError(
      source.pod === undefined
        ? 'one of both must be in a pod: write POD:PATH'
        : 'one of both must be here: copy out of the one pod first, then into the other',
    );
  }
  const { copyIn, copyOut } = await import('../files/copy.ts');
  const wish = { container: options.container, preserve: options.preserve };
  if (source.pod !== undefined) await copyOut(session, source, target.path, wish);
  else if (target.pod !== undefined) await copyIn(session, source.path, target, wish);
}
