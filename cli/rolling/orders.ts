import { ApiError } from '../../lib/base/errors.ts';
import { keyOf } from '../../lib/api/keys.ts';
import {
  agreementOf,
  isRollingEnd,
  rollingOrderAnnotation,
  rollingStatusOf,
  type RollingOrder,
} from '../../lib/api/rolling-updates.ts';
import type { Session } from '../session.ts';

/** One rolling update, by the names of both controllers and the uid of the new one. */
export interface Update {
  readonly from: string;
  readonly to: string;
  readonly uid: string;
}

/** The update under way that a controller has a part in, or the last one that it keeps word of. */
export async function find(session: Session, name: string): Promise<Update> {
  const client = await session.client();
  const { namespace } = session.globals;
  const { items } = await client.list('replicationcontrollers', { namespace }, session.call);
  const isThis = (rc: (typeof items)[number]): boolean =>
    agreementOf(rc)?.from === name || (rc.metadata.name === name && agreementOf(rc) !== undefined);
  const next = items.filter(isThis).sort((a, b) => Number(isWaiting(a)) - Number(isWaiting(b)))[0];
  const from = next && agreementOf(next)?.from;
  if (next !== undefined && from !== undefined) return { from, to: next.metadata.name, uid: next.metadata.uid };
  const last = items
    .map(rollingStatusOf)
    .find((status) => status !== undefined && isRollingEnd(status.phase) && [status.from, status.to].includes(name));
  if (last !== undefined) return { from: last.from, to: last.to, uid: last.uid };
  throw new ApiError(
    'NotFound',
    `no rolling update of ${name} is under way in namespace ${namespace}; begin one with -f or --image`,
  );
}

const isWaiting = (rc: Parameters<typeof rollingStatusOf>[0]): boolean => rollingStatusOf(rc)?.phase === 'Waiting';

const done: Readonly<Record<RollingOrder, string>> = { pause: 'paused', resume: 'goes on', back: 'goes back' };

/** Tells the loop what to do from now on; it is told to the new controller, wherever it was looked for. */
export async function give(session: Session, { from, to, uid }: Update, order: RollingOrder): Promise<void> {
  const client = await session.client();
  const { namespace } = session.globals;
  const next = await client.get('replicationcontrollers', keyOf({ metadata: { namespace, name: to } }), session.call);
  if (next?.metadata.uid !== uid || agreementOf(next) === undefined)
    throw new ApiError('Conflict', `the rolling update of ${from} to ${to} is over`);
  const patch = { metadata: { uid, annotations: { [rollingOrderAnnotation]: order } } };
  await client.patch('replicationcontrollers', keyOf(next), patch, session.call);
  session.note(`the rolling update of ${from} to ${to} ${done[order]}`);
}
