import type { Clock } from '../../../../lib/base/clock.ts';
import { resetStatus } from '../spdy/frames.ts';
import type { SpdyStream } from '../spdy/stream.ts';

/** How long a client may take to open the streams that it has announced. */
const openWithinMs = 30_000;

export interface ExpectedStreams {
  /** Takes what the client opens; what nobody has asked for is refused. */
  readonly onStream: (stream: SpdyStream) => void;
  /** The streams by type, once all are there; undefined when the client has gone, or takes longer than 30 s. */
  readonly streams: (signal: AbortSignal) => Promise<ReadonlyMap<string, SpdyStream> | undefined>;
}

/** The streams of a command: one of each type, told by the header `streamtype`. */
export function expectStreams(types: readonly string[], clock: Clock): ExpectedStreams {
  const found = new Map<string, SpdyStream>();
  let complete: () => void = () => undefined;
  const all = new Promise<void>((resolve) => (complete = resolve));
  return {
    onStream: (stream) => {
      const type = stream.headers.get('streamtype') ?? '';
      if (!types.includes(type) || found.has(type)) {
        stream.reset(resetStatus.refused);
        return;
      }
      found.set(type, stream);
      stream.accept();
      if (found.size === types.length) complete();
    },
    streams: (signal) =>
      new Promise((resolve) => {
        const cancel = clock.after(openWithinMs, () => {
          resolve(undefined);
        });
        signal.addEventListener('abort', () => {
          cancel();
          resolve(undefined);
        });
        void all.then(() => {
          cancel();
          resolve(found);
        });
      }),
  };
}
