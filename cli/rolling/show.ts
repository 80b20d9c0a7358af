import { messageOf } from '../../lib/base/errors.ts';
import type { Event, ReplicationController } from '../../lib/api/objects.ts';
import {
  agreementOf,
  isRollingEnd,
  orderOf,
  predecessorOf,
  rollingStatusOf,
  type RollingStatus,
} from '../../lib/api/rolling-updates.ts';
import { follow } from '../follow.ts';
import type { Session } from '../session.ts';
import { AlreadyReported, ExitWith } from '../shell.ts';
import { newScreen } from '../top/screen.ts';
import { barsOf, lineOf } from './lines.ts';
import type { Update } from './orders.ts';

const interrupted = 130;
const maxTold = 5;

/** Shows an update until it ends, waits for an order or stops. It goes on by itself, whether anyone looks or not. */
export async function showUpdate(session: Session, update: Update): Promise<void> {
  const client = await session.client();
  const { namespace } = session.globals;
  const { items, revision } = await client.list('replicationcontrollers', { namespace }, session.call);
  const over = new AbortController();
  const signal = AbortSignal.any([session.signal, over.signal]);
  const page = newPage(session, update);
  const telling = tellEvents(session, update, signal, (event) => {
    page.event(event);
  });
  try {
    const rcs = new Map(items.map((rc) => [rc.metadata.uid, rc]));
    let last = newest(items, update);
    if (last !== undefined) page.status(last);
    if (last === undefined || !isRest(items, update, last)) {
      for await (const { type, object } of follow(
        session,
        'replicationcontrollers',
        { namespace, fromRevision: revision },
        signal,
      )) {
        if (object === undefined) continue;
        const { uid } = object.metadata;
        if (type === 'ADDED' && rcs.has(uid)) rcs.clear(); // the history was too short: all that are there come again
        if (type === 'DELETED') rcs.delete(uid);
        else rcs.set(uid, object);
        const status = newest([...rcs.values()], update);
        if (status === undefined) continue;
        if (JSON.stringify(status) !== JSON.stringify(last)) page.status(status);
        last = status;
        if (isRest([...rcs.values()], update, status)) break;
      }
    }
    if (session.signal.aborted) {
      session.note(goesOn(update));
      throw new ExitWith(interrupted);
    }
    if (last !== undefined) conclude(session, update, last);
  } finally {
    over.abort();
    await telling;
  }
}

const newest = (rcs: readonly ReplicationController[], { uid }: Update): RollingStatus | undefined =>
  rcs
    .map(rollingStatusOf)
    .filter((status) => status?.uid === uid)
    // While one is handed over both have a word: that of the end counts.
    .sort(
      (a, b) => Number(b !== undefined && isRollingEnd(b.phase)) - Number(a !== undefined && isRollingEnd(a.phase)),
    )[0];

/** Nothing more comes by itself. What the loop says before it has seen an order is not its answer to it. */
function isRest(rcs: readonly ReplicationController[], { uid }: Update, { phase, reason }: RollingStatus): boolean {
  const next = rcs.find(({ metadata }) => metadata.uid === uid);
  const order = next && orderOf(next);
  // What is said of the end comes before the one that has given its pods away is gone.
  if (isRollingEnd(phase))
    return (next === undefined || agreementOf(next) === undefined) && !rcs.some((rc) => predecessorOf(rc)?.uid === uid);
  if (phase === 'Paused') return order === 'pause';
  if (phase === 'Canary') return order === undefined;
  return phase === 'Stopped' && (order === undefined || reason === 'SourceGone');
}

const hands = ({ from }: Update, words: string): string => `troupe rolling-update ${from} ${words}`;
const goesOn = (update: Update): string =>
  `the rolling update of ${update.from} to ${update.to} goes on in the cluster; look on: ${hands(update, '').trim()}; ` +
  `hold it: ${hands(update, '--pause')}; go back: ${hands(update, '--rollback')}`;

function conclude(session: Session, update: Update, { phase, reason, message }: RollingStatus): void {
  const next = `go on: ${hands(update, '--resume')}; go back: ${hands(update, '--rollback')}`;
  const why = [reason, message].filter((part) => part !== undefined).join(': ');
  if (phase === 'Succeeded') return session.note(`${update.from} has given way to ${update.to}`);
  if (phase === 'Canary' || phase === 'Paused') return session.note(`${message ?? phase}. ${next}`);
  if (phase === 'RolledBack' && reason === 'Ordered') return session.note(`back at ${update.from}, as ordered`);
  if (phase === 'RolledBack') session.report(new Error(`back at ${update.from}: ${why}`));
  else session.report(new Error(`the rolling update of ${update.from} to ${update.to} stopped: ${why}. ${next}`));
  throw new AlreadyReported();
}

interface Page {
  status(status: RollingStatus): void;
  event(event: Event): void;
}

/** Bars in their place on a terminal; a line for each change elsewhere; an object a line with -o json. */
function newPage(session: Session, update: Update): Page {
  if (session.globals.output === 'json')
    return {
      status: (status) => {
        session.print(JSON.stringify({ type: 'status', ...status }));
      },
      event: ({ type: level, reason, message, involvedObject }) => {
        session.print(JSON.stringify({ type: 'event', level, reason, about: involvedObject?.name, message }));
      },
    };
  if (!session.shell.stdout.isTerminal) {
    let last = '';
    return {
      status(status) {
        const line = lineOf(status);
        if (line !== last) session.print(line);
        last = line;
      },
      event: (event) => {
        if (event.type === 'Warning') session.print(`  ${eventLine(event)}`);
      },
    };
  }
  const screen = newScreen(session.shell.stdout);
  const told: string[] = [];
  let now: RollingStatus | undefined;
  const draw = (): void => {
    if (now !== undefined)
      screen.show([...barsOf(now, update, session.colors), ...told.map((line) => session.colors.dim(line))]);
  };
  return {
    status(status) {
      now = status;
      draw();
    },
    event(event) {
      told.push(eventLine(event));
      if (told.length > maxTold) told.shift();
      draw();
    },
  };
}

const eventLine = ({ type, reason, message, involvedObject }: Event): string =>
  `${type ?? ''} ${reason ?? ''} ${involvedObject?.name ?? ''}: ${message ?? ''}`.replace(/\s+/g, ' ').trim();

/** Events of both controllers, and warnings of their pods. That they cannot be had ends nothing. */
async function tellEvents(
  session: Session,
  { from, to }: Update,
  signal: AbortSignal,
  tell: (event: Event) => void,
): Promise<void> {
  const { namespace } = session.globals;
  try {
    const client = await session.client();
    const { revision } = await client.list('events', { namespace }, session.call);
    for await (const { object, type } of follow(session, 'events', { namespace, fromRevision: revision }, signal)) {
      if (object === undefined || type === 'DELETED') continue;
      const { kind, name = '' } = object.involvedObject ?? {};
      const isController = kind === 'ReplicationController' && (name === from || name === to);
      const isPod = kind === 'Pod' && object.type === 'Warning' && name.startsWith(`${to}-`);
      if (isController || isPod) tell(object);
    }
  } catch (error) {
    if (!signal.aborted) session.warn(`no events: ${messageOf(error)}`);
  }
}
