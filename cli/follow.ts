import { backoffMs } from '../lib/base/backoff.ts';
import { wait } from '../lib/base/clock.ts';
import { hasReason } from '../lib/base/errors.ts';
import type { Objects, Resource } from '../lib/api/kinds.ts';
import type { ListOptions, WatchEvent } from '../lib/client/client.ts';
import type { Session } from './session.ts';

const retry = { firstMs: 200, maxMs: 5000 };

/**
 * Every change after `fromRevision` in order, until `signal` is aborted (which ends it without an error). A broken connection is
 * made again and goes on where it stopped; where history is too short for that, `onExpired` is told and the
 * objects come again as ADDED. Errors that another try does not mend are thrown.
 */
export async function* follow<R extends Resource>(
  session: Session,
  resource: R,
  options: ListOptions & { readonly fromRevision: string },
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<Objects[R]>> {
  const client = await session.client();
  let { fromRevision } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const batch of client.watch(resource, { ...options, fromRevision }, signal)) {
        failures = 0;
        for (const event of batch) {
          fromRevision = event.revision;
          if (event.type !== 'BOOKMARK') yield event;
        }
      }
    } catch (error) {
      if (isOver(signal)) return;
      if (hasReason(error, 'Expired')) {
        const list = await client.list(resource, options, session.call);
        fromRevision = list.revision;
        for (const object of list.items) yield { type: 'ADDED', revision: list.revision, object };
        continue;
      }
      if (!hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error;
      if (failures++ === 0) session.note(`the connection to ${session.globals.server} is lost; trying again`);
    }
    if (isOver(signal)) return;
    await wait(session.shell.clock, backoffMs(failures, retry), signal).catch(() => undefined); // aborted: the loop ends
  }
}

/** Asked again after an await, when the answer may have changed. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;
