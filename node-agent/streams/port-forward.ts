import type { Socket } from 'node:net';
import type { Duplex } from '../../lib/bus/streams/duplex.ts';
import type { Opened } from '../../lib/bus/streams/serve.ts';
import type { PortForwardRequest } from '../../lib/bus/streams/requests.ts';
import { ApiError, messageOf } from '../../lib/base/errors.ts';
import type { PodDialer } from './pod-dialer.ts';
import type { StreamPod } from './target.ts';

/** One connection to a port inside the pod, also one where only the pod itself may connect to. */
export async function openPortForward(
  pod: StreamPod,
  { port }: PortForwardRequest,
  parts: { readonly dialer: PodDialer; readonly signal: AbortSignal; readonly idleMs: number },
): Promise<Opened> {
  const socket = await dial(pod, port, parts.dialer);
  socket.on('error', () => undefined); // whoever reads or writes hears of it
  const onGone = (): void => void socket.destroy();
  if (parts.signal.aborted) onGone();
  parts.signal.addEventListener('abort', onGone, { once: true });
  return {
    idleMs: parts.idleMs,
    async run(stream) {
      try {
        // The two directions end one by one, as they do in TCP.
        await Promise.all([fromPod(socket, stream), toPod(stream, socket)]);
        return {};
      } catch (error) {
        if (stream.signal.aborted) throw error;
        throw new ApiError(
          'ServiceUnavailable',
          `port ${port} of pod "${pod.key}" broke the connection: ${messageOf(error)}`,
        );
      } finally {
        socket.destroy();
      }
    },
  };
}

async function dial(pod: StreamPod, port: number, dialer: PodDialer): Promise<Socket> {
  const sandbox = [...pod.containers].find(({ kind, is }) => kind === 'sandbox' && is.state === 'running');
  if (sandbox?.is.pid === undefined) throw new ApiError('BadRequest', `pod "${pod.key}" does not run`);
  try {
    return await dialer.connect(pod.pod.spec.hostNetwork === true ? undefined : sandbox.is.pid, port);
  } catch (error) {
    const text = messageOf(error);
    const why = text.includes('ECONNREFUSED') ? 'nothing listens there' : text;
    throw new ApiError('BadRequest', `no connection to port ${port} of pod "${pod.key}": ${why}`, {}, { cause: error });
  }
}

async function fromPod(socket: Socket, stream: Duplex): Promise<void> {
  // Not by the iterator of the socket, which would destroy it at the end of what it reads, and with it the other direction.
  for await (const data of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>)
    await stream.send('data', data);
  stream.end('data');
}

async function toPod(stream: Duplex, socket: Socket): Promise<void> {
  for await (const { data } of stream) {
    if (data === undefined) {
      socket.end();
      return;
    }
    await new Promise<void>((resolve, reject) => {
      socket.write(data, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(error);
      });
    });
  }
}
