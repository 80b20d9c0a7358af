import type { Command } from '@commander-js/extra-typings';
import { ApiError, hasReason } from '../../lib/base/errors.ts';
import type { ReplicationController } from '../../lib/api/objects.ts';
import { keyOf } from '../../lib/api/keys.ts';
import { parseCount } from '../duration.ts';
import { checkSelection, read, type Selecting } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf, parseTargets } from '../targets.ts';

interface Options extends Pick<Selecting, 'selector'> {
  readonly replicas: string;
  readonly currentReplicas?: string;
  readonly all?: true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('scale')
    .description('set the number of pods of a ReplicationController')
    .argument('<what...>', 'rc/NAME, or rc NAME...')
    .requiredOption('--replicas <count>', 'how many pods there should be')
    .option('--current-replicas <count>', 'only where it is this many now')
    .option('-l, --selector <selector>', 'those with these labels')
    .option('--all', 'all of the namespace')
    .action((what, options, command) => withSession(shell, command, (session) => scale(session, what, options)));
}

const resource = 'replicationcontrollers';
const attempts = 5;

async function scale(session: Session, what: readonly string[], options: Options): Promise<void> {
  session.outputOf('name');
  const replicas = parseCount('--replicas', options.replicas);
  const expected =
    options.currentReplicas === undefined ? undefined : parseCount('--current-replicas', options.currentReplicas);
  const targets = parseTargets(what);
  for (const target of targets) {
    if (target.resource !== resource)
      throw new UsageError(`${target.resource} cannot be scaled; replicationcontrollers (rc) can`);
  }
  checkSelection(targets, options);
  const [target] = targets;
  if (target === undefined) return;
  if (target.names === undefined && options.selector === undefined && options.all !== true) {
    throw new UsageError('say which: a name, a selector (-l), or --all');
  }
  let failed = 0;
  const { items } = await read(session, { ...target, resource }, options, (error) => {
    failed++;
    session.report(error);
  });
  for (const rc of items) {
    try {
      await scaleOne(session, rc, replicas, expected);
    } catch (error) {
      failed++;
      session.report(error, `scale ${nameOf(resource, rc.metadata.name)}`);
    }
  }
  if (failed > 0) throw new AlreadyReported();
}

async function scaleOne(
  session: Session,
  found: ReplicationController,
  replicas: number,
  expected: number | undefined,
): Promise<void> {
  const client = await session.client();
  const key = keyOf(found);
  let rc = found;
  for (let attempt = 1; ; attempt++) {
    const now = rc.spec.replicas;
    if (expected !== undefined && now !== expected) {
      throw new ApiError('Conflict', `it has ${now} replicas, not ${expected} as --current-replicas says`);
    }
    // Naming the revision makes the count that was looked at the count that is changed.
    const seen = expected === undefined ? {} : { metadata: { resourceVersion: rc.metadata.resourceVersion } };
    try {
      await client.patch(resource, key, { ...seen, spec: { replicas } }, { ...session.call, subresource: 'scale' });
    } catch (error) {
      const current =
        hasReason(error, 'Conflict') && attempt < attempts ? await client.get(resource, key, session.call) : undefined;
      if (current === undefined) throw error;
      rc = current;
      continue;
    }
    const name = nameOf(resource, rc.metadata.name);
    if (session.globals.output === 'name') session.print(name);
    else
      session.print(
        now === replicas ? `${name} has ${replicas} replicas already` : `${name} scaled from ${now} to ${replicas}`,
      );
    return;
  }
}
