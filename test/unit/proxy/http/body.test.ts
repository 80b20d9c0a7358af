import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Body } from '../../../../services/proxy/userspace/http/body.ts';
import { BadMessage, type Framing } from '../../../../services/proxy/userspace/http/head.ts';

/** Where the body ends when the bytes arrive in pieces of these sizes; -1 when it does not. */
function endOf(framing: Framing, text: string, sizes: readonly number[] = []): number {
  const body = new Body(framing);
  const data = Buffer.from(text, 'latin1');
  let at = 0;
  for (const size of [...sizes, data.length]) {
    const piece = data.subarray(at, at + size);
    const end = body.take(piece, 0);
    at += end;
    if (body.done) return at;
    assert.equal(end, piece.length);
  }
  return -1;
}

describe('proxy/http/body', () => {
  const chunked: Framing = { type: 'chunked' };
  const cases = [
    { it: 'a length', framing: { type: 'length', length: 3 } as const, text: 'abcGET /', want: 3 },
    { it: 'no body', framing: { type: 'none' } as const, text: 'GET /', want: 0 },
    { it: 'chunks', framing: chunked, text: '3\r\nabc\r\n0\r\n\r\nGET', want: 13 },
    { it: 'chunks with extensions', framing: chunked, text: '3;a="b"\r\nabc\r\n0;x\r\n\r\nGET', want: 21 },
    { it: 'trailers', framing: chunked, text: '0\r\nA: b\r\nC: d\r\n\r\nGET', want: 17 },
    { it: 'an unfinished body', framing: chunked, text: '3\r\nabc\r\n0\r\n', want: -1 },
    { it: 'the end of the connection', framing: { type: 'until-close' } as const, text: 'anything', want: -1 },
  ];
  for (const { it: says, framing, text, want } of cases)
    it(`finds the end: ${says}`, () => assert.equal(endOf(framing, text), want));

  for (const text of [
    ...['\r\n', 'x\r\n', '-1\r\n', '3\nabc', '3\r\nabcd\r\n', '3\r\nabc\n', ' 3\r\n', '3 \r\n'],
    ...['ffffffffffffff\r\n', '0\r\nA: b\n\r\n', '0\r\n\n', '0\r\n\rx'],
  ])
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => endOf(chunked, text), BadMessage));

  it('finds the same end however the bytes are cut', () => {
    const chunk = fc.string({ minLength: 1, maxLength: 40 }).map((text) => Buffer.from(text).toString('latin1'));
    const property = fc.property(fc.array(chunk), fc.boolean(), fc.array(fc.integer({ min: 1, max: 9 })), (...made) => {
      const [chunks, withTrailer, sizes] = made;
      const body = `${chunks.map((each) => `${each.length.toString(16)}\r\n${each}\r\n`).join('')}0\r\n${withTrailer ? 'T: 1\r\n' : ''}\r\n`;
      assert.equal(endOf(chunked, `${body}GET / HTTP/1.1\r\n`, sizes), body.length);
    });
    fc.assert(property);
  });
});
