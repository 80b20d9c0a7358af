import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '../../base/clock.ts';
import { ApiError, hasReason, messageOf } from '../../base/errors.ts';
import type { BusMessage, EventBus } from '../bus.ts';
import { nodeSubject } from '../subjects.ts';
import { Duplex, type Failure } from './duplex.ts';
import { frameMessage, readFrame } from './frame.ts';
import type { StreamRequest } from './requests.ts';

/** The body of the question on `node.<n>.open`. */
export interface OpenQuestion {
  /** Chosen by the opener: 128 random bits as hexadecimal digits. Asking again with the same id opens nothing anew. */
  readonly stream: string;
  readonly windowBytes: number;
  readonly request: StreamRequest;
}
/** Its answer: the agent's own window, or why not. */
export interface OpenAnswer {
  readonly windowBytes?: number;
  readonly failure?: Failure;
}

export const openVerb = 'open';
/** Said by an agent when it begins to serve: streams to the one before it are asked after at once. */
export const servingVerb = 'serving';
/** Frames to the agent, and from it, each stream on a subject of its own. */
export const toAgent = (stream: string): string => `to.${stream}`;
export const fromAgent = (stream: string): string => `from.${stream}`;

/** What one end holds for reading, and at most as much for sending again. */
export const windowBytes = 1 << 20;
const frameBytes = 128 * 1024;
/** Headers and the subject of a frame. */
const overheadBytes = 2048;

export interface OpenOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly node: string;
  readonly clock?: Clock;
  /** How long the agent may take to answer; default 15 s, with one try again within it. */
  readonly timeoutMs?: number;
}

/** How much one data frame may hold on this bus. */
export const frameBytesOn = (bus: EventBus): number =>
  Math.max(1024, Math.min(frameBytes, bus.maxMessageBytes - overheadBytes));

/**
 * Opens a stream to the agent of a node. Rejects with what the agent refuses with (NotFound, BadRequest…), or ServiceUnavailable where
 * neither it nor the bus answers. Aborting resets the stream.
 */
export async function openStream(options: OpenOptions, request: StreamRequest, signal: AbortSignal): Promise<Duplex> {
  const { bus, cluster, node, clock = systemClock, timeoutMs = 15_000 } = options;
  const id = randomBytes(16).toString('hex');
  const peer = `the agent of node "${node}"`;
  const to = nodeSubject(cluster, node, toAgent(id));
  // It is there before the question is asked: what the agent sends may come before its answer.
  const duplex = new Duplex({
    transmit: (frame) => {
      bus.publish(frameMessage(to, frame));
    },
    ...{ clock, windowBytes, peer, frameBytes: frameBytesOn(bus), peerWindowBytes: 0 },
  });
  const onMessage = (message: BusMessage): void => {
    const frame = readFrame(message);
    if (frame !== undefined) duplex.receive(frame);
  };
  const subscription = bus.subscribe(nodeSubject(cluster, node, fromAgent(id)), onMessage, () => {
    duplex.nudge();
  });
  const onAbort = (): void => {
    duplex.reset(givenUp(signal));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  duplex.signal.addEventListener('abort', () => {
    signal.removeEventListener('abort', onAbort);
    subscription.close();
  });
  try {
    if (signal.aborted) throw givenUp(signal);
    if (!bus.connected)
      throw new ApiError('ServiceUnavailable', `the bus is away; without it ${peer} cannot be reached`);
    await untilAborted(subscription.ready, signal);
    const question: OpenQuestion = { stream: id, windowBytes, request };
    const subject = nodeSubject(cluster, node, openVerb);
    const answer = await untilAborted(ask(bus, subject, question, { peer, timeoutMs }), signal);
    if (answer.failure !== undefined) throw new ApiError(answer.failure.reason, answer.failure.message);
    duplex.receive({
      kind: 'ack',
      number: 0,
      channel: '',
      data: Buffer.alloc(0),
      next: 0,
      room: answer.windowBytes ?? 0,
    });
    askWhenAnotherServes(duplex, bus, nodeSubject(cluster, node, servingVerb));
    return duplex;
  } catch (error) {
    duplex.reset(error instanceof ApiError ? error : givenUp(signal)); // the agent may have opened what we stopped waiting for
    throw error;
  }
}

/** From now on, since the agent knows the stream now: another one will not. */
function askWhenAnotherServes(duplex: Duplex, bus: EventBus, subject: string): void {
  if (duplex.signal.aborted) return;
  const nudge = (): void => {
    duplex.nudge();
  };
  const begun = bus.subscribe(subject, nudge, () => undefined);
  duplex.signal.addEventListener('abort', () => {
    begun.close();
  });
}

async function ask(
  bus: EventBus,
  subject: string,
  question: OpenQuestion,
  { peer, timeoutMs }: { readonly peer: string; readonly timeoutMs: number },
): Promise<OpenAnswer> {
  const data = Buffer.from(JSON.stringify(question));
  // Most of the time is for the second try: an agent under load may need it, and asking again opens nothing twice.
  for (const ms of [timeoutMs / 3, (timeoutMs * 2) / 3]) {
    try {
      const answer = await bus.request(subject, data, ms);
      return JSON.parse(Buffer.from(answer.data).toString('utf8')) as OpenAnswer;
    } catch (error) {
      if (hasReason(error, 'Timeout')) continue;
      const why = hasReason(error, 'NotFound')
        ? 'does not listen on the bus'
        : `cannot be reached: ${messageOf(error)}`;
      throw new ApiError('ServiceUnavailable', `${peer} ${why}`, {}, { cause: error });
    }
  }
  throw new ApiError('ServiceUnavailable', `${peer} does not answer within ${Math.round(timeoutMs / 1000)} s`);
}

const givenUp = (signal: AbortSignal): ApiError =>
  signal.reason instanceof ApiError ? signal.reason : new ApiError('Timeout', 'the caller has gone');

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(givenUp(signal));
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', stop);
    });
  });
}
