import type { Clock } from '../../../../lib/base/clock.ts';
import { resetStatus } from '../spdy/frames.ts';
import type { SpdyStream } from '../spdy/stream.ts';

/** The two streams of one connection to a port. */
export interface Pair {
  /** As the client has written it. */
  readonly port: string;
  readonly error: SpdyStream;
  readonly data: SpdyStream;
}

/** How long the second stream of a connection may take to come after the first. */
const pairWithinMs = 30_000;
const maxWaiting = 64;

interface Half {
  readonly stream: SpdyStream;
  readonly cancel: () => void;
}

/** Brings the streams of each connection together (headers `streamtype`, `port`, `requestid`), and hands them on as they are complete. */
export function newPairs(
  clock: Clock,
  onPair: (pair: Pair) => void,
): { readonly onStream: (stream: SpdyStream) => void; close(): void } {
  const waiting = new Map<string, Half>();
  const refuse = (stream: SpdyStream): void => {
    stream.reset(resetStatus.refused);
  };
  return {
    onStream: (stream) => {
      const type = stream.headers.get('streamtype');
      const port = stream.headers.get('port');
      if ((type !== 'error' && type !== 'data') || port === undefined) {
        refuse(stream);
        return;
      }
      // Clients from before request ids open the stream for errors first, and that for data next.
      const id = stream.headers.get('requestid') ?? String(type === 'error' ? stream.id : stream.id - 2);
      const first = waiting.get(id);
      if (first?.stream.headers.get('streamtype') === type || (first === undefined && waiting.size >= maxWaiting)) {
        refuse(stream);
        return;
      }
      stream.accept();
      if (first === undefined) {
        const cancel = clock.after(pairWithinMs, () => {
          waiting.delete(id);
          refuse(stream);
        });
        waiting.set(id, { stream, cancel });
        return;
      }
      first.cancel();
      waiting.delete(id);
      onPair(
        type === 'error' ? { port, error: stream, data: first.stream } : { port, error: first.stream, data: stream },
      );
    },
    close() {
      for (const { cancel } of waiting.values()) cancel();
      waiting.clear();
    },
  };
}
