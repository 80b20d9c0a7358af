import type { Command } from '@commander-js/extra-typings';
import { ApiError, hasReason } from '../../lib/base/errors.ts';
import { asObject, objectAt, type Json } from '../../lib/api/json.ts';
import type { ApiObject } from '../../lib/api/objects.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { Resource } from '../../lib/api/kinds.ts';
import { parseCount } from '../duration.ts';
import { replicasPath } from '../kinds.ts';
import { checkSelection, read, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf, readTargets } from '../targets.ts';

interface Options extends Pick<Selecting, 'selector'> {
  readonly replicas: string;
  readonly currentReplicas?: string;
  readonly all?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('scale')
    .description(
      'set the number of pods of a ReplicationController, ReplicaSet or Deployment, or of a kind of your own that has a scale',
    )
    .argument('<what...>', 'rc/NAME or deploy/NAME, or rc NAME...')
    .requiredOption('--replicas <count>', 'how many pods there should be')
    .option('--current-replicas <count>', 'only where it is this many now')
    .option('-l, --selector <selector>', 'those with these labels')
    .option('--all', 'all of the namespace')
    .action((what, options, command) => withSession(shell, command, (session) => scale(session, what, options)));
}

/** The kinds that are built in with a number of replicas. */
export const scalable = ['replicationcontrollers', 'replicasets', 'deployments'] as const;
const builtIn: ReadonlySet<Resource> = new Set(scalable);

/** Where objects of a kind have the number of replicas that is wanted; undefined where they have none. */
const countAt = (resource: Resource): readonly string[] | undefined =>
  builtIn.has(resource) ? ['spec', 'replicas'] : replicasPath(resource);

/** Undefined where the object says none. */
function replicasOf(object: ApiObject, path: readonly string[]): number | undefined {
  const holder = path.slice(0, -1).reduce<Json>((at, step) => objectAt(at, step), asObject(object));
  const count = holder[path.at(-1) ?? ''];
  return typeof count === 'number' ? count : undefined;
}
const attempts = 5;

async function scale(session: Session, what: readonly string[], options: Options): Promise<void> {
  session.outputOf('name');
  const replicas = parseCount('--replicas', options.replicas);
  const expected =
    options.currentReplicas === undefined ? undefined : parseCount('--current-replicas', options.currentReplicas);
  const targets = await readTargets(session, what);
  for (const target of targets) {
    if (countAt(target.resource) === undefined)
      throw new UsageError(`${target.resource} cannot be scaled; ${scalable.join(', ')} can`);
  }
  checkSelection(targets, options);
  const [target] = targets;
  if (target === undefined) return;
  const { resource } = target;
  if (target.names === undefined && options.selector === undefined && options.all !== true) {
    throw new UsageError('say which: a name, a selector (-l), or --all');
  }
  let failed = 0;
  const { items } = await read(session, target, options, (error) => {
    failed++;
    session.report(error);
  });
  for (const found of items) {
    try {
      await scaleOne(session, { resource, found }, replicas, expected);
    } catch (error) {
      failed++;
      session.report(error, `scale ${nameOf(resource, found.metadata.name)}`);
    }
  }
  if (failed > 0) throw new AlreadyReported();
}

async function scaleOne(
  session: Session,
  { resource, found }: { readonly resource: Resource; readonly found: ApiObject },
  replicas: number,
  expected: number | undefined,
): Promise<void> {
  const client = await session.client();
  const key = keyOf(found);
  let object = found;
  for (let attempt = 1; ; attempt++) {
    const now = replicasOf(object, countAt(resource) ?? []);
    if (expected !== undefined && now !== expected) {
      throw new ApiError(
        'Conflict',
        `it has ${now ?? 'no number of'} replicas, not ${expected} as --current-replicas says`,
      );
    }
    // Naming the revision makes the count that was looked at the count that is changed.
    const seen = expected === undefined ? {} : { metadata: { resourceVersion: object.metadata.resourceVersion } };
    try {
      await client.patch(resource, key, { ...seen, spec: { replicas } }, { ...session.call, subresource: 'scale' });
    } catch (error) {
      const current =
        hasReason(error, 'Conflict') && attempt < attempts ? await client.get(resource, key, session.call) : undefined;
      if (current === undefined) throw error;
      object = current;
      continue;
    }
    const name = nameOf(resource, object.metadata.name);
    if (session.globals.output === 'name') session.print(name);
    else
      session.print(
        now === replicas
          ? `${name} has ${replicas} replicas already`
          : `${name} scaled ${now === undefined ? '' : `from ${now} `}to ${replicas}`,
      );
    return;
  }
}
