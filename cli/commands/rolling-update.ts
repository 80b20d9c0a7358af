import type { Command } from '@commander-js/extra-typings';
import type { RollingOrder } from '../../lib/api/rolling-updates.ts';
import { onFailedRollout, type OnFailedRollout } from '../../lib/api/rollouts.ts';
import { parseCount, parseDurationMs } from '../duration.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';
import type { Wish } from '../rolling/begin.ts';

interface Options {
  readonly filename?: string;
  readonly image?: readonly string[];
  readonly name?: string;
  readonly surge: string;
  readonly unavailable: string;
  readonly updatePeriod: string;
  readonly deadline: string;
  readonly canary?: string;
  readonly onFailed: string;
  readonly label: string;
  readonly rename?: true;
  readonly pause?: true;
  readonly resume?: true;
  readonly rollback?: true;
  readonly wait: boolean;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('rolling-update')
    .description(
      'replace the pods of a ReplicationController by those of a new one, step by step; the cluster makes the steps, this shows them. ' +
        'Without more than the name: show how the update of it goes on',
    )
    .argument(
      '<controller>',
      'name of the ReplicationController to be replaced, or of the new one of an update under way',
    )
    .option('-f, --filename <file>', 'the new ReplicationController; - for standard input')
    .option(
      '--image <image>',
      'a copy of the old one with this image; name=image for one of several containers',
      collect,
    )
    .option('--name <name>', 'name of the copy (the old name and a hash of the template)')
    .option('--surge <count>', 'pods that may be there besides, or a percentage', '1')
    .option('--unavailable <count>', 'pods that may be missing meanwhile, or a percentage', '0')
    .option('--update-period <duration>', 'time from one step to the next at least', '0s')
    .option('--canary <count>', 'wait for --resume when so many new pods serve')
    .option('--on-failed <what>', `${onFailedRollout.join(', ')}: what to do at the first failure`, 'stop')
    .option('--deadline <duration>', 'without progress for so long it has failed', '10m')
    .option('--label <key>', 'the label that tells new pods of a copy from old ones', 'version')
    .option('--rename', 'in the end the new one takes the name of the old one')
    .option('--pause', 'make no more steps')
    .option('--resume', 'go on: after a pause, a canary, a failure, or on the way back')
    .option('--rollback', 'back to the old one')
    .option('--no-wait', 'do not show how it goes on')
    .action((controller, options, command) =>
      withSession(shell, command, (session) => rollingUpdate(session, controller, options)),
    );
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

async function rollingUpdate(session: Session, name: string, options: Options): Promise<void> {
  session.outputOf('json');
  const controller = name.replace(/^(rc|replicationcontrollers?)\//, '');
  const { find, give } = await import('../rolling/orders.ts');
  const order = orderOf(options);
  const begins = options.filename !== undefined || options.image !== undefined;
  if (begins && order !== undefined)
    throw new UsageError(
      `--${options.pause === true ? 'pause' : order === 'back' ? 'rollback' : order} is for an update under way: leave out -f and --image`,
    );
  if (begins) {
    const { begin } = await import('../rolling/begin.ts');
    const update = await begin(session, controller, wishOf(options));
    return options.wait ? await show(session, update) : undefined;
  }
  const update = await find(session, controller);
  if (order !== undefined) await give(session, update, order);
  if (options.wait && order !== 'pause') await show(session, update);
}

async function show(
  session: Session,
  update: { readonly from: string; readonly to: string; readonly uid: string },
): Promise<void> {
  const { showUpdate } = await import('../rolling/show.ts');
  await showUpdate(session, update);
}

function orderOf({ pause, resume, rollback }: Options): RollingOrder | undefined {
  const given = [
    pause === true ? 'pause' : [],
    resume === true ? 'resume' : [],
    rollback === true ? 'back' : [],
  ].flat();
  if (given.length > 1) throw new UsageError('give one of --pause, --resume and --rollback');
  return given[0] as RollingOrder | undefined;
}

function wishOf(options: Options): Wish {
  if (options.filename !== undefined && options.image !== undefined)
    throw new UsageError('give -f or --image, not both');
  if (options.filename !== undefined && options.name !== undefined)
    throw new UsageError('--name is for a copy with --image: a manifest has its name');
  if (!onFailedRollout.some((known) => known === options.onFailed))
    throw new UsageError(`--on-failed ${options.onFailed}: use ${onFailedRollout.join(', ')}`);
  return {
    ...(options.filename !== undefined && { filename: options.filename }),
    ...(options.name !== undefined && { name: options.name }),
    images: options.image ?? [],
    label: options.label,
    onFailed: options.onFailed as OnFailedRollout,
    agreement: {
      maxSurge: shareOf('--surge', options.surge),
      maxUnavailable: shareOf('--unavailable', options.unavailable),
      periodSeconds: secondsOf('--update-period', options.updatePeriod),
      deadlineSeconds: secondsOf('--deadline', options.deadline),
      rename: options.rename === true,
      ...(options.canary !== undefined && { canary: parseCount('--canary', options.canary, 1) }),
    },
  };
}

const shareOf = (option: string, text: string): number | string =>
  /^[0-9]{1,3}%$/.test(text) ? text : parseCount(option, text);

/** The API counts whole seconds; a part of one is a whole. */
const secondsOf = (option: string, text: string): number => Math.ceil(parseDurationMs(option, text) / 1000);
