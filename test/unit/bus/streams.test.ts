import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from '../../../lib/base/errors.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { Duplex, type Piece } from '../../../lib/bus/streams/duplex.ts';
import { costOf, frameMessage, readFrame, type Frame } from '../../../lib/bus/streams/frame.ts';
import { openStream } from '../../../lib/bus/streams/open.ts';
import { checkRequest, type StreamRequest } from '../../../lib/bus/streams/requests.ts';
import { serveStreams, type Opened, type StreamServerOptions } from '../../../lib/bus/streams/serve.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const windowBytes = 8192;
const frameBytes = 1024;

/** Two ends with a link between them that does to each frame what `fate` says. */
function pair(
  clock: FakeClock,
  fate: (frame: Frame) => 'pass' | 'drop' | 'twice' | 'late' = () => 'pass',
  idleMs?: number,
) {
  const held: (() => void)[] = [];
  const link = (to: () => Duplex) => (frame: Frame) => {
    const what = fate(frame);
    if (what === 'drop') return;
    const deliver = (): void => {
      to().receive(frame);
    };
    if (what === 'late') return void held.push(deliver);
    queueMicrotask(deliver);
    if (what === 'twice') queueMicrotask(deliver);
    for (const late of held.splice(0)) queueMicrotask(late);
  };
  const shared = {
    clock,
    windowBytes,
    peerWindowBytes: windowBytes,
    frameBytes,
    ...(idleMs === undefined ? {} : { idleMs }),
  };
  const a: Duplex = new Duplex({ ...shared, peer: 'b', transmit: link(() => b) });
  const b: Duplex = new Duplex({ ...shared, peer: 'a', transmit: link(() => a) });
  return { a, b };
}

async function readAll(stream: AsyncIterable<Piece>): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  for await (const { channel, data } of stream) {
    texts[channel] = (texts[channel] ?? '') + (data === undefined ? '.' : Buffer.from(data).toString('latin1'));
  }
  return texts;
}

describe('bus/streams/duplex', () => {
  it('carries bytes both ways, in order, and how it ended', async () => {
    const clock = new FakeClock();
    const { a, b } = pair(clock);
    const atB = readAll(b);
    const work = (async () => {
      await a.send('stdin', Buffer.from('hello '));
      await a.send('stdin', Buffer.from('x'.repeat(3000)));
      a.end('stdin');
    })();
    await clock.advance(100);
    await work;
    await b.send('stdout', Buffer.from('out'));
    await b.send('stderr', Buffer.from('err'));
    const atA = readAll(a);
    void b.close({ exitCode: 3 });
    await clock.advance(100);
    assert.deepEqual(await atA, { stdout: 'out', stderr: 'err' });
    assert.deepEqual(await a.ending, { exitCode: 3 });
    assert.deepEqual(await b.ending, { exitCode: 3 });
    assert.deepEqual(await atB, { stdin: `hello ${'x'.repeat(3000)}.` });
    assert.equal(clock.pending, 0, 'a stream that is over leaves no timer');
  });

  it('hands small pieces over together, but each message by itself', async () => {
    const clock = new FakeClock();
    const { a, b } = pair(clock);
    for (const text of ['a', 'b', 'c']) await a.send('stdin', Buffer.from(text));
    for (const text of ['1', '2']) await a.send('resize', Buffer.from(text));
    await a.send('stdin', Buffer.from('d'));
    void a.close({});
    await clock.advance(100);
    const pieces: string[] = [];
    for await (const { channel, data } of b) pieces.push(`${channel} ${Buffer.from(data ?? '').toString()}`);
    assert.deepEqual(pieces, ['stdin abc', 'resize 1', 'resize 2', 'stdin d']);
  });

  it('tells the failure of the far end', async () => {
    const clock = new FakeClock();
    const { a, b } = pair(clock);
    void b.close({ failure: { reason: 'NotFound', message: 'no such file' } });
    await clock.advance(100);
    await assert.rejects(a.ending, { reason: 'NotFound', message: 'no such file' });
    await assert.rejects(a.send('stdin', Buffer.from('x')));
  });

  it('ends at once on a reset, on both sides, and wakes whoever waits', async () => {
    const clock = new FakeClock();
    const { a, b } = pair(clock);
    const sending = b.send('stdout', Buffer.alloc(100_000));
    const reading = a.ending;
    await clock.advance(10);
    a.reset(new ApiError('Timeout', 'the caller has gone'));
    await assert.rejects(sending, { reason: 'Timeout' });
    await assert.rejects(reading, { reason: 'Timeout' });
    await assert.rejects(b.ending, { message: 'the caller has gone' });
  });

  it('holds back a sender whose reader takes nothing, and lets it go on when room is made', async () => {
    const clock = new FakeClock();
    const { a, b } = pair(clock);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 64; sent++) await a.send('data', Buffer.alloc(1024, sent));
      a.end('data');
    })();
    await clock.advance(60_000); // pings and asking for room change nothing
    assert.ok(sent <= windowBytes / 1024, `${sent} frames are on their way`);
    assert.ok(b.held.unread <= windowBytes);
    const got = readAll(b);
    await clock.advance(5_000);
    await sending;
    void a.close({});
    await clock.advance(100);
    assert.equal((await got)['data']?.length, 64 * 1024 + 1);
  });

  it('goes on when the word of new room was lost', async () => {
    const clock = new FakeClock();
    let deaf = false;
    const { a, b } = pair(clock, (frame) => (deaf && frame.kind === 'ack' ? 'drop' : 'pass'));
    const sending = a.send('data', Buffer.alloc(12 * 1024));
    await clock.advance(10);
    deaf = true;
    const got = readAll(b);
    await clock.advance(100);
    deaf = false;
    await clock.advance(10_000);
    await sending;
    void a.close({});
    await clock.advance(1_000);
    assert.equal((await got)['data']?.length, 12 * 1024);
  });

  it('takes an end that is silent for 30 s for gone', async () => {
    const clock = new FakeClock();
    let cut = false;
    const { a, b } = pair(clock, () => (cut ? 'drop' : 'pass'));
    await clock.advance(120_000); // idle, but alive
    assert.equal(a.signal.aborted || b.signal.aborted, false);
    cut = true;
    await clock.advance(36_000);
    await assert.rejects(a.ending, { reason: 'ServiceUnavailable', message: 'b has not answered for 30 s' });
    await assert.rejects(b.ending, { reason: 'ServiceUnavailable' });
    assert.equal(clock.pending, 0);
  });

  it('ends a stream that nobody uses, where that is asked for', async () => {
    const clock = new FakeClock();
    const { a } = pair(clock, () => 'pass', 60_000);
    await clock.advance(50_000);
    assert.equal(a.signal.aborted, false);
    await clock.advance(20_000);
    await assert.rejects(a.ending, { reason: 'Timeout', message: 'nothing was sent either way for 60 s' });
  });

  it('drops what exceeds the room that it gave', async () => {
    const clock = new FakeClock();
    const a = new Duplex({ clock, windowBytes, peerWindowBytes: 0, frameBytes, peer: 'x', transmit: () => undefined });
    for (let number = 0; number < 100; number++) {
      a.receive({ kind: 'data', number: number + 1, channel: 'c', data: Buffer.alloc(1024), next: 0, room: 0 });
      assert.ok(a.held.unread <= windowBytes);
    }
    a.reset(new ApiError('Timeout', 'over'));
  });

  it('brings everything over, once and in order, on a link that loses, repeats and reorders; never holding more than a window', async () => {
    const link = fc.record({ seed: fc.nat(), drop: fc.nat(40), twice: fc.nat(20), late: fc.nat(30) }); // in a hundred
    const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(link, sizes, sizes, async ({ seed, drop, twice, late }, up, down) => {
        const clock = new FakeClock();
        let state = seed;
        let most = 0;
        const { a, b } = pair(clock, () => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
          const dice = (state >>> 8) % 100;
          if (dice < drop) return 'drop';
          return dice < drop + twice ? 'twice' : dice < drop + twice + late ? 'late' : 'pass';
        });
        const measure = (): void => {
          for (const { unacked, unread } of [a.held, b.held]) most = Math.max(most, unacked, unread);
        };
        const talk = async (end: Duplex, channel: string, lengths: readonly number[]): Promise<string> => {
          let text = '';
          for (const [index, length] of lengths.entries()) {
            const part = String.fromCharCode(97 + (index % 26)).repeat(length);
            text += part;
            await end.send(channel, Buffer.from(part));
            measure();
          }
          end.end(channel);
          return `${text}.`;
        };
        const read = async (end: Duplex): Promise<string> => {
          let text = '';
          for await (const { data } of end) {
            measure();
            if (data === undefined) return `${text}.`;
            text += Buffer.from(data).toString();
          }
          return text;
        };
        const all = Promise.all([talk(a, 'up', up), talk(b, 'down', down), read(b), read(a)]);
        let done = false;
        all.then(
          () => (done = true),
          () => (done = true),
        );
        for (let round = 0; round < 400 && !done; round++) await clock.advance(1_000);
        const [sentUp, sentDown, gotUp, gotDown] = await all;
        assert.equal(gotUp, sentUp);
        assert.equal(gotDown, sentDown);
        assert.ok(most <= windowBytes, `${most} bytes were held`);
        a.reset(new ApiError('Timeout', 'over'));
        b.reset(new ApiError('Timeout', 'over'));
      }),
      { numRuns: 300 },
    );
  }).timeout(30_000);
});

describe('bus/streams/frame', () => {
  it('survives the way through a message', () => {
    const frame: Frame = { kind: 'data', number: 7, channel: 'stdin', data: Buffer.from('x'), next: 3, room: 99 };
    assert.deepEqual(readFrame(frameMessage('s', frame)), frame);
    assert.equal(costOf(frame), 257);
    assert.equal(costOf({ ...frame, kind: 'close' }), 0);
  });

  it('is not made of what is none', () => {
    const message = frameMessage('s', { kind: 'ack', number: 0, channel: '', data: Buffer.alloc(0), next: 0, room: 0 });
    for (const wrong of [{ 'troupe-frame': 'odd' }, { 'troupe-next': '-1' }, { 'troupe-room': 'x' }]) {
      assert.equal(readFrame({ ...message, headers: { ...message.headers, ...wrong } }), undefined);
    }
  });
});

describe('bus/streams/requests', () => {
  const target = { namespace: 'default', pod: 'web' };
  const wrong = [
    [{ verb: 'dance', ...target }, /verb "dance" is not one of logs, exec/],
    [{ verb: 'exec', ...target }, /command must be a list of words/],
    [{ verb: 'exec', ...target, command: ['a', 1] }, /command must be a list of words/],
    [{ verb: 'logs', namespace: 'default' }, /pod must be a string/],
    [{ verb: 'logs', ...target, tailLines: 'all' }, /tailLines must be a number/],
    [{ verb: 'port-forward', ...target, port: 70_000 }, /port 70000 must be a whole number from 1 to 65535/],
    [null, /verb undefined/],
  ] as const;
  for (const [value, message] of wrong) {
    it(`refuses ${JSON.stringify(value)}`, () => {
      assert.throws(() => checkRequest(value), { reason: 'BadRequest', message });
    });
  }
});

describe('bus/streams over a bus', () => {
  const request: StreamRequest = { verb: 'exec', namespace: 'default', pod: 'web', command: ['cat'] };
  let stop: AbortController;
  let bus: MemoryBus;
  let caller: MemoryBus;
  beforeEach(() => {
    stop = new AbortController();
    bus = new MemoryBus();
    caller = new MemoryBus(bus.broker);
  });
  afterEach(() => {
    stop.abort();
  });

  const serve = (open: StreamServerOptions['open'], more: Partial<StreamServerOptions> = {}): void => {
    const shared = { cluster: 'c', node: 'n1', clock: systemClock, log: silentLog, signal: stop.signal };
    serveStreams({ bus, ...shared, open, ...more });
  };
  /** Gives back what comes, and ends with 5 when stdin does. */
  const echo = async (): Promise<Opened> => ({
    async run(stream) {
      for await (const { data } of stream) {
        if (data === undefined) return { exitCode: 5 };
        await stream.send('stdout', data);
      }
      return {};
    },
  });
  const open = (signal = new AbortController().signal): Promise<Duplex> =>
    openStream({ bus: caller, cluster: 'c', node: 'n1', timeoutMs: 300 }, request, signal);

  it('opens, talks and closes', async () => {
    serve(echo);
    const stream = await open();
    await stream.send('stdin', Buffer.from('one'));
    stream.end('stdin');
    assert.deepEqual(await readAll(stream), { stdout: 'one' });
    assert.deepEqual(await stream.ending, { exitCode: 5 });
  });

  it('brings 4 MB through a bus that loses every fifth message', async () => {
    serve(echo);
    const stream = await open();
    bus.dropEvery(5);
    caller.dropEvery(5);
    const data = Buffer.alloc(4 << 20, 'abcdefg');
    const sending = stream.send('stdin', data).then(() => {
      stream.end('stdin');
    });
    const parts: Uint8Array[] = [];
    for await (const piece of stream) if (piece.data !== undefined) parts.push(piece.data);
    await sending;
    assert.ok(Buffer.concat(parts).equals(data));
  }).timeout(30_000);

  it('goes on after the bus was away', async () => {
    serve(echo);
    const stream = await open();
    caller.disconnect();
    await stream.send('stdin', Buffer.from('meanwhile'));
    stream.end('stdin');
    caller.reconnect();
    assert.deepEqual(await readAll(stream), { stdout: 'meanwhile' });
  });

  it('says why it cannot be opened', async () => {
    await assert.rejects(open(), { reason: 'ServiceUnavailable', message: /agent of node "n1" does not listen/ });
    serve(async () => {
      throw new ApiError('BadRequest', 'which container?');
    });
    await assert.rejects(open(), { reason: 'BadRequest', message: 'which container?' });
    caller.disconnect();
    await assert.rejects(open(), { reason: 'ServiceUnavailable', message: /the bus is away/ });
  });

  it('opens once when asked twice, and at most as many as allowed', async () => {
    let opened = 0;
    let release = (): void => undefined;
    serve(
      async () => {
        opened++;
        await new Promise<void>((resolve) => (release = resolve));
        return echo();
      },
      { maxStreams: 1 },
    );
    const opening = open();
    await until(() => opened === 1, { what: 'the question' });
    await assert.rejects(open(), { reason: 'TooManyRequests' });
    setTimeout(() => {
      release();
    }, 150); // after the question has been asked again
    const stream = await opening;
    assert.equal(opened, 1);
    stream.reset(new ApiError('Timeout', 'enough'));
  });

  it('tells the worker when the caller has gone', async () => {
    let gone = false;
    serve(async (_request, signal) => {
      signal.addEventListener('abort', () => (gone = true));
      return { run: () => new Promise(() => undefined) };
    });
    const leaving = new AbortController();
    await open(leaving.signal);
    leaving.abort();
    await until(() => gone, { what: 'the worker hears of it' });
  });

  it('ends when the agent is started anew or stops', async () => {
    serve(echo);
    const first = await open();
    stop.abort();
    await assert.rejects(first.ending, { message: 'the agent of node "n1" is stopping' });
    stop = new AbortController();
    serve(echo);
    const second = await open();
    bus.disconnect(); // it dies without a word
    stop.abort();
    bus = new MemoryBus(bus.broker);
    stop = new AbortController();
    serve(echo);
    await second.send('stdin', Buffer.from('x'));
    await assert.rejects(second.ending, { message: /knows this stream no more/ });
    await settle();
  });
});
