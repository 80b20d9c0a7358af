import { ApiError, hasReason, type Reason } from '../base/errors.ts';
import type { EventBus } from './bus.ts';
import { nodeSubject } from './subjects.ts';

/**
 * Streams from a node's agent over its own bus subjects, since agents open no port. The reader asks for one chunk at a
 * time, so that it is never sent more than it can take, and a chunk that was lost is asked for again by its number:
 *
 *   node.<n>.logs        LogRequest            -> {"stream": id}
 *   node.<n>.logs-next   {"stream", "number"}  -> a chunk (`data`), nothing yet (`idle`), or the end (`end`)
 *   node.<n>.logs-close  {"stream"}            -> nothing
 *
 * Every answer says in its header which of these it is; `error` carries {"reason", "message"}.
 */
export interface LogRequest {
  readonly namespace: string;
  readonly pod: string;
  /** May be left out where the pod has one container. */
  readonly container?: string;
  /** Go on with what comes until aborted or until the container ends. */
  readonly follow?: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  /** Each line begins with its time. */
  readonly timestamps?: boolean;
  /** Of the container's life before this one. */
  readonly previous?: boolean;
  /** At most so many bytes. */
  readonly limitBytes?: number;
}

export const streamVerbs = { open: 'logs', next: 'logs-next', close: 'logs-close' } as const;

export const statusHeader = 'troupe-status';
export type StreamStatus = 'opened' | 'data' | 'idle' | 'end' | 'error';

export interface OpenedStream {
  readonly stream: string;
}
export interface ChunkRequest {
  readonly stream: string;
  /** 0 for the first; the same number again gives the same chunk again. */
  readonly number: number;
}
export interface StreamError {
  readonly reason: Reason;
  readonly message: string;
}

/** The agent says `idle` after this long without output; an asker waits a little longer before it asks again. */
export const idleAfterMs = 10_000;
const askTimeoutMs = 15_000;
/** A chunk that does not come is asked for again so often. */
const maxTries = 3;

/**
 * The output of a container on `node`, as it comes. Throws NotFound (no such pod or container on the node), BadRequest
 * (which container?), ServiceUnavailable (the agent or the bus does not answer). Ends without an error when aborted.
 */
export async function* openLogs(
  bus: EventBus,
  cluster: string,
  node: string,
  request: LogRequest,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const ask = asker(bus, cluster, node);
  const opened = await ask(streamVerbs.open, request);
  const { stream } = JSON.parse(Buffer.from(opened.data).toString('utf8')) as OpenedStream;
  let ended = false;
  try {
    for (let number = 0; !signal.aborted;) {
      const answer = await unlessAborted(ask(streamVerbs.next, { stream, number } satisfies ChunkRequest), signal);
      if (answer === undefined) return;
      if (answer.data.length > 0) yield answer.data;
      if (answer.status === 'end') {
        ended = true;
        return;
      }
      if (answer.status === 'data') number++;
    }
  } catch (error) {
    ended = hasReason(error, 'NotFound'); // the agent knows the stream no more: nothing to close
    throw error;
  } finally {
    if (!ended && bus.connected) {
      const data = Buffer.from(JSON.stringify({ stream }));
      bus.publish({ subject: nodeSubject(cluster, node, streamVerbs.close), headers: {}, data });
    }
  }
}

interface Answer {
  readonly status: StreamStatus;
  readonly data: Uint8Array;
}

/** Asks the agent one thing; opening is tried once, a chunk (which has a number) again. */
function asker(bus: EventBus, cluster: string, node: string): (verb: string, body: object) => Promise<Answer> {
  return async (verb, body) => {
    const data = Buffer.from(JSON.stringify(body));
    const tries = verb === streamVerbs.next ? maxTries : 1;
    for (let attempt = 1; ; attempt++) {
      try {
        const { headers, data: answer } = await bus.request(nodeSubject(cluster, node, verb), data, askTimeoutMs);
        const status = headers[statusHeader] as StreamStatus | undefined;
        if (status === 'error') throw errorFrom(answer);
        if (status === undefined)
          throw new ApiError('InternalError', `the agent of node "${node}" gave an answer without ${statusHeader}`);
        return { status, data: answer };
      } catch (error) {
        const silent = hasReason(error, 'Timeout');
        if (silent && attempt < tries) continue;
        if (silent || isNobody(error)) {
          throw new ApiError('ServiceUnavailable', `the agent of node "${node}" does not answer`, {}, { cause: error });
        }
        throw error;
      }
    }
  };
}

/** The bus's own NotFound (nobody listens), not one that the agent sent. */
const isNobody = (error: unknown): boolean => hasReason(error, 'NotFound') && !(error instanceof AgentError);

class AgentError extends ApiError {}

function errorFrom(data: Uint8Array): ApiError {
  const { reason, message } = JSON.parse(Buffer.from(data).toString('utf8')) as StreamError;
  return new AgentError(reason, message);
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      resolve(undefined);
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', stop);
    });
  });
}
