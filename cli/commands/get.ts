import type { Command } from '@commander-js/extra-typings';
import type { Json } from '../../lib/api/json.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import { kindInfo } from '../kinds.ts';
import type { Table } from '../table.ts';
import { checkSelection, listOptions, read, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf, readTargets, type Target } from '../targets.ts';

interface Options extends Selecting {
  readonly watch?: true;
  readonly watchOnly?: true;
  readonly showLabels?: true;
  readonly labelColumns?: string;
  readonly headers: boolean;
  readonly ignoreNotFound?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('get')
    .description('list objects: pods, pods,svc, pods NAME..., pod/NAME')
    .argument('<what...>', 'kinds, a kind and names, or kind/name pairs')
    .option('-l, --selector <selector>', 'only objects with these labels: app=web,tier!=db,stage in (a,b)')
    .option('--field-selector <selector>', 'only objects with these fields: status.phase=Running')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('-w, --watch', 'then print each change as it happens')
    .option('--watch-only', 'only the changes from now on')
    .option('--show-labels', 'with a column of all labels')
    .option('-L, --label-columns <keys>', 'with a column for each of these labels')
    .option('--no-headers', 'without the line of headings')
    .option('--ignore-not-found', 'an absent object is no failure')
    .action((what, options, command) => withSession(shell, command, (session) => get(session, what, options)));
}

async function get(session: Session, what: readonly string[], options: Options): Promise<void> {
  const targets = await readTargets(session, what);
  checkSelection(targets, options);
  if (options.watch === true || options.watchOnly === true) return watch(session, targets, options);

  let absent = 0;
  const onMissing = (error: Error): void => {
    if (options.ignoreNotFound === true) return;
    absent++;
    session.report(error);
  };
  const lists = await Promise.all(targets.map((target) => read(session, target, options, onMissing)));
  await print(
    session,
    targets,
    lists.map((list) => list.items),
    options,
  );
  if (absent > 0) throw new AlreadyReported();
}

async function print(
  session: Session,
  targets: readonly Target[],
  lists: readonly (readonly Objects[Resource][])[],
  options: Options,
): Promise<void> {
  const output = session.outputOf('table', 'wide', 'yaml', 'json', 'name');
  if (output === 'yaml' || output === 'json') {
    const { objectsText } = await import('../objects-text.ts');
    const single = targets.length === 1 && targets[0]?.names?.length === 1;
    const objects = lists.flat() as unknown as readonly Json[];
    if (!single || objects.length > 0) session.shell.stdout.write(objectsText(objects, output, single));
    return;
  }
  let printed = 0;
  for (const [index, target] of targets.entries()) {
    const items = lists[index] ?? [];
    if (items.length === 0) continue;
    if (output === 'name') for (const item of items) session.print(nameOf(target.resource, item.metadata.name));
    else {
      if (printed > 0) session.print('');
      const table = await tableFor(session, target.resource, targets.length > 1, options);
      for (const line of table.lines(items)) session.print(line);
    }
    printed++;
  }
  if (printed === 0 && targets.every((target) => target.names === undefined))
    session.note(nothingFound(session, targets, options));
}

function nothingFound(session: Session, targets: readonly Target[], options: Options): string {
  const anywhere = options.allNamespaces === true || targets.every(({ resource }) => !kindInfo(resource).namespaced);
  return anywhere ? 'No resources found.' : `No resources found in ${session.globals.namespace} namespace.`;
}

async function tableFor(session: Session, resource: Resource, withKind: boolean, options: Options): Promise<Table> {
  const { newTable } = await import('../table.ts');
  return newTable({
    resource,
    wide: session.globals.output === 'wide',
    withNamespace: options.allNamespaces === true && kindInfo(resource).namespaced,
    withKind,
    headers: options.headers,
    labelColumns: options.labelColumns?.split(',').filter((key) => key !== '') ?? [],
    showLabels: options.showLabels === true,
    colors: session.colors,
    now: () => session.shell.clock.now(),
  });
}

/** Prints what is there, then a line for each change, until Ctrl-C, which is the way to end it: exit code 0. */
async function watch(session: Session, targets: readonly Target[], options: Options): Promise<void> {
  const output = session.outputOf('table', 'wide', 'name', 'json', 'yaml');
  const [target, another] = targets;
  if (target === undefined || another !== undefined) throw new UsageError('--watch follows one kind at a time');
  if (target.names !== undefined && target.names.length > 1) {
    throw new UsageError('--watch follows all objects of a kind, or one; use -l to follow some');
  }
  const { follow } = await import('../follow.ts');
  const { objectsText } = await import('../objects-text.ts');
  const { resource } = target;
  const name = target.names?.[0];
  const selection = name === undefined ? options : { fieldSelector: `metadata.name=${name}` };
  const table = await tableFor(session, resource, false, options);
  const show = (items: readonly Objects[Resource][]): void => {
    if (output === 'name') for (const item of items) session.print(nameOf(resource, item.metadata.name));
    else if (output === 'json') for (const item of items) session.print(JSON.stringify(item));
    else if (output === 'yaml') {
      for (const item of items)
        session.shell.stdout.write(`---\n${objectsText([item as unknown as Json], 'yaml', true)}`);
    } else for (const line of table.lines(items)) session.print(line);
  };
  const client = await session.client();
  const list = await client.list(resource, listOptions(session, resource, selection), session.call);
  if (name !== undefined && list.items.length === 0)
    session.note(`${nameOf(resource, name)} is not there yet; waiting for it`);
  if (options.watchOnly !== true && list.items.length > 0) show(list.items);
  const from = { ...listOptions(session, resource, selection), fromRevision: list.revision };
  for await (const event of follow(session, resource, from, session.signal)) {
    if (event.object !== undefined) show([event.object]);
  }
}
