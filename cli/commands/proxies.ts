import type { Command } from '@commander-js/extra-typings';
import type { EffectsReply } from '../../lib/api/effects.ts';
import type { Json } from '../../lib/api/json.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';
import { parseTargets } from '../targets.ts';

export function register(program: Command, shell: Shell): void {
  program
    .command('proxies')
    .description('what every proxy and DNS server has in effect now')
    .argument('[service]', 'for this Service, such as service/web')
    .option('--timeout <ms>', 'how long to wait for nodes that do not answer; at most 5000', '1000')
    .option('--no-headers', 'without the line of headings')
    .action((service, options, command) =>
      withSession(shell, command, (session) => proxies(session, service, options)),
    );
}

interface Options {
  readonly timeout: string;
  readonly headers: boolean;
}

async function proxies(session: Session, service: string | undefined, options: Options): Promise<void> {
  const output = session.outputOf('table', 'json', 'yaml');
  const timeoutMs = Number(options.timeout);
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 5_000)
    throw new UsageError(`--timeout ${options.timeout}: use milliseconds from 1 to 5000`);
  const name = service === undefined ? undefined : nameIn(service);
  const reply = await askEffects(session, name, timeoutMs);
  if (output === 'json' || output === 'yaml') {
    const { objectsText } = await import('../objects-text.ts');
    const object = { apiVersion: 'troupe.dev/v1', kind: 'Effects', ...reply } as unknown as Json;
    session.shell.stdout.write(objectsText([object], output, true));
    return;
  }
  const { effectHeadings, effectRows, partHeadings, partRows } = await import('../effects/rows.ts');
  const [headings, rows] = name === undefined ? [partHeadings, partRows(reply)] : [effectHeadings, effectRows(reply)];
  if (rows.length === 0) return session.note('No proxy and no DNS server answers, and there is no node.');
  const { newLayout } = await import('../columns.ts');
  const [heading = '', ...lines] = newLayout().lines([headings, ...rows]);
  if (options.headers) session.print(session.colors.bold(heading));
  for (const line of lines) session.print(line);
}

/** `service/web`, `svc/web` or `web`. */
function nameIn(text: string): string {
  if (!text.includes('/')) return text;
  const [target, ...more] = parseTargets([text]);
  const [name] = target?.names ?? [];
  if (target?.resource !== 'services' || name === undefined || more.length > 0)
    throw new UsageError(`proxies ${text}: name a Service, such as service/web`);
  return name;
}

/** Asks the API what is in effect; `name`: of a Service in the session's namespace. */
async function askEffects(session: Session, name: string | undefined, timeoutMs: number): Promise<EffectsReply> {
  const namespace = session.globals.namespace;
  const client = await session.client();
  const request = { ...(name === undefined ? {} : { namespace, name }), timeoutMs };
  return client.call<EffectsReply>('troupe.v1.Effects', 'List', request, session.call);
}
