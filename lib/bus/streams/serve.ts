import { ApiError, isApiError, messageOf } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { BusMessage, EventBus } from '../bus.ts';
import { nodeSubject } from '../subjects.ts';
import { Duplex, type Ending, type Failure } from './duplex.ts';
import { frameMessage, readFrame, type FrameKind } from './frame.ts';
import {
  frameBytesOn,
  fromAgent,
  openVerb,
  servingVerb,
  toAgent,
  windowBytes,
  type OpenAnswer,
  type OpenQuestion,
} from './open.ts';
import { checkRequest, type StreamRequest } from './requests.ts';

export interface StreamServerOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the serving and every stream. */
  readonly signal: AbortSignal;
  /** Makes ready what is asked for; throws ApiError where it cannot be had. `signal` is aborted when the opener has gone. */
  readonly open: (request: StreamRequest, signal: AbortSignal) => Promise<Opened>;
  /** Streams at one time; more are refused with TooManyRequests. Default 256. */
  readonly maxStreams?: number;
}

export interface Opened {
  /** Does the work; the stream is closed with what this resolves to, or with what it throws. */
  readonly run: (stream: Duplex) => Promise<Ending>;
  /** The stream is ended when neither end sends data for so long; default never. */
  readonly idleMs?: number;
}

/** What a stream is while it lasts. `duplex` comes when it is ready. */
interface Entry {
  readonly answer: Promise<OpenAnswer>;
  readonly stop: AbortController;
  duplex: Duplex | undefined;
}

const idForm = /^[0-9a-f]{32}$/;

/** Answers `openStream` for one node until aborted. */
export function serveStreams(options: StreamServerOptions): void {
  const { bus, cluster, node, clock, log, signal, maxStreams = 256 } = options;
  const streams = new Map<string, Entry>();

  const send = (message: BusMessage): void => {
    bus.publish(message);
  };
  const tell = (message: BusMessage): void => {
    try {
      send(message);
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'a word about a stream could not be sent; it will be asked for again');
    }
  };

  function entryFor(question: OpenQuestion): Entry {
    const known = streams.get(question.stream);
    if (known !== undefined) return known; // asked again: the first answer was lost
    if (!idForm.test(question.stream)) throw new ApiError('BadRequest', 'stream must be 32 hexadecimal digits');
    const request = checkRequest(question.request);
    if (streams.size >= maxStreams)
      throw new ApiError('TooManyRequests', `node "${node}" serves ${maxStreams} streams already`);
    const stop = new AbortController();
    const entry: Entry = { stop, duplex: undefined, answer: start(question, request, stop).catch(answerOf) };
    streams.set(question.stream, entry);
    void entry.answer.then(({ failure }) => {
      if (failure !== undefined) streams.delete(question.stream);
    });
    return entry;
  }

  async function start(question: OpenQuestion, request: StreamRequest, stop: AbortController): Promise<OpenAnswer> {
    const opened = await options.open(request, AbortSignal.any([stop.signal, signal]));
    const from = nodeSubject(cluster, node, fromAgent(question.stream));
    const duplex = new Duplex({
      transmit: (frame) => {
        send(frameMessage(from, frame));
      },
      ...{ clock, windowBytes, frameBytes: frameBytesOn(bus), peer: 'the reader of the stream' },
      peerWindowBytes: question.windowBytes,
      ...(opened.idleMs === undefined ? {} : { idleMs: opened.idleMs }),
    });
    const entry = streams.get(question.stream);
    if (entry !== undefined) entry.duplex = duplex;
    duplex.signal.addEventListener('abort', () => {
      streams.delete(question.stream);
      stop.abort(duplex.signal.reason);
    });
    void run(opened, duplex);
    if (stop.signal.aborted) duplex.reset(new ApiError('Timeout', 'the caller has gone'));
    return { windowBytes };
  }

  async function run(opened: Opened, duplex: Duplex): Promise<void> {
    try {
      await duplex.close(await opened.run(duplex));
    } catch (error) {
      if (!duplex.signal.aborted) await duplex.close({ failure: failureOf(error) });
    }
  }

  async function onOpen({ data, reply }: BusMessage): Promise<void> {
    if (reply === undefined) return;
    const answer = await Promise.resolve()
      .then(() => entryFor(JSON.parse(Buffer.from(data).toString('utf8')) as OpenQuestion).answer)
      .catch(answerOf);
    tell({ subject: reply, headers: {}, data: Buffer.from(JSON.stringify(answer)) });
  }

  function onFrame(message: BusMessage): void {
    const id = message.subject.slice(message.subject.lastIndexOf('.') + 1);
    const frame = readFrame(message);
    if (frame === undefined) return;
    const entry = streams.get(id);
    if (entry === undefined) {
      if (worthAnAnswer.has(frame.kind))
        tell(frameMessage(nodeSubject(cluster, node, fromAgent(id)), unknownStream(node)));
      return;
    }
    if (frame.kind === 'reset') entry.stop.abort(new ApiError('Timeout', 'the caller has gone'));
    entry.duplex?.receive(frame);
  }

  const nudge = (): void => {
    for (const { duplex } of streams.values()) duplex?.nudge();
  };
  const subscriptions = [
    bus.subscribe(
      nodeSubject(cluster, node, openVerb),
      (message) => void onOpen(message),
      () => undefined,
    ),
    bus.subscribe(nodeSubject(cluster, node, toAgent('*')), onFrame, nudge),
  ];
  void Promise.all(subscriptions.map(({ ready }) => ready))
    .then(() => {
      tell({ subject: nodeSubject(cluster, node, servingVerb), headers: {}, data: new Uint8Array() });
    })
    .catch(() => undefined); // the bus is away: readers ask by themselves, a little later
  signal.addEventListener('abort', () => {
    for (const { stop, duplex } of streams.values()) {
      const error = new ApiError('ServiceUnavailable', `the agent of node "${node}" is stopping`);
      duplex?.reset(error);
      stop.abort(error);
    }
    for (const subscription of subscriptions) subscription.close();
  });
}

/** Frames whose sender waits for something. */
const worthAnAnswer: ReadonlySet<FrameKind> = new Set(['data', 'end', 'ping', 'missing']);

const unknownStream = (node: string) => {
  const failure: Failure = {
    reason: 'ServiceUnavailable',
    message: `the agent of node "${node}" knows this stream no more; it may have been started anew`,
  };
  return {
    kind: 'reset' as const,
    number: 0,
    channel: '',
    data: Buffer.from(JSON.stringify(failure)),
    next: 0,
    room: 0,
  };
};

const failureOf = (error: unknown): Failure => ({
  reason: isApiError(error) ? error.reason : 'InternalError',
  message: messageOf(error),
});
const answerOf = (error: unknown): OpenAnswer => ({ failure: failureOf(error) });
