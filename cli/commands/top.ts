import type { Command } from '@commander-js/extra-typings';
import type { Json } from '../../lib/api/json.ts';
import type { NodeMetrics, PodMetrics, SilentNode, UsageReply } from '../../lib/api/usage.ts';
import { wait } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';
import { selectorText } from '../targets.ts';
import type { SortBy, TopRow } from '../top/rows.ts';

interface Options {
  readonly selector?: string;
  readonly allNamespaces?: true;
  readonly containers?: true;
  readonly sortBy?: string;
  readonly watch?: true;
  readonly headers: boolean;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('top')
    .description('what pods or nodes use now')
    .argument('<what>', 'pods or nodes')
    .argument('[name]', 'only this one')
    .option('-l, --selector <selector>', 'only those with these labels')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('--containers', 'a line for each container of a pod')
    .option('--sort-by <figure>', 'cpu or memory, the largest first; else by name')
    .option('-w, --watch', 'again every two seconds, in place on a terminal')
    .option('--no-headers', 'without the line of headings')
    .action((what, name, options, command) =>
      withSession(shell, command, (session) => top(session, about(what), name, options)),
    );
}

type About = 'pods' | 'nodes';
const words: Readonly<Record<string, About>> = {
  ...{ pods: 'pods', pod: 'pods', po: 'pods' },
  ...{ nodes: 'nodes', node: 'nodes', no: 'nodes' },
};
function about(what: string): About {
  const found = words[what.toLowerCase()];
  if (found === undefined) throw new UsageError(`top ${what}: use top pods or top nodes`);
  return found;
}

const refreshMs = 2_000;

async function top(session: Session, what: About, name: string | undefined, options: Options): Promise<void> {
  const output = session.outputOf('table', 'json', 'yaml');
  const sortBy = sortOf(options.sortBy);
  if (name !== undefined && options.selector !== undefined)
    throw new UsageError('give a name or a selector (-l), not both');
  if (name !== undefined && options.allNamespaces === true)
    throw new UsageError('a name is in one namespace: use -n, not -A');
  if (what === 'nodes' && options.containers === true) throw new UsageError('--containers is for top pods');
  if (output === 'json' || output === 'yaml') {
    if (options.watch === true) throw new UsageError(`--watch shows a table: leave out -o ${output}`);
    const { items = [], silent = [] } = await ask(session, what, name, options);
    const { objectsText } = await import('../objects-text.ts');
    const kind = what === 'pods' ? 'PodMetrics' : 'NodeMetrics';
    const objects = items.map((item): Json => ({ apiVersion: 'metrics.k8s.io/v1beta1', kind, ...item }));
    warnOf(session, silent);
    session.shell.stdout.write(objectsText(objects, output, name !== undefined));
    return;
  }
  const wish = { ...options, sortBy };
  if (options.watch === true) return watch(session, what, name, wish);
  const { lines, silent } = await look(session, what, name, wish);
  warnOf(session, silent);
  if (lines.length === 0) session.note(nothing(session, what, options.allNamespaces === true));
  for (const line of lines) session.print(line);
}

/** Until Ctrl-C, which is the way to end it. A server that is away for a while is waited for. */
async function watch(session: Session, what: About, name: string | undefined, wish: Wish): Promise<void> {
  const { newScreen } = await import('../top/screen.ts');
  const screen = newScreen(session.shell.stdout);
  while (!session.signal.aborted) {
    try {
      const { lines, silent } = await look(session, what, name, wish);
      const empty = lines.length === 0 ? [nothing(session, what, wish.allNamespaces === true)] : [];
      screen.show([...lines, ...empty, ...silent.map(silence)]);
    } catch (error) {
      if (session.signal.aborted) return;
      if (!hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error;
      screen.show([messageOf(error)]);
    }
    await wait(session.shell.clock, refreshMs, session.signal).catch(() => undefined); // aborted: the loop ends
  }
}

type Wish = Omit<Options, 'sortBy'> & { readonly sortBy: SortBy };

function sortOf(text: string | undefined): SortBy {
  if (text === undefined) return 'name';
  if (text === 'cpu' || text === 'memory') return text;
  throw new UsageError(`--sort-by ${text}: use cpu or memory`);
}

async function ask(
  session: Session,
  what: About,
  name: string | undefined,
  options: Options,
): Promise<UsageReply<PodMetrics & NodeMetrics>> {
  const client = await session.client();
  const request = {
    selection: {
      namespace: what === 'nodes' || options.allNamespaces === true ? '' : session.globals.namespace,
      label_selector: options.selector === undefined ? '' : selectorText(options.selector),
    },
    name: name ?? '',
    history: session.shell.stdout.isTerminal && session.globals.output === undefined,
  };
  return client.call('troupe.v1.Metrics', what === 'pods' ? 'ListPods' : 'ListNodes', request, session.call);
}

async function look(
  session: Session,
  what: About,
  name: string | undefined,
  { sortBy, ...options }: Wish,
): Promise<{ readonly lines: readonly string[]; readonly silent: readonly SilentNode[] }> {
  const [{ items = [], silent = [] }, nodes] = await Promise.all([
    ask(session, what, name, options),
    what === 'nodes' ? (await session.client()).list('nodes', {}, session.call) : undefined,
  ]);
  const { podRows, nodeRows, sorted } = await import('../top/rows.ts');
  const rows =
    what === 'pods' ? podRows(items, options.containers === true) : nodeRows(items, silent, nodes?.items ?? []);
  return { lines: rows.length === 0 ? [] : await tableOf(session, what, sorted(rows, sortBy), options), silent };
}

const nothing = (session: Session, what: About, everywhere: boolean): string =>
  what === 'nodes'
    ? 'No figures of nodes.'
    : everywhere
      ? 'No figures of pods.'
      : `No figures of pods in ${session.globals.namespace} namespace.`;

/** A node that is silent is no failure of the command, but whoever reads must know that its pods are missing. */
function warnOf(session: Session, silent: readonly SilentNode[]): void {
  for (const node of silent) session.warn(silence(node));
}

const silence = ({ node, message }: SilentNode): string => `no figures of node ${node}: ${message}`;

const sparkWidth = 24;

async function tableOf(
  session: Session,
  what: About,
  rows: readonly TopRow[],
  options: { readonly allNamespaces?: true; readonly containers?: true; readonly headers: boolean },
): Promise<readonly string[]> {
  const { newLayout } = await import('../columns.ts');
  const { cpuText, memoryText, shareText, sparkline } = await import('../top/rows.ts');
  const { colors } = session;
  const withNamespace = what === 'pods' && options.allNamespaces === true;
  const withPast = session.shell.stdout.isTerminal && rows.some(({ past }) => past.length > 0);
  const most = Math.max(...rows.flatMap(({ past }) => past), 1);
  const headings = [
    ...(withNamespace ? ['NAMESPACE'] : []),
    ...(options.containers === true ? ['POD', 'NAME'] : ['NAME']),
    ...(what === 'pods' ? ['CPU(cores)', 'MEMORY(bytes)'] : ['CPU(cores)', 'CPU(%)', 'MEMORY(bytes)', 'MEMORY(%)']),
    ...(withPast ? ['CPU, LAST MINUTES'] : []),
  ];
  const cells = (row: TopRow): string[] => [
    ...(withNamespace ? [row.namespace] : []),
    row.name,
    ...(options.containers === true ? [row.container ?? ''] : []),
    cpuText(row.cpuMilli),
    ...(what === 'nodes' ? [shareText(row.cpuMilli, row.cpuRoomMilli)] : []),
    memoryText(row.memoryBytes),
    ...(what === 'nodes' ? [shareText(row.memoryBytes, row.memoryRoomBytes)] : []),
    ...(withPast
      ? [colors.cyan(sparkline(row.past, what === 'nodes' ? (row.cpuRoomMilli ?? most) : most, sparkWidth))]
      : []),
  ];
  const [heading = '', ...rest] = newLayout().lines([headings, ...rows.map(cells)]);
  return options.headers ? [colors.bold(heading), ...rest] : rest;
}
