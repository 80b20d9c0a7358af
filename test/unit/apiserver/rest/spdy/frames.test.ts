import assert from 'node:assert/strict';
import { constants, createDeflate, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { dictionary, dictionaryChecksum } from '../../../../../services/apiserver/rest/spdy/dictionary.ts';
import { FrameReader, FrameWriter, type Frame } from '../../../../../services/apiserver/rest/spdy/frames.ts';
import { HeaderPacker, HeaderUnpacker } from '../../../../../services/apiserver/rest/spdy/header-block.ts';

const plain = { noNullPrototype: true };
const id = fc.integer({ min: 1, max: 0x7fffffff });
const word = fc.integer({ min: 0, max: 0x7fffffff });
const name = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
const headers = fc.array(fc.tuple(name, fc.string({ maxLength: 200 })), { maxLength: 6 }).map((list) => new Map(list));
const withHeaders = (type: 'open' | 'reply' | 'headers') =>
  fc.record({ type: fc.constant(type), stream: id, headers, isLast: fc.boolean() }, plain);
const bytes = fc.uint8Array({ maxLength: 300 }).map((list) => Buffer.from(list));
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('data' as const), stream: id, data: bytes, isLast: fc.boolean() }, plain),
  withHeaders('open'),
  withHeaders('reply'),
  withHeaders('headers'),
  fc.record({ type: fc.constant('reset' as const), stream: id, status: word }, plain),
  fc.record({ type: fc.constant('ping' as const), id: word }, plain),
  fc.record({ type: fc.constant('goaway' as const), lastStream: id, status: word }, plain),
  fc.record({ type: fc.constant('window' as const), stream: id, bytes: word }, plain),
  fc
    .array(fc.tuple(fc.integer({ min: 0, max: 0xffffff }), word), { maxLength: 4 })
    .map((list) => ({ type: 'settings' as const, settings: new Map(list) })),
);

/** What a reader makes of the bytes, cut at these places. */
function read(all: Buffer, cuts: readonly number[]): Frame[] {
  const reader = new FrameReader();
  const places = [...new Set(cuts.map((cut) => cut % (all.length + 1)))].sort((a, b) => a - b);
  const frames: Frame[] = [];
  let from = 0;
  for (const to of [...places, all.length]) {
    frames.push(...reader.frames(all.subarray(from, to)));
    from = to;
  }
  return frames;
}

/** The same stream of events, however data was cut: its bytes a stream, and what came between them. */
const essence = (frames: readonly Frame[]): unknown[] => {
  const seen: unknown[] = [];
  let last: { stream: number; text: string; isLast: boolean } | undefined;
  for (const each of frames) {
    if (each.type === 'data') {
      if (last?.stream === each.stream && !last.isLast) {
        last.text += each.data.toString('hex');
        last.isLast = each.isLast;
      } else seen.push((last = { stream: each.stream, text: each.data.toString('hex'), isLast: each.isLast }));
      continue;
    }
    last = undefined;
    seen.push(each);
  }
  return seen;
};

describe('apiserver/rest/spdy: frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.nat(5000), { maxLength: 20 }), (frames, cuts) => {
        const writer = new FrameWriter();
        const all = Buffer.concat(frames.map((each) => writer.bytes(each)));
        assert.deepEqual(essence(read(all, cuts)), essence(frames));
      }),
    );
  });

  it('never make a reader do anything but read or throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        try {
          for (const each of new FrameReader().frames(Buffer.from(noise))) assert.ok(each.type);
        } catch (error) {
          assert.ok(error instanceof Error && error.message !== '');
        }
      }),
    );
  });

  it('are on the wire as the standard has them', () => {
    const writer = new FrameWriter();
    assert.equal(writer.bytes({ type: 'ping', id: 1 }).toString('hex'), '800300060000000400000001');
    assert.equal(
      writer.bytes({ type: 'reset', stream: 3, status: 5 }).toString('hex'),
      '80030003000000080000000300000005',
    );
    const data = writer.bytes({ type: 'data', stream: 5, data: Buffer.from('hi'), isLast: true });
    assert.equal(data.toString('hex'), '00000005010000026869');
    const open = writer.bytes({ type: 'open', stream: 1, headers: new Map([['a', 'b']]), isLast: false });
    assert.equal(open.subarray(0, 4).toString('hex'), '80030001');
    assert.equal(open.subarray(8, 24).toString('hex'), `00000001000000000000${'78bbe3c6a7c2'}`);
  });

  const refused = [
    { it: 'another version', bytes: '800200060000000400000001', message: /version 2/ },
    { it: 'a control frame that is too long', bytes: '8003000100020000', message: /131072 bytes, at most 65536/ },
    { it: 'a control frame that is too short', bytes: '800300030000000400000003', message: /too short/ },
    { it: 'headers that are not packed', bytes: '800300020000000a00000001000000000000', message: /as zlib does/ },
  ];
  for (const each of refused)
    it(`are refused for ${each.it}`, () => {
      assert.throws(() => [...new FrameReader().frames(Buffer.from(each.bytes, 'hex'))], each.message);
    });
});

describe('apiserver/rest/spdy: blocks of headers', () => {
  it('have the dictionary that everybody has', () => {
    assert.equal(dictionary.length, 1423);
    const packed = deflateSync('', { dictionary });
    assert.equal(packed.readUInt32BE(2), dictionaryChecksum);
  });

  it('are unpacked as other programs pack them: one stream, which refers to what came before', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(headers, { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        async (blocks, hasDictionary) => {
          const packer = createDeflate(hasDictionary ? { dictionary } : {});
          const unpacker = new HeaderUnpacker();
          for (const block of blocks) {
            packer.write(plainOf(block));
            await new Promise<void>((resolve) => {
              packer.flush(constants.Z_SYNC_FLUSH, resolve);
            });
            assert.deepEqual(unpacker.unpack(packer.read() as Buffer), block);
          }
          packer.destroy();
        },
      ),
    );
  });

  it('are bounded when unpacked', () => {
    const bomb = new HeaderPacker().pack(new Map([['a', 'x'.repeat(1_000_000)]]));
    assert.ok(bomb.length < 10_000);
    assert.throws(() => new HeaderUnpacker().unpack(bomb), /larger than 65536 bytes/);
  });
});

function plainOf(block: ReadonlyMap<string, string>): Buffer {
  const word32 = (value: number): Buffer => {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(value);
    return out;
  };
  const text = (value: string): Buffer[] => [word32(Buffer.byteLength(value)), Buffer.from(value)];
  return Buffer.concat([word32(block.size), ...[...block].flatMap(([key, value]) => [...text(key), ...text(value)])]);
}
