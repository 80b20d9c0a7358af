import type { Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { failure, verbOf, type RestDoor } from './door.ts';
import { measured, type RestMetrics } from './metrics.ts';
import { about, type RestReply, type RestRequest } from './message.ts';
import { legacyWatch, parseResourcePath } from './path.ts';
import { flag } from './query.ts';

export interface GateOptions {
  readonly clock: Clock;
  readonly metrics: RestMetrics;
  /** How many requests are answered at one time; those that last by their nature do not count. */
  readonly maxReads?: number;
  readonly maxWrites?: number;
  /** How long an answer may take to begin. */
  readonly timeoutMs?: number;
}

type Sort = 'read' | 'write' | 'long';

/** What is always answered: by this, others see how we are doing. */
const free: ReadonlySet<string> = new Set(['/livez', '/readyz', '/healthz', '/version']);

/**
 * Before the door: takes no more requests at one time than can be answered well (TooManyRequests, to be tried again after a second), gives
 * each a time within which it is answered (Timeout), and counts them all. A request counts until its answer is out.
 */
export function newGate(door: RestDoor, options: GateOptions): RestDoor {
  const { clock, metrics, maxReads = 400, maxWrites = 200, timeoutMs = 60_000 } = options;
  const inside = { read: 0, write: 0, long: 0 };
  const most = { read: maxReads, write: maxWrites, long: Infinity };

  const enter = (sort: Sort, request: RestRequest): void => {
    if (inside[sort] >= most[sort])
      throw new ApiError('TooManyRequests', `${most[sort]} requests that ${sort} are being answered; try again`, {
        retryAfterSeconds: 1,
      });
    inside[sort]++;
    const left = metrics.entered(sort);
    request.onOver(() => {
      inside[sort]--;
      left();
    });
  };

  /** The door never rejects. */
  const inTime = (request: RestRequest): Promise<RestReply> =>
    new Promise((resolve) => {
      const cancel = clock.after(timeoutMs, () => {
        resolve(failure(new ApiError('Timeout', `the request was not answered within ${timeoutMs / 1000} s`)));
      });
      void door(request).then((reply) => {
        cancel();
        resolve(reply);
      });
    });

  return async (request) => {
    const begun = clock.monotonic();
    const { what, sort } = read(request);
    let reply: RestReply;
    try {
      if (!free.has(request.path)) enter(sort, request);
      reply = sort === 'long' ? await door(request) : await inTime(request);
    } catch (error) {
      reply = failure(error);
    }
    metrics.answered(what, reply.status, clock.monotonic() - begun);
    return reply;
  };
}

/** What a request is, as far as it can be told. */
function read(came: RestRequest): { readonly what: ReturnType<typeof measured>; readonly sort: Sort } {
  const legacy = legacyWatch(came.path, came.query);
  const request = legacy === undefined ? came : about(came, legacy);
  const at = parseResourcePath(request.path);
  const verb = at === undefined ? 'other' : (attempt(() => verbOf(request, at)) ?? 'other');
  const isLog = at?.subresource === 'log' && attempt(() => flag(request.query, 'follow')) === true;
  const isLong = verb === 'watch' || isLog || at?.subresource === 'proxy';
  const reads = request.method === 'GET' || request.method === 'HEAD';
  return { what: measured(verb, at), sort: isLong ? 'long' : reads ? 'read' : 'write' };
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined; // the door says what is wrong
  }
}
