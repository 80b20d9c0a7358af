import assert from 'node:assert/strict';
import { newGate } from '../../../../services/apiserver/rest/gate.ts';
import type { RestReply, RestRequest } from '../../../../services/apiserver/rest/message.ts';
import { measured, type RestMetrics } from '../../../../services/apiserver/rest/metrics.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const ok: RestReply = { status: 200, type: 'text/plain', body: Buffer.from('ok') };

/** A gate before a door that answers when it is told to, with room for two of each sort. */
function aGate() {
  const clock = new FakeClock();
  const waiting: (() => void)[] = [];
  const told: string[] = [];
  const metrics: RestMetrics = {
    answered: ({ verb, resource }, code) => void told.push(`${verb} ${resource} ${code}`),
    entered: (sort) => (told.push(`${sort} in`), () => void told.push(`${sort} out`)),
    streamOpened: () => () => undefined,
  };
  const door = (): Promise<RestReply> =>
    new Promise((resolve) =>
      waiting.push(() => {
        resolve(ok);
      }),
    );
  const gate = newGate(door, { clock, metrics, maxReads: 2, maxWrites: 1 });
  const ask = (method: string, path: string) => {
    const out = new AbortController();
    const [pathname = '', query = ''] = path.split('?');
    const request: RestRequest = {
      ...{ method, path: pathname, query: new URLSearchParams(query), traceparent: undefined, signal: out.signal },
      header: () => undefined,
      onOver: (listener) => {
        out.signal.addEventListener('abort', listener);
      },
      body: () => Promise.resolve(Buffer.alloc(0)),
    };
    return {
      reply: gate(request),
      out: () => {
        out.abort();
      },
    };
  };
  return { clock, waiting, told, ask };
}
const pods = '/api/v1/namespaces/default/pods';

describe('apiserver/rest: the gate', () => {
  it('lets in as many as can be answered, reads and writes each for themselves', async () => {
    const { ask, waiting } = aGate();
    const [one] = [ask('GET', pods), ask('GET', `${pods}/a`), ask('POST', pods)];
    const late = await ask('GET', pods).reply;
    assert.equal(late.status, 429);
    assert.equal(late.headers?.['retry-after'], '1');
    assert.equal((await ask('DELETE', `${pods}/a`).reply).status, 429);
    assert.equal(waiting.length, 3);
    waiting[0]?.();
    assert.equal((await one?.reply)?.status, 200);
    assert.equal((await ask('GET', pods).reply).status, 429, 'its answer is not out');
    one?.out();
    ask('GET', pods);
    assert.equal(waiting.length, 4);
  });

  it('counts none that last by their nature, and holds up nobody who asks how we are', () => {
    const { ask, waiting } = aGate();
    for (let count = 0; count < 5; count++) {
      ask('GET', count % 2 === 0 ? `${pods}?watch=1` : '/api/v1/watch/namespaces/default/pods');
      ask('GET', `${pods}/a/log?follow=true`);
      ask('GET', `${pods}/a/proxy/x`);
    }
    ask('GET', pods);
    ask('GET', pods);
    ask('GET', '/livez');
    assert.equal(waiting.length, 18);
  });

  it('gives each its time, but not those that last', async () => {
    const { ask, clock } = aGate();
    const one = ask('GET', pods);
    let isAnswered = false;
    void ask('GET', `${pods}?watch=true`).reply.then(() => (isAnswered = true));
    await clock.advance(60_000);
    const reply = await one.reply;
    assert.equal(reply.status, 504);
    assert.match(Buffer.from(reply.body as Buffer).toString(), /not answered within 60 s/);
    assert.equal(isAnswered, false);
  });

  it('counts what was asked and how it ended', async () => {
    const { ask, waiting, told } = aGate();
    const one = ask('GET', `${pods}/a/log`);
    waiting[0]?.();
    await one.reply;
    one.out();
    assert.deepEqual(told, ['read in', 'get pods/log 200', 'read out']);
  });

  it('uses no words in its figures but its own', () => {
    assert.deepEqual(measured('get', { resource: 'wishes' }), { verb: 'get', resource: 'other' });
    assert.deepEqual(measured('get', { resource: 'pods', subresource: 'x1' }), { verb: 'get', resource: 'other' });
    assert.deepEqual(measured('get', { resource: 'pods', subresource: 'log' }), { verb: 'get', resource: 'pods/log' });
    assert.deepEqual(measured('other', undefined), { verb: 'other', resource: 'other' });
  });
});
