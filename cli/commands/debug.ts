import { randomInt } from 'node:crypto';
import type { Command } from '@commander-js/extra-typings';
import { containerStatusIn } from '../../lib/api/container-choice.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { ContainerStatus, Pod } from '../../lib/api/objects.ts';
import { hasReason } from '../../lib/base/errors.ts';
import { withSession, type Session } from '../session.ts';
import { ExitWith, UsageError, type Shell } from '../shell.ts';
import { terminalFor } from './exec.ts';

interface Options {
  readonly image: string;
  readonly container?: string;
  readonly target?: string;
  readonly stdin?: true;
  readonly tty?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('debug')
    .description(
      'look into a pod that runs with a container of your own beside it: debug -it web-1 --image busybox:1 -- sh',
    )
    .argument('<pod>', 'NAME, pod/NAME, or rc/NAME and service/NAME for one of the pods behind it')
    .argument('[command...]', 'after --, the program and its arguments, in place of those of the image')
    .requiredOption('--image <image>', 'what the container is made of')
    .option('-c, --container <name>', 'its name (debugger-, and some letters)')
    .option('--target <container>', 'see the processes of this container of the pod')
    .option('-i, --stdin', 'give it our standard input')
    .option('-t, --tty', 'give it a terminal')
    .action((pod, words, options, command) =>
      withSession(shell, command, (session) => debug(session, pod, words, options)),
    );
}

async function debug(session: Session, word: string, command: readonly string[], options: Options): Promise<void> {
  const output = session.outputOf('name');
  if (word === '--') throw new UsageError('name the pod before --');
  const { onePod } = await import('../streams/choose.ts');
  const { addLooker, untilStarted } = await import('../streams/look-into.ts');
  const { image, container = `debugger-${letters()}`, target } = options;
  const stdin = options.stdin === true;
  const tty = options.tty === true && terminalFor(session, stdin);
  const pod = await addLooker(session, await onePod(session, word), {
    ...{ name: container, image, stdin, tty },
    ...(command.length === 0 ? {} : { command }),
    ...(target === undefined ? {} : { targetContainerName: target }),
  });
  const { namespace = '', name } = pod.metadata;
  if (!stdin && !tty) {
    if (output === 'name') return session.print(container);
    session.print(`container ${container} added to pod/${name}`);
    return session.note(`What it writes: troupe logs ${name} -n ${namespace} -c ${container} -f`);
  }
  const status = await untilStarted(session, pod, container);
  const code =
    status.state?.terminated === undefined
      ? await attached(session, pod, { container, stdin, tty })
      : await recalled(session, pod, status);
  if (code !== undefined && code !== 0) throw new ExitWith(code);
}

/** Its input and output until it ends, and the exit code of that. */
async function attached(
  session: Session,
  pod: Pod,
  { container, stdin, tty }: { readonly container: string; readonly stdin: boolean; readonly tty: boolean },
): Promise<number | undefined> {
  const { converse } = await import('../streams/converse.ts');
  if (tty) session.note('If there is no prompt, press Enter. Ctrl-C goes to the container.');
  const streams = await session.streams();
  const { namespace = '', name } = pod.metadata;
  const process = streams.attach({ namespace, pod: name, container }, { stdin }, session.signal);
  try {
    return await converse(session, process, { stdin, tty });
  } catch (error) {
    if (!hasReason(error, 'BadRequest')) throw error;
    const now = await (await session.client()).get('pods', keyOf(pod), session.call);
    const status = now === undefined ? undefined : containerStatusIn(now, container);
    if (status?.state?.terminated === undefined) throw error;
    return recalled(session, pod, status); // it was quicker than we
  }
}

/** What one has written that has ended already, and its exit code. */
async function recalled(session: Session, pod: Pod, status: ContainerStatus): Promise<number | undefined> {
  const streams = await session.streams();
  const { namespace = '', name } = pod.metadata;
  const target = { namespace, pod: name, container: status.name };
  for await (const chunk of streams.logs(target, {}, session.signal)) await session.shell.stdout.writeBytes(chunk);
  return status.state?.terminated?.exitCode;
}

const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const letters = (): string => Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('');
