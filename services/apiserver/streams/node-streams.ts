import type { Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { EventBus } from '../../../lib/bus/bus.ts';
import type { Duplex } from '../../../lib/bus/streams/duplex.ts';
import { openStream } from '../../../lib/bus/streams/open.ts';
import type { StreamRequest } from '../../../lib/bus/streams/requests.ts';

/** Streams to the agents of nodes. */
export interface NodeStreams {
  /** Rejects with ServiceUnavailable where the bus or the agent does not answer, TooManyRequests, or what the agent refuses with. */
  open(node: string, request: StreamRequest, signal: AbortSignal): Promise<Duplex>;
}

export interface NodeStreamsOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly clock: Clock;
  /** At one time; each may hold 2 MiB. Default 500. */
  readonly maxStreams?: number;
}

export function newNodeStreams({ bus, cluster, clock, maxStreams = 500 }: NodeStreamsOptions): NodeStreams {
  let count = 0;
  return {
    async open(node, request, signal) {
      if (count >= maxStreams)
        throw new ApiError('TooManyRequests', `this apiserver serves ${maxStreams} streams into pods already`);
      count++;
      try {
        const stream = await openStream({ bus, cluster, node, clock }, request, signal);
        const done = (): void => void count--;
        if (stream.signal.aborted) done();
        else stream.signal.addEventListener('abort', done, { once: true });
        return stream;
      } catch (error) {
        count--;
        throw error;
      }
    },
  };
}

/** For an apiserver without a bus: it cannot reach nodes. */
export const noNodeStreams: NodeStreams = {
  open: () =>
    Promise.reject(
      new ApiError(
        'ServiceUnavailable',
        'this apiserver was started without a bus (--nats is empty), by which nodes are reached',
      ),
    ),
};
