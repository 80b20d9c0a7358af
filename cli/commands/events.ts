import type { Command } from '@commander-js/extra-typings';
import type { Event } from '../../lib/api/objects.ts';
import type { Json } from '../../lib/api/json.ts';
import { kindInfo } from '../kinds.ts';
import { listOptions, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';
import { parseTargets } from '../targets.ts';

interface Options extends Pick<Selecting, 'allNamespaces'> {
  readonly for?: string;
  readonly types?: string;
  readonly watch?: true;
  readonly headers: boolean;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('events')
    .description('what happened, the latest last')
    .option('--for <kind/name>', 'only what concerns this object, such as pod/web-1')
    .option('--types <types>', 'only these types: Normal, Warning')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('-w, --watch', 'then print each new one as it comes')
    .option('--no-headers', 'without the line of headings')
    .action((options, command) => withSession(shell, command, (session) => events(session, options)));
}

async function events(session: Session, options: Options): Promise<void> {
  const output = session.outputOf('table', 'wide', 'yaml', 'json', 'name');
  const fieldSelector = fieldsOf(options);
  const selection = listOptions(session, 'events', { ...options, ...(fieldSelector === '' ? {} : { fieldSelector }) });
  const wanted = typesOf(options.types);
  const shown = (event: Event): boolean => wanted === undefined || wanted.includes(event.type ?? 'Normal');

  const client = await session.client();
  const list = await client.list('events', selection, session.call);
  const { inTime, eventAge } = await import('../events-text.ts');
  const items = list.items.filter(shown).toSorted(inTime);
  if (output === 'yaml' || output === 'json') {
    if (options.watch === true) throw new UsageError(`--watch prints lines: leave out -o ${output}`);
    const { objectsText } = await import('../objects-text.ts');
    session.shell.stdout.write(objectsText(items as unknown as readonly Json[], output, false));
    return;
  }
  const { newLayout, colorOfStatus } = await import('../columns.ts');
  const layout = newLayout();
  const all = options.allNamespaces === true;
  const row = (event: Event): string[] => [
    ...(all ? [event.metadata.namespace ?? ''] : []),
    eventAge(event, session.shell.clock.now()),
    colorOfStatus(session.colors, event.type ?? 'Normal'),
    event.reason ?? '',
    `${(event.involvedObject.kind ?? '').toLowerCase()}/${event.involvedObject.name ?? ''}`,
    (event.message ?? '').trimEnd().replaceAll('\n', ' '),
  ];
  let headed = !options.headers;
  const show = (batch: readonly Event[]): void => {
    if (output === 'name') {
      for (const event of batch) session.print(`event/${event.metadata.name}`);
      return;
    }
    const heading = [...(all ? ['NAMESPACE'] : []), 'LAST SEEN', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE'];
    const [first, ...rest] = layout.lines([heading, ...batch.map(row)]);
    if (!headed && first !== undefined) session.print(session.colors.bold(first));
    headed = true;
    for (const line of rest) session.print(line);
  };
  if (items.length > 0) show(items);
  else if (options.watch !== true)
    session.note(all ? 'No events.' : `No events in ${session.globals.namespace} namespace.`);
  if (options.watch !== true) return;
  const { follow } = await import('../follow.ts');
  const from = { ...selection, fromRevision: list.revision };
  for await (const event of follow(session, 'events', from, session.signal)) {
    if (event.type !== 'DELETED' && event.object !== undefined && shown(event.object)) show([event.object]);
  }
}

function fieldsOf(options: Options): string {
  if (options.for === undefined) return '';
  const [target, another] = parseTargets([options.for]);
  const [name] = target?.names ?? [];
  if (target === undefined || another !== undefined || name === undefined) {
    throw new UsageError(`--for ${options.for}: name one object, such as pod/web-1`);
  }
  return `involvedObject.kind=${kindInfo(target.resource).kind},involvedObject.name=${name}`;
}

function typesOf(text: string | undefined): readonly string[] | undefined {
  const types = text?.split(',').map((type) => type.trim());
  const unknown = types?.find((type) => type !== 'Normal' && type !== 'Warning');
  if (unknown !== undefined) throw new UsageError(`--types ${unknown}: must be Normal or Warning`);
  return types;
}
