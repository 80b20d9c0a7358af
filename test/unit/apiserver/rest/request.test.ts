import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { ApiError } from '../../../../lib/base/errors.ts';
import { targetOf } from '../../../../services/apiserver/rest/request.ts';
import { Waiter, Waiters } from '../../../../services/apiserver/rest/waiting.ts';
import { until } from '../../../support/until.ts';
import { aDoor, closeDoors } from './a-door.ts';

describe('apiserver/rest: what a request line asks for', () => {
  const byTheStandard = (url: string): readonly string[] => {
    const { pathname, searchParams } = new URL(url, 'http://server');
    return [pathname, searchParams.toString()];
  };
  const read = (url: string): readonly string[] => {
    const { path, query } = targetOf(url);
    return [path, query.toString()];
  };

  for (const url of [
    '/',
    '/api/v1/namespaces/default/pods',
    '/api/v1/pods?limit=5&continue=a%2Bb+c',
    '/api/v1/pods?',
    '/api/v1/pods?x=?',
    '/api/v1//pods/',
    '/api/v1/nodes/a%2Fb',
    '/api/../version',
    '/api/./v1',
    '/api/v1/.hidden',
    '/api/v1/services/https:web:443/proxy/a;b',
    '/apis/rbac.authorization.k8s.io/v1/roles/system:node',
    '/version#top',
    '/version?a#b',
    'http://elsewhere/version?x=1',
    '//elsewhere/version',
    '/a\\b',
    '/a b',
    '/ä',
  ])
    it(`reads ${JSON.stringify(url)} as the URL standard does`, () => {
      assert.deepEqual(read(url), byTheStandard(url));
    });

  it('reads any path and query as the URL standard does', () => {
    const letters = fc.string({ unit: fc.constantFrom(...'ab/.:%?#&=+@~ ;\\-_'), maxLength: 20 });
    fc.assert(
      fc.property(letters, (rest) => {
        // Two slashes name a host, and not every text is one.
        fc.pre(!/^[/\\]/.test(rest));
        assert.deepEqual(read(`/${rest}`), byTheStandard(`/${rest}`));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('apiserver/rest: who waits for an answer', () => {
  const why = new ApiError('Timeout', 'gone');

  it('tells all who asked, once, and who asks later at once', () => {
    const waiter = new Waiter();
    const told: string[] = [];
    waiter.onOver(() => told.push('one'));
    waiter.onOver(({ message }) => told.push(message));
    waiter.end(why);
    waiter.end(why);
    waiter.onOver(() => told.push('late'));
    assert.deepEqual(told, ['one', 'gone', 'late']);
  });

  it('has a signal, whenever it is asked for', () => {
    const [early, late] = [new Waiter(), new Waiter()];
    const { signal } = early;
    assert.equal(signal, early.signal);
    assert.equal(signal.aborted, false);
    early.end(why);
    late.end(why);
    assert.equal(signal.reason, why);
    assert.equal(late.signal.reason, why);
  });

  it('lets nobody wait for a server that stops', () => {
    const waiters = new Waiters();
    const connection = { once: () => undefined };
    const before = waiters.present(connection);
    waiters.dismiss();
    const after = waiters.present(connection);
    assert.equal(before.signal.aborted, true);
    assert.equal(after.signal.aborted, true);
  });
});

describe('apiserver/rest: bodies', () => {
  afterEach(closeDoors);
  const maps = '/api/v1/namespaces/default/configmaps';

  it('serves the next request of a connection whose last body was refused', async () => {
    const door = await aDoor();
    const { hostname, port } = new URL(door.url);
    const socket = connect(Number(port), hostname);
    let came = '';
    socket.on('data', (part) => (came += part.toString('latin1')));
    const size = 4 * 1024 * 1024;
    socket.write(
      `POST ${maps} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${size}\r\n\r\n`,
    );
    socket.write(Buffer.alloc(size, 'x'));
    socket.write(`GET ${maps} HTTP/1.1\r\nhost: a\r\n\r\n`);
    try {
      await until(() => came.includes('HTTP/1.1 413') && came.includes('HTTP/1.1 200'), { what: 'both answers' });
    } finally {
      socket.destroy();
    }
  });

  it('forgets a body whose sender has gone', async () => {
    const door = await aDoor();
    const sent = httpRequest(`${door.url}${maps}`, { method: 'POST', headers: { 'content-length': '100' } });
    sent.on('error', () => undefined);
    sent.write('{');
    await until(() => sent.socket?.connecting === false, { what: 'the connection' });
    sent.destroy();
    assert.equal((await door.ask('GET', maps)).status, 200);
  });
});
