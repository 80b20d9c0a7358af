import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { messageOf } from '../../../../lib/base/errors.ts';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import type { Streamed, StreamParts, Way } from './asked.ts';
import { Channels } from './channels.ts';
import { forwardByChannels } from './forward-channels.ts';
import { forward, forwardNeeds, portIn } from './forward.ts';
import { newPairs, type Pair } from './pairs.ts';

/** SPDY in the messages of a WebSocket. */
const tunnelled = 'SPDY/3.1+portforward.k8s.io';

/** How connections to ports of a pod are served. */
export const forwardWay: Way = {
  needs: forwardNeeds,
  overWebSocket: {
    protocols: [tunnelled, 'v4.channel.k8s.io'],
    async run(parts, asked, socket) {
      if (asked.protocol === tunnelled) {
        await overStreams(parts, asked, createWebSocketStream(socket));
        return;
      }
      const channels = new Channels(socket, parts.clock);
      await forwardByChannels(parts, asked, channels);
      channels.close();
    },
  },
  overSpdy: { protocols: ['portforward.k8s.io'], run: overStreams },
};

/** Each connection has two streams: for its bytes, and for what goes wrong. The client ends it all. */
async function overStreams(parts: StreamParts, asked: Streamed, link: Duplex): Promise<void> {
  const pairs = newPairs(parts.clock, (pair) => void serve(parts, asked, pair));
  const connection = new SpdyConnection(link, { clock: parts.clock, onStream: pairs.onStream });
  await new Promise<void>((resolve) => {
    connection.signal.addEventListener('abort', () => {
      resolve();
    });
  });
  pairs.close();
}

/**
 * A word on the stream for errors makes kubectl give up all its connections, so it is said only of a port that cannot be reached. A caller
 * who breaks his connection off, as kubectl does with every one that the pod has ended first, needs no word, and a pod that does is seen.
 */
async function serve(parts: StreamParts, asked: Streamed, { port, error, data }: Pair): Promise<void> {
  try {
    await forward(parts, asked, portIn(port), plugOf(data));
  } catch (failure) {
    if (!data.signal.aborted) await error.send(Buffer.from(messageOf(failure)));
  }
  data.end();
  error.end();
}

const plugOf = (stream: SpdyStream) => ({
  signal: stream.signal,
  incoming: stream.data(),
  send: (data: Uint8Array) => stream.send(data),
  end: () => {
    stream.end();
  },
  broke: () => {
    stream.reset();
  },
});
