import type { Command } from '@commander-js/extra-typings';
import { allContainers } from '../../lib/api/container-choice.ts';
import { withSession, type Session } from '../session.ts';
import { ExitWith, type Shell } from '../shell.ts';
import { terminalFor } from './exec.ts';

interface Options {
  readonly container?: string;
  readonly stdin?: true;
  readonly tty?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('attach')
    .description('input and output of what runs in a container already')
    .argument('<pod>', 'NAME, pod/NAME, or rc/NAME and service/NAME for one of the pods behind it')
    .option('-c, --container <name>', 'this container, where a pod has several')
    .option('-i, --stdin', 'give it our standard input; its stdin must be set')
    .option('-t, --tty', 'use our terminal for its own; its tty must be set')
    .action((pod, options, command) => withSession(shell, command, (session) => attach(session, pod, options)));
}

async function attach(session: Session, word: string, options: Options): Promise<void> {
  session.outputOf();
  const { onePod, oneContainer } = await import('../streams/choose.ts');
  const { converse } = await import('../streams/converse.ts');
  const pod = await onePod(session, word);
  const container = oneContainer(session, pod, options.container);
  const stdin = options.stdin === true;
  const hasTerminal = allContainers(pod.spec).some((each) => each.name === container && each.tty === true);
  if (options.tty === true && !hasTerminal)
    session.warn(`-t: container ${container} has no terminal (its tty is not set)`);
  const tty = options.tty === true && hasTerminal && terminalFor(session, stdin);
  if (tty) session.note('If there is no prompt, press Enter. Ctrl-C goes to the container.');
  const streams = await session.streams();
  const { namespace = '', name } = pod.metadata;
  const process = streams.attach({ namespace, pod: name, container }, { stdin }, session.signal);
  const code = await converse(session, process, { stdin, tty });
  if (code !== undefined && code !== 0) throw new ExitWith(code);
}
