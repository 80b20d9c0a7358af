import type { Command } from '@commander-js/extra-typings';
import { withSession, type Session } from '../session.ts';
import type { Shell } from '../shell.ts';

interface Options {
  readonly address: string;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('port-forward')
    .description('reach ports of a pod at ports here: port-forward web-1 8080:80')
    .argument('<pod>', 'NAME, pod/NAME, or rc/NAME and service/NAME for one of the pods behind it')
    .argument(
      '<ports...>',
      'LOCAL:REMOTE, PORT for the same on both sides, :REMOTE for any free one here; REMOTE may be a name',
    )
    .option('--address <addresses>', 'listen there, divided by commas', '127.0.0.1')
    .action((pod, ports, options, command) =>
      withSession(shell, command, (session) => portForward(session, pod, ports, options)),
    );
}

async function portForward(session: Session, word: string, words: readonly string[], options: Options): Promise<void> {
  session.outputOf();
  const { parsePortPair } = await import('../streams/ports.ts');
  const { forward } = await import('../streams/forward.ts');
  const pairs = words.map(parsePortPair);
  const addresses = options.address
    .split(',')
    .map((address) => (address === 'localhost' ? '127.0.0.1' : address.trim()));
  await forward(session, word, { pairs, addresses });
}
