import { ApiError, messageOf } from '../../../../lib/base/errors.ts';
import type { Streamed, StreamParts } from './asked.ts';
import type { Channels } from './channels.ts';
import { forward, portIn, type Plug } from './forward.ts';

/** Ports that one WebSocket may be opened for: each has two of its 256 channels, and the last one is for closing. */
const maxPorts = 64;

/**
 * Connections to ports by numbered channels, the older way (`v4.channel.k8s.io`): one connection for each port of the query, with a channel for
 * its bytes and one for what goes wrong, each of which begins with the port. Over when all connections are.
 */
export async function forwardByChannels(parts: StreamParts, asked: Streamed, channels: Channels): Promise<void> {
  const inlets: Inlet[] = [];
  let working: Promise<unknown>;
  try {
    const ports = portsIn(asked.query);
    working = Promise.all(
      ports.map(async (port, index) => {
        const inlet = newInlet();
        inlets.push(inlet);
        const [data, error] = [index * 2, index * 2 + 1];
        await channels.send(data, portBytes(port));
        await channels.send(error, portBytes(port));
        const failed = (failure: unknown): Promise<void> => channels.send(error, Buffer.from(messageOf(failure)));
        const plug: Plug = {
          signal: channels.signal,
          incoming: inlet.data(),
          send: (bytes) => channels.send(data, bytes),
          end: () => undefined, // there is no word for it; the end of all says it
          broke: failed,
        };
        await forward(parts, asked, port, plug).catch(failed);
      }),
    );
  } catch (failure) {
    return channels.send(1, Buffer.from(messageOf(failure)));
  }
  void distribute(channels, inlets);
  await working;
  for (const inlet of inlets) inlet.end();
}

/** Hands what comes to the connection that it is for: the next message is taken when that has taken this one. */
async function distribute(channels: Channels, inlets: readonly Inlet[]): Promise<void> {
  for await (const { channel, data } of channels.messages()) {
    if (channel % 2 === 0) await inlets[channel / 2]?.put(data);
  }
  for (const inlet of inlets) inlet.end();
}

interface Inlet {
  /** Resolves when the bytes were taken, or nobody takes any more. */
  put(data: Buffer): Promise<void>;
  end(): void;
  data(): AsyncGenerator<Buffer>;
}

function newInlet(): Inlet {
  let waiting: { readonly data: Buffer; readonly taken: () => void } | undefined;
  let hasEnded = false;
  let wake: (() => void) | undefined;
  return {
    put: (data) =>
      new Promise((taken) => {
        if (hasEnded) return taken();
        waiting = { data, taken };
        wake?.();
      }),
    end() {
      hasEnded = true;
      waiting?.taken();
      wake?.();
    },
    async *data() {
      try {
        for (;;) {
          if (waiting !== undefined) {
            const { data, taken } = waiting;
            waiting = undefined;
            yield data;
            taken();
          } else if (hasEnded) return;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        hasEnded = true;
        waiting?.taken();
      }
    },
  };
}

/** `ports=80&ports=81`, also with commas. */
function portsIn(query: URLSearchParams): readonly number[] {
  const ports = query
    .getAll('ports')
    .flatMap((text) => text.split(','))
    .map(portIn);
  if (ports.length === 0 || ports.length > maxPorts)
    throw new ApiError('BadRequest', `ports: ${ports.length} are named; must be from 1 to ${maxPorts}`);
  return ports;
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(port);
  return bytes;
}
