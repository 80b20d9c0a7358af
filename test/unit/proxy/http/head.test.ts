import assert from 'node:assert/strict';
import {
  BadMessage,
  parseRequest,
  parseResponse,
  requestText,
  responseText,
} from '../../../../services/proxy/userspace/http/head.ts';

const crlf = (...lines: readonly string[]): string => lines.join('\r\n');
const sent = (...lines: readonly string[]): string => requestText(parseRequest(crlf(...lines)), '10.0.0.9');

describe('proxy/http/head', () => {
  const requests = [
    {
      it: 'sends a head on as it came, with the client added',
      head: ['GET /a?b HTTP/1.1', 'Host: x', 'aCCept:  */* '],
      want: ['GET /a?b HTTP/1.1', 'Host: x', 'aCCept:  */* ', 'X-Forwarded-For: 10.0.0.9', '', ''],
    },
    {
      it: 'adds to the list of those who forwarded before',
      head: ['GET / HTTP/1.1', 'x-forwarded-for: 192.0.2.1', 'Host: x'],
      want: ['GET / HTTP/1.1', 'x-forwarded-for: 192.0.2.1, 10.0.0.9', 'Host: x', '', ''],
    },
    {
      it: 'leaves out what concerns one connection alone',
      head: ['GET / HTTP/1.1', 'Connection: keep-alive, X-Mine', 'Keep-Alive: timeout=5', 'X-Mine: 1', 'Host: x'],
      want: ['GET / HTTP/1.1', 'Host: x', 'X-Forwarded-For: 10.0.0.9', '', ''],
    },
    {
      it: 'keeps a wish to speak another protocol',
      head: ['GET / HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket'],
      want: [
        ...['GET / HTTP/1.1', 'X-Forwarded-For: 10.0.0.9', 'Connection: Upgrade', 'Upgrade: websocket'],
        ...['', ''],
      ],
    },
    {
      it: 'drops an Upgrade that Connection does not name',
      head: ['GET / HTTP/1.1', 'Upgrade: h2c', 'Host: x'],
      want: ['GET / HTTP/1.1', 'Host: x', 'X-Forwarded-For: 10.0.0.9', '', ''],
    },
    {
      it: 'cannot be told to drop the length of a body',
      head: ['POST / HTTP/1.1', 'Connection: content-length', 'Content-Length: 3'],
      want: ['POST / HTTP/1.1', 'Content-Length: 3', 'X-Forwarded-For: 10.0.0.9', '', ''],
    },
    {
      it: 'lets a client ask for trailers and for nothing else by TE',
      head: ['POST / HTTP/1.1', 'TE: trailers', 'TE: gzip'],
      want: ['POST / HTTP/1.1', 'TE: trailers', 'X-Forwarded-For: 10.0.0.9', '', ''],
    },
  ];
  for (const { it: says, head, want } of requests) it(says, () => assert.equal(sent(...head), crlf(...want)));

  const framings = [
    { head: ['GET / HTTP/1.1'], want: { type: 'none' } },
    { head: ['POST / HTTP/1.1', 'Content-Length: 12'], want: { type: 'length', length: 12 } },
    { head: ['POST / HTTP/1.1', 'Content-Length: 0'], want: { type: 'none' } },
    { head: ['POST / HTTP/1.1', 'Transfer-Encoding: chunked'], want: { type: 'chunked' } },
    { head: ['POST / HTTP/1.1', 'Transfer-Encoding: gzip, Chunked'], want: { type: 'chunked' } },
  ];
  for (const { head, want } of framings)
    it(`knows the end of ${head.join(', ')}`, () => assert.deepEqual(parseRequest(crlf(...head)).framing, want));

  /** What two readers could read differently, or that is no HTTP/1. */
  const refused: readonly (readonly string[])[] = [
    ['POST / HTTP/1.1', 'Content-Length: 3', 'Transfer-Encoding: chunked'],
    ['POST / HTTP/1.1', 'Content-Length: 3', 'Content-Length: 4'],
    ['POST / HTTP/1.1', 'Content-Length: 3', 'Content-Length: 3'],
    ['POST / HTTP/1.1', 'Content-Length: 3, 3'],
    ['POST / HTTP/1.1', 'Content-Length: +3'],
    ['POST / HTTP/1.1', 'Content-Length: 0x3'],
    ['POST / HTTP/1.1', 'Content-Length: '],
    ['POST / HTTP/1.1', 'Transfer-Encoding: chunked, gzip'],
    ['POST / HTTP/1.1', 'Transfer-Encoding: xchunked'],
    ['POST / HTTP/1.1', 'Transfer-Encoding: chunked, chunked'],
    ['POST / HTTP/1.0', 'Transfer-Encoding: chunked'],
    ['GET / HTTP/1.1', 'Host : x'],
    ['GET / HTTP/1.1', 'Host: x', ' folded: y'],
    ['GET / HTTP/1.1', 'no colon'],
    ['GET / HTTP/1.1', ': x'],
    ['GET / HTTP/1.1', 'Host: a\nEvil: b'],
    ['GET / HTTP/1.1', 'Host: a\rEvil: b'],
    ['GET / HTTP/1.1', 'Host: a\0'],
    ['GET / HTTP/2.0'],
    ['GET  / HTTP/1.1'],
    ['GET / HTTP/1.1 '],
    ['/ HTTP/1.1'],
    [''],
    ['G(T / HTTP/1.1'],
  ];
  for (const head of refused)
    it(`refuses ${JSON.stringify(head.join('|'))}`, () => assert.throws(() => parseRequest(crlf(...head)), BadMessage));

  it('says that CONNECT is not served', () =>
    assert.throws(() => parseRequest('CONNECT x:1 HTTP/1.1'), { status: 501 }));

  const answers = [
    { it: 'no body after HEAD', lines: ['HTTP/1.1 200 OK', 'Content-Length: 5'], method: 'HEAD', want: 'none' },
    { it: 'no body of 304', lines: ['HTTP/1.1 304 x', 'Content-Length: 5'], want: 'none' },
    { it: 'no body of 204', lines: ['HTTP/1.1 204 No Content'], want: 'none' },
    { it: 'a length', lines: ['HTTP/1.1 200 OK', 'Content-Length: 5'], want: 'length' },
    { it: 'chunks', lines: ['HTTP/1.1 200', 'Transfer-Encoding: chunked'], want: 'chunked' },
    { it: 'the end of the connection', lines: ['HTTP/1.1 200 OK'], want: 'until-close', keeps: false },
    { it: 'HTTP/1.0 closes', lines: ['HTTP/1.0 200 OK', 'Content-Length: 1'], want: 'length', keeps: false },
  ];
  for (const { it: says, lines, method = 'GET', want, keeps = true } of answers)
    it(`reads an answer: ${says}`, () => {
      const { framing, persistent } = parseResponse(crlf(...lines), method);
      assert.deepEqual([framing.type, persistent], [want, keeps]);
    });

  it('takes what a server says of its connection for itself', () => {
    const text = crlf('HTTP/1.1 200 OK', 'Keep-Alive: timeout=5', 'A: b', 'Connection: keep-alive');
    const head = parseResponse(text, 'GET');
    assert.equal(head.fields.keepsFor, 5);
    assert.equal(responseText(text, head, false), crlf('HTTP/1.1 200 OK', 'A: b', '', ''));
    assert.equal(responseText(text, head, true), crlf('HTTP/1.1 200 OK', 'A: b', 'Connection: close', '', ''));
  });

  it('passes other answers on to the letter', () => {
    const text = crlf('HTTP/1.1 404 Nöt here', 'sEt-cookie: a', 'Set-Cookie: b');
    assert.equal(responseText(text, parseResponse(text, 'GET'), false), `${text}\r\n\r\n`);
  });
});
