import type { Command } from '@commander-js/extra-typings';
import type { LogWish } from '../../lib/api/streams.ts';
import { parseCount, parseDurationMs } from '../duration.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { selectorText } from '../targets.ts';

interface Options {
  readonly follow?: true;
  readonly container?: string;
  readonly allContainers?: true;
  readonly selector?: string;
  readonly tail?: string;
  readonly since?: string;
  readonly sinceTime?: string;
  readonly limitBytes?: string;
  readonly timestamps?: true;
  readonly previous?: true;
  readonly prefix?: boolean;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('logs')
    .description('what the containers of pods have written')
    .argument('[pod]', 'NAME, pod/NAME, or rc/NAME and service/NAME for all pods behind it')
    .option('-f, --follow', 'go on with what comes; with -l or rc/NAME, also from pods that come')
    .option('-c, --container <name>', 'this container, where a pod has several')
    .option('--all-containers', 'all containers of each pod')
    .option('-l, --selector <selector>', 'all pods with these labels')
    .option('--tail <lines>', 'only the last lines')
    .option('--since <duration>', 'only what is newer, such as 5m')
    .option('--since-time <time>', 'only what was written then or later, such as 2026-01-31T12:00:00Z')
    .option('--limit-bytes <bytes>', 'at most so much of each')
    .option('--timestamps', 'each line with its time')
    .option('-p, --previous', 'of the run before the last restart')
    .option('--prefix', 'each line with the name of its pod; on by itself where there are several')
    .option('--no-prefix', 'never')
    .action((pod, options, command) => withSession(shell, command, (session) => logs(session, pod, options)));
}

async function logs(session: Session, pod: string | undefined, options: Options): Promise<void> {
  session.outputOf();
  if ((pod === undefined) === (options.selector === undefined)) {
    throw new UsageError('name a pod, or give a selector (-l) for several; not both');
  }
  if (options.container !== undefined && options.allContainers === true) {
    throw new UsageError('give -c or --all-containers, not both');
  }
  if (options.previous === true && options.follow === true) {
    throw new UsageError('a run that has ended writes no more: leave out -f or -p');
  }
  if (options.since !== undefined && options.sinceTime !== undefined)
    throw new UsageError('give --since or --since-time, not both');
  if (options.sinceTime !== undefined && Number.isNaN(Date.parse(options.sinceTime)))
    throw new UsageError(`--since-time ${options.sinceTime}: write it like 2026-01-31T12:00:00Z`);
  const request: LogWish = {
    follow: options.follow === true,
    ...(options.tail === undefined ? {} : { tailLines: parseCount('--tail', options.tail) }),
    ...(options.since === undefined
      ? {}
      : { sinceSeconds: Math.max(1, Math.round(parseDurationMs('--since', options.since) / 1000)) }),
    ...(options.sinceTime === undefined ? {} : { sinceTime: options.sinceTime }),
    ...(options.limitBytes === undefined ? {} : { limitBytes: parseCount('--limit-bytes', options.limitBytes, 1) }),
    timestamps: options.timestamps === true,
    previous: options.previous === true,
  };
  const { podsBehind, podsSelected } = await import('../streams/choose.ts');
  const { showLogs } = await import('../logs/show.ts');
  const chosen =
    options.selector === undefined
      ? podsBehind(session, pod ?? '')
      : podsSelected(session, selectorText(options.selector));
  const failed = await showLogs(session, await chosen, {
    request,
    containers: options.allContainers === true ? 'all' : options.container,
    prefix: options.prefix,
  });
  if (failed > 0) throw new AlreadyReported();
}
