import type { Command } from '@commander-js/extra-typings';
import { ApiError } from '../../lib/base/errors.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import {
  isQuarantined,
  quarantineLabel,
  setAsideAnnotation,
  setAsideLabels,
  settingAside,
} from '../../lib/api/quarantine.ts';
import { parseDurationMs } from '../duration.ts';
import { read } from '../select.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf, readTargets } from '../targets.ts';

interface QuarantineOptions {
  readonly wait: boolean;
  readonly timeout: string;
}

/** `quarantine` and `release`: both are nothing but labels, which anybody may change. */
export function register(program: Command, shell: Shell): void {
  program
    .command('quarantine')
    .description(
      'take pods out of traffic and away from their controllers, which replace them; they run on to be looked at',
    )
    .argument('<pods...>', 'pod/NAME')
    .option('--no-wait', 'do not wait until no traffic is led to them and their replacements are ready')
    .option('--timeout <duration>', 'how long to wait', '1m')
    .action((what, options, command) =>
      withSession(shell, command, async (session) => {
        const timeoutMs = parseDurationMs('--timeout', options.timeout);
        await eachPod(session, what, 'quarantine', (pod) => quarantine(session, pod, options, timeoutMs));
      }),
    );
  program
    .command('release')
    .description('give quarantined pods their labels back: their controllers take them again, and have one too many')
    .argument('<pods...>', 'pod/NAME')
    .option('--delete', 'end them instead')
    .action((what, options, command) =>
      withSession(shell, command, (session) =>
        eachPod(session, what, 'release', (pod) => release(session, pod, options.delete === true)),
      ),
    );
}

async function eachPod(
  session: Session,
  what: readonly string[],
  doing: string,
  act: (pod: Pod) => Promise<void>,
): Promise<void> {
  session.outputOf('name');
  let failed = 0;
  for (const target of await readTargets(session, what)) {
    if (target.resource !== 'pods' || target.names === undefined)
      throw new UsageError(`${doing} is for pods by name, such as pod/web-1`);
    const pods = { resource: 'pods' as const, names: target.names };
    const { items } = await read(session, pods, {}, (error) => {
      failed++;
      session.report(error);
    });
    for (const pod of items) {
      try {
        await act(pod);
      } catch (error) {
        failed++;
        session.report(error, `${doing} ${nameOf('pods', pod.metadata.name)}`);
      }
    }
  }
  if (failed > 0) throw new AlreadyReported();
}

async function quarantine(session: Session, pod: Pod, options: QuarantineOptions, timeoutMs: number): Promise<void> {
  const name = nameOf('pods', pod.metadata.name);
  if (isDeleting(pod)) throw new ApiError('Conflict', 'it is being deleted, which nothing stops');
  if (isQuarantined(pod)) return session.print(`${name} unchanged: it is in quarantine`);
  const { selectingIn } = await import('../quarantine/selecting.ts');
  const all = await selectingIn(session, pod.metadata.namespace ?? '');
  const { labels, from, held } = settingAside(pod.metadata.labels ?? {}, all);
  if (held.length > 0)
    throw new ApiError(
      'Conflict',
      `without its labels it would still be selected, or be selected only then, by ${held.join(', ')}: these ask for labels to be absent`,
    );
  const client = await session.client();
  const off = Object.fromEntries(Object.keys(labels).map((key) => [key, null]));
  // Naming the version makes the labels that were looked at those that are changed.
  const { resourceVersion } = pod.metadata;
  const annotations = { [setAsideAnnotation]: JSON.stringify(labels) };
  const patch = { metadata: { resourceVersion, labels: { ...off, [quarantineLabel]: 'true' }, annotations } };
  await client.patch('pods', keyOf(pod), patch, session.call);
  const taken = from.length === 0 ? 'nothing had selected it' : `taken from ${from.join(', ')}`;
  session.print(session.globals.output === 'name' ? name : `${name} quarantined: ${taken}`);
  if (!options.wait) return;
  const { confirm, outOfService, replaced } = await import('../quarantine/confirm.ts');
  const services = from.filter((who) => who.startsWith('service/')).map((who) => who.slice('service/'.length));
  const replacement = replaced(session, pod);
  const checks = new Map([
    ...services.map((service) => [`service/${service} leads elsewhere`, outOfService(session, pod, service)] as const),
    ...(replacement === undefined ? [] : [['a replacement is ready', replacement] as const]),
  ]);
  await confirm(session, checks, timeoutMs);
}

async function release(session: Session, pod: Pod, isOver: boolean): Promise<void> {
  const name = nameOf('pods', pod.metadata.name);
  const labels = setAsideLabels(pod);
  if (!isQuarantined(pod) || labels === undefined)
    throw new ApiError(
      'Conflict',
      `it is not in quarantine: it has no label ${quarantineLabel}=true with the annotation ${setAsideAnnotation}`,
    );
  const client = await session.client();
  if (isOver) {
    const [outcome] = await client.deleteMany(
      'pods',
      [keyOf(pod)],
      { preconditions: { uid: pod.metadata.uid } },
      session.call,
    );
    if (outcome?.ok === false) throw new ApiError(outcome.reason, outcome.message);
    return session.print(session.globals.output === 'name' ? name : `${name} deleted`);
  }
  const { resourceVersion, labels: now = {} } = pod.metadata;
  // What somebody has set meanwhile is what they want.
  const back = Object.fromEntries(Object.entries(labels).filter(([key]) => !Object.hasOwn(now, key)));
  const annotations = { [setAsideAnnotation]: null };
  const patch = { metadata: { resourceVersion, labels: { ...back, [quarantineLabel]: null }, annotations } };
  await client.patch('pods', keyOf(pod), patch, session.call);
  session.print(session.globals.output === 'name' ? name : `${name} released`);
}
