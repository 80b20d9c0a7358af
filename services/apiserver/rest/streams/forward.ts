import { ApiError, isApiError, messageOf } from '../../../../lib/base/errors.ts';
import type { Duplex } from '../../../../lib/bus/streams/duplex.ts';
import type { Streamed, StreamParts } from './asked.ts';

export const forwardNeeds = { doing: 'connect to', inEnded: false, container: false } as const;

/** The caller's end of one connection to a port. */
export interface Plug {
  /** Aborted when the caller has broken it off. */
  readonly signal: AbortSignal;
  /** What the caller sends, until he has sent all. */
  readonly incoming: AsyncIterable<Buffer>;
  /** Resolves when the bytes have left. */
  send(data: Uint8Array): Promise<void>;
  /** The pod has sent all. */
  end(): void;
  /** What was connected broke, not by the caller. */
  broke(failure: unknown): void | Promise<void>;
}

/**
 * One connection to a port of the pod, until both sides have sent all or one has broken it off. Rejects with why there is no connection;
 * what breaks later is told to the plug.
 */
export async function forward(
  { streams }: StreamParts,
  { located, signal }: Pick<Streamed, 'located' | 'signal'>,
  port: number,
  plug: Plug,
): Promise<void> {
  const either = AbortSignal.any([signal, plug.signal]);
  const stream = await streams.open(located.node, { verb: 'port-forward', port, ...located.target }, either);
  const gone = (): void => {
    stream.reset(new ApiError('Timeout', 'the caller has gone'));
  };
  if (either.aborted) gone();
  either.addEventListener('abort', gone, { once: true });
  try {
    // The two directions end one by one, as they do in TCP.
    void toPod(plug, stream);
    for await (const { data } of stream) {
      if (data === undefined) plug.end();
      else await plug.send(data);
    }
    await stream.ending;
  } catch (failure) {
    if (!either.aborted) await plug.broke(failure);
  } finally {
    either.removeEventListener('abort', gone);
  }
}

/** Never rejects: who reads the stream hears how it ended. */
async function toPod(plug: Plug, stream: Duplex): Promise<void> {
  try {
    for await (const data of plug.incoming) await stream.send('data', data);
    stream.end('data');
  } catch (error) {
    if (!stream.signal.aborted) stream.reset(isApiError(error) ? error : new ApiError('BadRequest', messageOf(error)));
  }
}

/** The port in a text; BadRequest where it is none. */
export function portIn(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw new ApiError('BadRequest', `port ${JSON.stringify(text)} must be a whole number from 1 to 65535`);
  return port;
}
