import type { Command } from '@commander-js/extra-typings';
import { keyOf } from '../../lib/api/keys.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import type { DeleteOptions } from '../../lib/client/client.ts';
import { kindInfo } from '../kinds.ts';
import { parseCount, parseDurationMs } from '../duration.ts';
import { checkSelection, missing, read, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf, readTargets, type Target } from '../targets.ts';

interface Options extends Selecting {
  readonly filename?: string[];
  readonly recursive?: true;
  readonly all?: true;
  readonly gracePeriod?: string;
  readonly now?: true;
  readonly force?: true;
  readonly cascade?: string;
  readonly wait: boolean;
  readonly timeout: string;
  readonly ignoreNotFound?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('delete')
    .description('delete objects and wait until they are gone')
    .argument('[what...]', 'kind and names, kind/name pairs, or a kind with -l or --all')
    .option('-f, --filename <path...>', 'the objects of these manifests')
    .option('-R, --recursive', 'with a folder: the folders in it too')
    .option('-l, --selector <selector>', 'objects with these labels')
    .option('--field-selector <selector>', 'objects with these fields')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('--all', 'all objects of the kind')
    .option('--grace-period <seconds>', 'time for containers to end by themselves')
    .option('--now', 'the same as --grace-period=1')
    .option('--force', 'at once, without waiting for the node: its containers may run on for a while')
    .option(
      '--cascade <what>',
      'what an object owns: orphan (stays; default for rc), background or foreground (goes too)',
    )
    .option('--no-wait', 'do not wait until they are gone')
    .option('--timeout <duration>', 'how long to wait', '5m')
    .option('--ignore-not-found', 'an absent object is no failure')
    .action((what, options, command) => withSession(shell, command, (session) => remove(session, what, options)));
}

/** Objects of one kind that are to go. */
interface Chosen {
  readonly resource: Resource;
  readonly items: readonly Objects[Resource][];
}

/** How many deletions one call carries. */
const batchSize = 500;

async function remove(session: Session, what: readonly string[], options: Options): Promise<void> {
  session.outputOf('name');
  const timeoutMs = parseDurationMs('--timeout', options.timeout);
  const deletion = deletionOptions(options);
  let failed = 0;
  const chosen = await choose(session, what, options, (error) => {
    if (options.ignoreNotFound === true) return;
    failed++;
    session.report(error);
  });
  if (options.force === true) {
    session.warn(
      'forced deletion does not wait for the node: a container may run on for a while after its pod is gone',
    );
  }
  const going: Chosen[] = [];
  for (const { resource, items } of chosen) {
    const asked: Objects[Resource][] = [];
    for (let from = 0; from < items.length; from += batchSize) {
      const batch = items.slice(from, from + batchSize);
      const accepted = await deleteBatch(session, resource, batch, withDefaultCascade(resource, deletion));
      asked.push(...accepted);
      failed += batch.length - accepted.length;
    }
    going.push({ resource, items: asked });
  }
  if (options.wait) {
    const { untilGone } = await import('../gone.ts');
    const accepted = going.filter(({ items }) => items.length > 0);
    await Promise.all(accepted.map(({ resource, items }) => untilGone(session, resource, items, timeoutMs)));
  }
  if (failed > 0) throw new AlreadyReported();
}

/** Deletes and says so. Resolves to those that are gone or going; why another is not has been said. */
async function deleteBatch(
  session: Session,
  resource: Resource,
  batch: readonly Objects[Resource][],
  deletion: DeleteOptions,
): Promise<Objects[Resource][]> {
  const client = await session.client();
  const outcomes = await client.deleteMany(resource, batch.map(keyOf), deletion, session.call);
  return batch.filter((item, index) => {
    const outcome = outcomes[index];
    const name = nameOf(resource, item.metadata.name);
    if (outcome?.ok !== false || outcome.reason === 'NotFound') {
      session.print(session.globals.output === 'name' ? name : `${name} deleted${keeps(resource, item, deletion)}`);
      return true;
    }
    session.report(new Error(outcome.message), `delete ${name}`);
    return false;
  });
}

/** A word on the pods that a deleted ReplicationController leaves behind, since that surprises those who did not know. */
function keeps(resource: Resource, item: Objects[Resource], deletion: DeleteOptions): string {
  if (resource !== 'replicationcontrollers' || deletion.propagationPolicy !== 'Orphan') return '';
  const { replicas } = (item as Objects['replicationcontrollers']).status;
  if (replicas === 0) return '';
  return `; its ${replicas === 1 ? 'pod runs' : `${replicas} pods run`} on (--cascade=background deletes them too)`;
}

async function choose(
  session: Session,
  what: readonly string[],
  options: Options,
  onMissing: (error: Error) => void,
): Promise<Chosen[]> {
  if (options.filename !== undefined) {
    if (what.length > 0) throw new UsageError('give objects or -f, not both');
    return fromManifests(session, options.filename, options.recursive === true, onMissing);
  }
  const targets = await readTargets(session, what);
  checkSelection(targets, options);
  const narrowed = options.selector !== undefined || options.fieldSelector !== undefined || options.all === true;
  if (!narrowed && targets.some((target) => target.names === undefined)) {
    throw new UsageError('say which to delete: names, a selector (-l), or --all');
  }
  const chosen = await Promise.all(
    targets.map(async (target) => ({
      resource: target.resource,
      items: (await read(session, target, options, onMissing)).items,
    })),
  );
  if (chosen.every(({ items }) => items.length === 0) && targets.every(({ names }) => names === undefined)) {
    session.note('nothing to delete');
  }
  return chosen;
}

/** In the reverse order of the manifests: what was declared last, and may lean on what was declared before, goes first. */
async function fromManifests(
  session: Session,
  paths: readonly string[],
  recursive: boolean,
  onMissing: (error: Error) => void,
): Promise<Chosen[]> {
  const { readManifests, readSources } = await import('../manifest.ts');
  const sources = await readSources(paths, recursive, session.shell);
  const client = await session.client();
  const found = await Promise.all(
    (await readManifests(session, sources)).map(async ({ resource, namespace, name }) => {
      const scope = kindInfo(resource).namespaced ? { namespace: namespace ?? session.globals.namespace } : {};
      const item = await client.get(resource, keyOf({ metadata: { ...scope, name } }), session.call);
      if (item === undefined) onMissing(missing(session, resource, name));
      return item === undefined ? [] : [{ resource, item }];
    }),
  );
  return found
    .flat()
    .toReversed()
    .map(({ resource, item }) => ({ resource, items: [item] }));
}

function deletionOptions(options: Options): DeleteOptions {
  const given = [options.gracePeriod, options.now, options.force].filter((value) => value !== undefined);
  if (given.length > 1 && !(options.force === true && options.gracePeriod === '0')) {
    throw new UsageError('--grace-period, --now and --force say different things: give one');
  }
  const seconds = options.force === true ? 0 : options.now === true ? 1 : undefined;
  const grace = options.gracePeriod === undefined ? seconds : parseCount('--grace-period', options.gracePeriod);
  const propagationPolicy = cascadeOf(options.cascade);
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
  };
}

function cascadeOf(text: string | undefined): DeleteOptions['propagationPolicy'] {
  switch (text) {
    case undefined:
      return undefined;
    case 'orphan':
      return 'Orphan';
    case 'background':
      return 'Background';
    case 'foreground':
      return 'Foreground';
    default:
      throw new UsageError(`--cascade ${text}: must be orphan, background or foreground`);
  }
}

/** The pods of a ReplicationController outlive it unless someone says otherwise (F108). */
const withDefaultCascade = (resource: Target['resource'], deletion: DeleteOptions): DeleteOptions =>
  resource === 'replicationcontrollers' ? { propagationPolicy: 'Orphan', ...deletion } : deletion;
