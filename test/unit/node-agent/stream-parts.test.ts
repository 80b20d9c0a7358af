import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { LogsRequest } from '../../../lib/bus/streams/requests.ts';
import { demultiplexed, unframed } from '../../../node-agent/runtime/log-frames.ts';
import { engineTime, logOptions } from '../../../node-agent/streams/logs.ts';

describe('node-agent/runtime/log-frames', () => {
  const frame = (stream: number, text: string): Buffer => {
    const header = Buffer.alloc(8);
    header[0] = stream;
    header.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncIterable<Uint8Array> {
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const size = sizes[turn % sizes.length] ?? 1;
      yield bytes.subarray(at, at + size);
      at += size;
    }
  }

  it('gives each stream its text, in order, wherever the bytes are cut', async () => {
    const part = fc.tuple(fc.constantFrom(1, 2), fc.string({ maxLength: 20 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(part),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        async (parts, sizes) => {
          const bytes = Buffer.concat(parts.map(([stream, text]) => frame(stream, text)));
          const got = { stdout: '', stderr: '' };
          let all = '';
          const found: Buffer[] = [];
          for await (const { channel, data } of demultiplexed(cut(bytes, sizes))) {
            got[channel] += Buffer.from(data).toString('latin1');
            found.push(Buffer.from(data));
          }
          all = Buffer.concat(found).toString('utf8');
          const of = (stream: number): string =>
            Buffer.from(
              parts
                .filter(([each]) => each === stream)
                .map(([, text]) => text)
                .join(''),
            ).toString('latin1');
          assert.deepEqual(got, { stdout: of(1), stderr: of(2) });
          assert.equal(all, parts.map(([, text]) => text).join(''));
        },
      ),
    );
  });

  it('gives what has come of a frame before the rest is there', async () => {
    const bytes = frame(1, 'hello');
    let text = '';
    for await (const data of unframed(cut(bytes.subarray(0, 11), [4]))) text += Buffer.from(data).toString();
    assert.equal(text, 'hel');
  });
});

describe('node-agent/streams/logs', () => {
  const request = (wish: Partial<LogsRequest>): LogsRequest => ({
    verb: 'logs',
    namespace: 'default',
    pod: 'web',
    ...wish,
  });

  it('keeps every digit of a time', () => {
    assert.equal(engineTime('2026-01-31T12:00:00.123456789Z'), '1769860800.123456789');
    assert.equal(engineTime('2026-01-31T13:00:00+01:00'), '1769860800.000000000');
    assert.equal(engineTime('2026-01-31T12:00:00.5z'), '1769860800.500000000');
  });
  for (const text of ['yesterday', '2026-01-31', '2026-13-31T12:00:00Z', '2026-01-31T12:00:00', '1959-01-01T00:00:00Z'])
    it(`refuses the time ${text}`, () => assert.throws(() => engineTime(text), { reason: 'BadRequest' }));

  it('asks the engine for what was wished', () => {
    assert.deepEqual(logOptions(request({}), 0), { follow: false, timestamps: false });
    assert.deepEqual(logOptions(request({ follow: true, tailLines: 0, sinceSeconds: 10 }), 100_500), {
      ...{ follow: true, timestamps: false, tailLines: 0, since: '90' },
    });
  });
  for (const wish of [
    { tailLines: 1.5 },
    { sinceSeconds: 0 },
    { limitBytes: 0 },
    { sinceSeconds: 1, sinceTime: '2026-01-31T12:00:00Z' },
  ])
    it(`refuses ${JSON.stringify(wish)}`, () =>
      assert.throws(() => logOptions(request(wish), 0), { reason: 'BadRequest' }));
});
