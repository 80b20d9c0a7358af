import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Clock } from '../../../lib/base/clock.ts';
import { newLog } from '../../../lib/base/log.ts';
import type { Target } from '../../../services/proxy/table/table.ts';
import { builtIn } from '../../../services/proxy/userspace/policy/registry.ts';
import { Upstream } from '../../../services/proxy/userspace/upstream.ts';
import { mostWaiting, WaitingRoom } from '../../../services/proxy/userspace/waiting-room.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('proxy/waiting-room', () => {
  let clock: FakeClock;
  let wanted: string[][];
  let inVain: string[];
  let room: WaitingRoom;
  beforeEach(() => {
    clock = new FakeClock();
    [wanted, inVain] = [[], []];
    room = new WaitingRoom({
      clock,
      onWanted: (services) => wanted.push([...services]),
      onInVain: (target, why) => inVain.push(`${target} ${why}`),
    });
  });
  const carriage = { byRequest: false, policy: undefined, policyOptions: '', proxyProtocol: undefined };
  const target = (name: string, backends: readonly string[] = [], holdSeconds?: number): Target => ({
    ...{ id: `default/${name}/tcp/80`, protocol: 'TCP', backends, affinitySeconds: 0, masquerade: false },
    carriage: { ...carriage, ...(holdSeconds !== undefined && { holdSeconds }) },
  });
  const upstream = (of: Target, at: Clock = clock): Upstream =>
    new Upstream(of, {
      ...{ clock: at, log: newLog('test', { level: 'silent' }), policies: builtIn, nodeName: 'n1' },
      endpoints: () => undefined,
    });

  const wait = (at: Upstream, client = new EventEmitter()): Promise<boolean> =>
    room.wait(at, client, clock.monotonic());

  it('takes nobody who may not wait, or has somebody to go to', async () => {
    assert.equal(room.takes(upstream(target('a', ['10.0.0.1:80'], 9))), false);
    assert.equal(room.takes(upstream(target('a', ['10.0.0.1:80'])), 1), false);
    assert.equal(room.takes(upstream(target('b'))), false);
    assert.equal(room.takes(upstream(target('b', [], 9))), true);
    assert.equal(await wait(upstream(target('b'))), false);
    assert.deepEqual([wanted, inVain], [[], []]);
  });

  it('gives endpoints that took nobody a moment, ever longer, until the time is over', async () => {
    const web = upstream(target('web', ['10.0.0.1:80'], 20));
    assert.equal(room.takes(web, 1), true);
    const since = clock.monotonic();
    const pauses: number[] = [];
    for (;;) {
      const before = clock.monotonic();
      let answer: boolean | undefined;
      void room.wait(web, new EventEmitter(), since).then((came) => (answer = came));
      while (answer === undefined) await clock.advance(25);
      if (!answer) break;
      pauses.push(clock.monotonic() - before);
    }
    assert.equal(pauses[0], 25);
    assert.ok(pauses.every((pause) => pause <= 1_000) && pauses.length < 80, pauses.join(' '));
    assert.ok(clock.monotonic() - since >= 20_000);
    assert.match(inVain.join(), /had no endpoint that could be reached: connections waited for 20 s/);
  });

  it('lets all go on with the first backend, and says that a Service is wanted once a second until then', async () => {
    const web = upstream(target('web', [], 30));
    const all = Promise.all([1, 2, 3].map(() => wait(web)));
    assert.deepEqual(wanted, [['default/web']]);
    assert.equal(web.told().waiting, 3);
    await clock.advance(2_500);
    assert.equal(wanted.length, 3);
    web.update(target('web', ['10.0.0.1:80'], 30));
    assert.deepEqual(await all, [true, true, true]);
    assert.equal(web.told().waiting, 0);
    await clock.advance(10_000);
    assert.equal(wanted.length, 3);
    assert.deepEqual(inVain, []);
  });

  it('says once a second, too, of clients that come and go', async () => {
    const web = upstream(target('web', [], 30));
    for (let i = 0; i < 20; i++) {
      const client = new EventEmitter();
      const waited = wait(web, client);
      client.emit('close');
      assert.equal(await waited, false);
    }
    assert.deepEqual(wanted, [['default/web']]);
  });

  it('ends when the time is over, the port is gone, or the client', async () => {
    const web = upstream(target('web', [], 2));
    const late = wait(web);
    await clock.advance(2_000);
    assert.equal(await late, false);
    assert.deepEqual(inVain, ['default/web/tcp/80 had no endpoint: connections waited for 2 s, and were then refused']);
    const closing = wait(web);
    web.close();
    assert.equal(await closing, false);
    assert.equal(inVain.length, 1);
    assert.equal(room.takes(web), false);
  });

  it('takes so many of one Service and of all, and refuses more at once', async () => {
    const services = Math.ceil(mostWaiting.ofProxy / mostWaiting.ofService) + 1;
    let refused = 0;
    const upstreams = Array.from({ length: services }, (_, i) => upstream(target(`s${i}`, [], 30)));
    const waits = upstreams.flatMap((each) =>
      Array.from({ length: mostWaiting.ofService + 1 }, () => wait(each).then((came) => void (came ? 0 : refused++))),
    );
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(refused, waits.length - mostWaiting.ofProxy);
    for (const each of upstreams) each.close();
    await Promise.all(waits);
    assert.equal(refused, waits.length);
    const again = wait(upstream(target('again', [], 1)));
    await clock.advance(1_000);
    assert.equal(await again, false);
  });
});
