import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { ApiError } from '../../../../lib/base/errors.ts';
import { systemClock } from '../../../../lib/base/clock.ts';
import { Duplex } from '../../../../lib/bus/streams/duplex.ts';
import type { Streamed, StreamParts } from '../../../../services/apiserver/rest/streams/asked.ts';
import { forwardWay } from '../../../../services/apiserver/rest/streams/forward-ways.ts';
import { SpdyClient } from '../../../support/spdy-client.ts';
import { until } from '../../../support/until.ts';

/** Two ends of a stream to an agent, as the bus would join them. */
function joined(): { readonly near: Duplex; readonly far: Duplex } {
  const [windowBytes, peerWindowBytes, frameBytes] = [8192, 8192, 1024];
  const shared = { clock: systemClock, windowBytes, peerWindowBytes, frameBytes, peer: 'the other' };
  const end = (to: () => Duplex): Duplex =>
    new Duplex({
      ...shared,
      transmit: (frame) => {
        queueMicrotask(() => {
          to().receive(frame);
        });
      },
    });
  const near: Duplex = end(() => far);
  const far: Duplex = end(() => near);
  return { near, far };
}

/** A client that forwards ports; `open` answers for the agent. */
function forwarding(open: () => Promise<Duplex>) {
  const [ours, theirs] = duplexPair();
  const located = { node: 'n1', target: { namespace: 'default', pod: 'web', uid: 'u1' } };
  const asked = { located, signal: new AbortController().signal, protocol: 'portforward.k8s.io' };
  const parts = { clock: systemClock, streams: { open } };
  const over = forwardWay.overSpdy.run(parts as unknown as StreamParts, asked as unknown as Streamed, ours);
  const client = new SpdyClient(theirs);
  const error = client.open({ streamtype: 'error', port: '80', requestid: '0' });
  const data = client.open({ streamtype: 'data', port: '80', requestid: '0' });
  client.end(error);
  return { client, error, data, over };
}

describe('apiserver/rest: a connection to a port', () => {
  it('says on the stream for errors why there is none', async () => {
    const { client, error, over } = forwarding(() =>
      Promise.reject(new ApiError('BadRequest', 'nothing listens there')),
    );
    assert.equal(await client.all(error), 'nothing listens there');
    client.close();
    await over;
  });

  it('says nothing when the pod ends first and the caller then breaks it off, as kubectl does', async () => {
    const { near, far } = joined();
    const { client, error, data, over } = forwarding(() => Promise.resolve(near));
    await far.send('data', Buffer.from('page'));
    far.end('data');
    assert.equal(await client.all(data), 'page');
    client.send({ type: 'reset', stream: data, status: 5 });
    assert.equal(await client.all(error), '');
    await assert.rejects(far.ending, { message: 'the caller has gone' });
    client.close();
    await over;
  });

  it('breaks off what the pod breaks off, and says nothing', async () => {
    const { near, far } = joined();
    const { client, error, data, over } = forwarding(() => Promise.resolve(near));
    await far.send('data', Buffer.from('half a page'));
    await until(() => client.heard(data) === 'half a page', { what: 'what the pod sent' });
    void far.close({ failure: { reason: 'ServiceUnavailable', message: 'the pod broke the connection: ECONNRESET' } });
    await until(() => client.frames.some((frame) => frame.type === 'reset' && frame.stream === data), {
      what: 'a reset',
    });
    assert.equal(await client.all(error), '');
    client.close();
    await over;
  });
});
