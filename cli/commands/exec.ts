import type { Command } from '@commander-js/extra-typings';
import { withSession, type Session } from '../session.ts';
import { ExitWith, UsageError, type Shell } from '../shell.ts';

interface Options {
  readonly container?: string;
  readonly stdin?: true;
  readonly tty?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('exec')
    .description('run a command in a container: exec -it web-1 -- sh')
    .argument('<pod>', 'NAME, pod/NAME, or rc/NAME and service/NAME for one of the pods behind it')
    .argument('<command...>', 'after --, the program and its arguments')
    .option('-c, --container <name>', 'this container, where a pod has several')
    .option('-i, --stdin', 'give it our standard input')
    .option('-t, --tty', 'give it a terminal')
    .action((pod, words, options, command) =>
      withSession(shell, command, (session) => exec(session, pod, words, options)),
    );
}

async function exec(session: Session, word: string, command: readonly string[], options: Options): Promise<void> {
  session.outputOf();
  if (word === '--') throw new UsageError('name the pod before --');
  const { onePod, oneContainer } = await import('../streams/choose.ts');
  const { converse } = await import('../streams/converse.ts');
  const stdin = options.stdin === true;
  const tty = options.tty === true && terminalFor(session, stdin);
  const pod = await onePod(session, word);
  const container = oneContainer(session, pod, options.container);
  const streams = await session.streams();
  const { namespace = '', name } = pod.metadata;
  const process = streams.exec({ namespace, pod: name, container }, { command, stdin, tty }, session.signal);
  const code = await converse(session, process, { stdin, tty });
  if (code !== undefined && code !== 0) throw new ExitWith(code);
}

/** Whether a terminal can be given; where our input is none, a program that asks for one would wait for keys that cannot come. */
export function terminalFor(session: Session, stdin: boolean): boolean {
  if (!stdin || session.shell.terminal.isInput) return true;
  session.warn('-t: standard input is not a terminal, so the command gets none');
  return false;
}
