import { randomUUID } from 'node:crypto';
import { ApiError, isApiError, messageOf, type Reason } from '../lib/base/errors.ts';
import type { Clock } from '../lib/base/clock.ts';
import type { Log } from '../lib/base/log.ts';
import type { BusMessage, EventBus } from '../lib/bus/bus.ts';
import {
  idleAfterMs,
  statusHeader,
  streamVerbs,
  type ChunkRequest,
  type LogRequest,
  type StreamError,
  type StreamStatus,
} from '../lib/bus/node-streams.ts';
import { nodeSubject } from '../lib/bus/subjects.ts';
import type { PodContainer } from './labels.ts';
import type { PodWorker } from './pod-worker.ts';
import { RuntimeError, type ContainerRuntime } from './runtime/runtime.ts';

export interface LogServerOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly node: string;
  readonly runtime: Pick<ContainerRuntime, 'logs'>;
  readonly workers: () => Iterable<PodWorker>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const chunkBytes = 256 * 1024;
/** A reader that asks for nothing for so long is gone. */
const abandonedAfterMs = 60_000;
const maxStreams = 100;

/** One reader's stream: the output is read only as fast as chunks are asked for. */
interface Stream {
  readonly source: AsyncIterator<Uint8Array>;
  readonly stop: AbortController;
  /** The read under way, which outlives an `idle` answer. */
  reading: Promise<IteratorResult<Uint8Array>> | undefined;
  rest: Uint8Array;
  bytesLeft: number;
  /** The chunk given last, to be given again to whoever did not get it. */
  last: { readonly number: number; readonly status: StreamStatus; readonly data: Uint8Array } | undefined;
  busy: boolean;
  lastAskedMs: number;
}

/** Answers for the output of this node's containers on the bus, as `lib/bus/node-streams.ts` describes. */
export function serveLogs(options: LogServerOptions): void {
  const { bus, cluster, node, clock, log, signal } = options;
  const streams = new Map<string, Stream>();

  const answer = (message: BusMessage, status: StreamStatus, data: Uint8Array): void => {
    if (message.reply === undefined) return;
    try {
      bus.publish({ subject: message.reply, headers: { [statusHeader]: status }, data });
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'an answer could not be sent; it will be asked for again');
    }
  };
  const refuse = (message: BusMessage, error: unknown): void => {
    const reason: Reason = isApiError(error)
      ? error.reason
      : error instanceof RuntimeError && error.code === 'NotFound'
        ? 'NotFound'
        : 'InternalError';
    answer(message, 'error', json({ reason, message: messageOf(error) } satisfies StreamError));
  };
  const drop = (id: string): void => {
    const stream = streams.get(id);
    if (stream === undefined) return;
    streams.delete(id);
    stream.stop.abort(new Error('the reader has left'));
    void stream.source.return?.().catch(() => undefined);
  };

  function open(message: BusMessage): void {
    for (const [id, stream] of streams) if (clock.monotonic() - stream.lastAskedMs > abandonedAfterMs) drop(id);
    if (streams.size >= maxStreams)
      throw new ApiError('TooManyRequests', `node "${node}" serves ${maxStreams} readers of logs already`);
    const request = parse<LogRequest>(message);
    const container = containerOf(options.workers(), request, node);
    const stop = new AbortController();
    const source = options.runtime.logs(
      container.is.id,
      {
        follow: request.follow ?? false,
        timestamps: request.timestamps ?? false,
        ...(request.tailLines === undefined ? {} : { tailLines: request.tailLines }),
        ...(request.sinceSeconds === undefined ? {} : { sinceSeconds: request.sinceSeconds }),
      },
      AbortSignal.any([stop.signal, signal]),
    );
    const id = randomUUID();
    streams.set(id, {
      ...{
        source: source[Symbol.asyncIterator](),
        stop,
        reading: undefined,
        rest: new Uint8Array(0),
        last: undefined,
        busy: false,
      },
      bytesLeft: request.limitBytes ?? Infinity,
      lastAskedMs: clock.monotonic(),
    });
    answer(message, 'opened', json({ stream: id }));
  }

  async function next(message: BusMessage): Promise<void> {
    const { stream: id, number } = parse<ChunkRequest>(message);
    const stream = streams.get(id);
    if (stream === undefined) throw new ApiError('NotFound', 'this stream of logs has ended; open it again');
    stream.lastAskedMs = clock.monotonic();
    if (stream.last?.number === number) {
      answer(message, stream.last.status, stream.last.data);
      return;
    }
    if (stream.busy) return; // asked twice: the first question will be answered
    stream.busy = true;
    try {
      const chunk = await readChunk(stream, clock);
      if (chunk.status !== 'idle') stream.last = { number, ...chunk };
      answer(message, chunk.status, chunk.data);
    } catch (error) {
      drop(id);
      throw error;
    } finally {
      stream.busy = false;
    }
  }

  const on = (verb: string, handle: (message: BusMessage) => Promise<void> | void): void => {
    const subscription = bus.subscribe(
      nodeSubject(cluster, node, verb),
      (message) => {
        void (async () => handle(message))().catch((error: unknown) => {
          refuse(message, error);
        });
      },
      () => undefined, // a lost question is asked again
    );
    signal.addEventListener('abort', () => {
      subscription.close();
    });
  };
  on(streamVerbs.open, open);
  on(streamVerbs.next, next);
  on(streamVerbs.close, (message) => {
    drop(parse<{ readonly stream: string }>(message).stream);
  });
  signal.addEventListener('abort', () => {
    for (const id of streams.keys()) drop(id);
  });
}

async function readChunk(
  stream: Stream,
  clock: Clock,
): Promise<{ readonly status: StreamStatus; readonly data: Uint8Array }> {
  if (stream.bytesLeft <= 0) return { status: 'end', data: new Uint8Array(0) };
  if (stream.rest.length === 0) {
    stream.reading ??= stream.source.next();
    const result = await firstOf(stream.reading, idleAfterMs, clock);
    if (result === undefined) return { status: 'idle', data: new Uint8Array(0) };
    stream.reading = undefined;
    if (result.done === true) return { status: 'end', data: new Uint8Array(0) };
    stream.rest = result.value;
  }
  const size = Math.min(chunkBytes, stream.bytesLeft, stream.rest.length);
  const data = stream.rest.subarray(0, size);
  stream.rest = stream.rest.subarray(size);
  stream.bytesLeft -= size;
  return { status: 'data', data };
}

/** Undefined when the work takes longer; it goes on. */
function firstOf<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      resolve(undefined);
    });
    work.then(resolve, reject).finally(cancel);
  });
}

/** The container that is meant: of the newest pod of that name, the newest attempt, or the one before it. */
function containerOf(workers: Iterable<PodWorker>, request: LogRequest, node: string): PodContainer {
  const key = `${request.namespace}/${request.pod}`;
  const worker = [...workers].findLast((candidate) => candidate.key === key);
  if (worker === undefined) throw new ApiError('NotFound', `pod "${key}" is not on node "${node}"`);
  const { containers, initContainers = [] } = worker.pod.spec;
  const names = [...containers, ...initContainers].map((container) => container.name);
  const name = request.container ?? (containers.length === 1 ? containers[0]?.name : undefined);
  if (name === undefined) {
    throw new ApiError(
      'BadRequest',
      `a container name must be specified for pod ${request.pod}, choose one of: [${names.join(' ')}]`,
    );
  }
  if (!names.includes(name))
    throw new ApiError(
      'BadRequest',
      `container ${name} is not valid for pod ${request.pod}, choose one of: [${names.join(' ')}]`,
    );
  const attempts = [...worker.containers]
    .filter((container) => container.name === name && container.is.startedAtMs !== undefined)
    .toSorted((a, b) => b.attempt - a.attempt);
  const found = attempts[request.previous === true ? 1 : 0];
  if (found !== undefined) return found;
  const what = request.previous === true ? `previous terminated container "${name}"` : `container "${name}"`;
  const why = request.previous === true ? 'not found' : 'is waiting to start';
  throw new ApiError('BadRequest', `${what} in pod "${request.pod}" ${why}`);
}

const json = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));

function parse<T>(message: BusMessage): T {
  try {
    return JSON.parse(Buffer.from(message.data).toString('utf8')) as T;
  } catch (error) {
    throw new ApiError('BadRequest', `the question is not JSON: ${messageOf(error)}`, {}, { cause: error });
  }
}
