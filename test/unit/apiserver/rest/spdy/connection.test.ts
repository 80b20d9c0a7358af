import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { systemClock } from '../../../../../lib/base/clock.ts';
import { SpdyConnection } from '../../../../../services/apiserver/rest/spdy/connection.ts';
import { FrameWriter } from '../../../../../services/apiserver/rest/spdy/frames.ts';
import type { SpdyStream } from '../../../../../services/apiserver/rest/spdy/stream.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { SpdyClient } from '../../../../support/spdy-client.ts';
import { until } from '../../../../support/until.ts';

function aConnection(clock = systemClock) {
  const [ours, theirs] = duplexPair();
  const streams: SpdyStream[] = [];
  const connection = new SpdyConnection(ours, { clock, onStream: (stream) => streams.push(stream) });
  return { connection, client: new SpdyClient(theirs), streams, ours };
}
type AConnection = ReturnType<typeof aConnection>;

async function opened({ client, streams }: AConnection, headers: Record<string, string> = {}): Promise<SpdyStream> {
  const id = client.open(headers);
  return until(() => streams.find((stream) => stream.id === id), { what: `stream ${id}` });
}
async function all(stream: SpdyStream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const data of stream.data()) parts.push(data);
  return Buffer.concat(parts).toString();
}

describe('apiserver/rest/spdy: a connection', () => {
  it('carries streams both ways, each way ended by itself', async () => {
    const it = aConnection();
    const one = await opened(it, { StreamType: 'data' });
    assert.deepEqual([...one.headers], [['streamtype', 'data']]);
    const two = await opened(it);
    one.accept();
    it.client.write(1, 'to one');
    it.client.write(3, 'to two', true);
    assert.equal(await all(two), 'to two');
    await one.send(Buffer.from('from one'));
    one.end();
    assert.equal(await it.client.all(1), 'from one');
    it.client.end(1);
    assert.equal(await all(one), 'to one');
    assert.ok(it.client.frames.some((frame) => frame.type === 'reply' && frame.stream === 1));
  });

  it('is read no further while a stream is full, and says how much was taken', async () => {
    const it = aConnection();
    const stream = await opened(it);
    const total = 1 << 20;
    for (let sent = 0; sent < total; sent += 1 << 15) it.client.write(1, Buffer.alloc(1 << 15, 'x'));
    it.client.end(1);
    await until(() => it.ours.isPaused(), { what: 'the connection is not read' });
    assert.equal((await all(stream)).length, total);
    assert.ok(!it.ours.isPaused());
    const told = it.client.frames.reduce((sum, frame) => sum + (frame.type === 'window' ? frame.bytes : 0), 0);
    assert.ok(told > total / 2 && told <= total, `${told} bytes of ${total} were told`);
  });

  it('waits with what it sends until the other side takes it', async () => {
    const [ours, theirs] = duplexPair();
    const streams: SpdyStream[] = [];
    const connection = new SpdyConnection(ours, { clock: systemClock, onStream: (stream) => streams.push(stream) });
    theirs.write(new FrameWriter().bytes({ type: 'open', stream: 1, headers: new Map(), isLast: false }));
    const stream = await until(() => streams[0], { what: 'the stream' });
    let hasLeft = false;
    const leaving = stream.send(Buffer.alloc(1 << 20)).then(() => (hasLeft = true));
    await until(() => theirs.readableLength > 0, { what: 'the first bytes' });
    assert.ok(ours.writableLength <= 2 * (1 << 15), `${ours.writableLength} bytes are held`);
    assert.ok(!hasLeft);
    theirs.resume();
    await leaving;
    await connection.close();
  });

  it('ends streams that the client breaks off, or leaves behind', async () => {
    const it = aConnection();
    const [one, two] = [await opened(it), await opened(it)];
    it.client.send({ type: 'reset', stream: one.id, status: 5 });
    await until(() => one.signal.aborted, { what: 'the stream is over' });
    assert.equal(await all(one), '');
    await one.send(Buffer.from('nobody hears')); // and nothing happens
    it.client.close();
    await until(() => two.signal.aborted && it.connection.signal.aborted, { what: 'all is over' });
  });

  it('answers pings, and refuses what it cannot take', async () => {
    const it = aConnection();
    it.client.send({ type: 'ping', id: 7 });
    it.client.write(9, 'for a stream that was never opened');
    for (let count = 0; count < 513; count++) it.client.open({});
    await until(() => it.streams.length === 512, { what: 'as many streams as are taken' });
    const answers = () => it.client.frames.filter(({ type }) => type === 'ping' || type === 'reset');
    await until(() => answers().length === 3, { what: 'three answers' });
    assert.deepEqual(answers(), [
      { type: 'ping', id: 7 },
      { type: 'reset', stream: 9, status: 1 },
      { type: 'reset', stream: 1025, status: 3 },
    ]);
  });

  it('ends with bytes that are no frames', async () => {
    const it = aConnection();
    it.ours.emit('data', Buffer.from('GET / HTTP/1.1\r\n\r\n'.replace('G', '\x80')));
    await until(() => it.connection.signal.aborted, { what: 'it is over' });
  });

  it('asks a quiet client now and then, and no more once it is closed', async () => {
    const clock = new FakeClock();
    const it = aConnection(clock);
    await clock.advance(61_000);
    await until(() => it.client.frames.length === 2, { what: 'two pings' });
    assert.deepEqual(it.client.frames, [
      { type: 'ping', id: 2 },
      { type: 'ping', id: 4 },
    ]);
    await it.connection.close();
    await until(() => it.client.frames.at(-1)?.type === 'goaway', { what: 'the last word' });
    await clock.advance(61_000);
    assert.equal(it.client.frames.length, 3);
  });
});
