import { Duplex } from 'node:stream';
import { ApiError } from '../../../../lib/base/errors.ts';
import type { Duplex as BusStream } from '../../../../lib/bus/streams/duplex.ts';

/** A connection to a port of a pod as a stream of Node, for clients of other protocols to speak over. */
export function socketOf(stream: BusStream): Duplex {
  let wanted: (() => void) | undefined;
  const socket = new Duplex({
    allowHalfOpen: true,
    read() {
      wanted?.();
    },
    write(data: Buffer, _encoding, done) {
      stream.send('data', data).then(() => {
        done();
      }, done);
    },
    final(done) {
      if (!stream.signal.aborted) stream.end('data');
      done();
    },
    destroy(error, done) {
      stream.reset(new ApiError('Timeout', 'the caller has gone'));
      wanted?.();
      done(error);
    },
  });
  socket.on('error', () => undefined); // whoever speaks over it hears of it
  void (async () => {
    try {
      for await (const { data } of stream) {
        if (socket.destroyed) return;
        if (data === undefined) break;
        // The next is asked for when these are taken: so the pod hears how fast that is.
        if (!socket.push(data)) await new Promise<void>((resolve) => (wanted = resolve));
      }
      socket.push(null);
    } catch (error) {
      socket.destroy(error as Error);
    }
  })();
  return socket;
}
