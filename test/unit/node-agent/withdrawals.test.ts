import assert from 'node:assert/strict';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { readStopping, tell, withdrawnSubject, type StoppingPod } from '../../../lib/bus/traffic-facts.ts';
import { withdrawalBoundMs, withdrawalTimeoutAnnotation } from '../../../lib/api/withdrawal.ts';
import { Withdrawals, type Confirmation } from '../../../node-agent/withdrawal/withdrawals.ts';
import { aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('node-agent/withdrawal', () => {
  let bus: MemoryBus;
  let clock: FakeClock;
  let withdrawals: Withdrawals;
  let asked: (readonly StoppingPod[])[];
  const stop = new AbortController();
  const pod = aPod({ name: 'web-1', uid: 'u1', resourceVersion: '12' });

  beforeEach(() => {
    const broker = new MemoryBroker();
    bus = new MemoryBus(broker);
    clock = new FakeClock();
    asked = [];
    const ear = new MemoryBus(broker);
    ear.subscribe(
      'c.stopping.n1',
      (message) => {
        const fact = readStopping(message);
        if (!('wrong' in fact)) asked.push(fact.pods);
      },
      () => undefined,
    );
    withdrawals = new Withdrawals({ bus, cluster: 'c', node: 'n1', clock, signal: stop.signal });
  });

  const answer = (waitingFor: readonly string[]): void => {
    tell(bus, withdrawnSubject('c', 'n1'), { pods: [{ uid: 'u1', waitingFor }] });
  };
  const outcome = async (work: Promise<Confirmation>): Promise<Confirmation | undefined> =>
    Promise.race([work, clock.advance(0).then(() => undefined)]);

  it('asks once for all pods of a moment, again until answered, and no more then', async () => {
    const first = withdrawals.confirmed(pod, 5_000);
    const second = withdrawals.confirmed(aPod({ name: 'web-2', uid: 'u2', resourceVersion: '13' }), 5_000);
    await clock.advance(0);
    assert.deepEqual(asked, [
      [
        { key: 'default/web-1', uid: 'u1', revision: 12 },
        { key: 'default/web-2', uid: 'u2', revision: 13 },
      ],
    ]);
    answer([]);
    assert.deepEqual(await first, { outcome: 'confirmed', waitingFor: [] });
    await clock.advance(200);
    assert.deepEqual(asked.at(-1), [{ key: 'default/web-2', uid: 'u2', revision: 13 }]);
    await clock.advance(5_000);
    assert.equal((await second).outcome, 'late');
    const before = asked.length;
    await clock.advance(1_000);
    assert.equal(asked.length, before);
  });

  it('says who had not confirmed when the time was over', async () => {
    const work = withdrawals.confirmed(pod, 1_000);
    await clock.advance(300);
    answer(['proxy/n7']);
    assert.equal(await outcome(work), undefined);
    await clock.advance(700);
    assert.deepEqual(await work, { outcome: 'late', waitingFor: ['proxy/n7'] });
  });

  it('waits a moment only while there is no bus, since everybody reads without it', async () => {
    bus.disconnect();
    const work = withdrawals.confirmed(pod, 5_000);
    await clock.advance(800);
    assert.equal(await outcome(work), undefined);
    await clock.advance(600);
    assert.equal((await work).outcome, 'no bus');
  });

  const bounds: readonly { graceMs: number; asks?: string; want: number }[] = [
    { graceMs: 30_000, want: 5_000 },
    { graceMs: 2_000, want: 1_000 },
    { graceMs: 0, want: 0 },
    { graceMs: 30_000, asks: '0', want: 0 },
    { graceMs: 30_000, asks: '12.5', want: 12_500 },
    { graceMs: 2_000, asks: '10', want: 2_000 },
    { graceMs: 30_000, asks: 'soon', want: 5_000 },
  ];
  for (const { graceMs, asks, want } of bounds)
    it(`waits at most ${want} ms of a grace of ${graceMs} ms${asks === undefined ? '' : ` when asked for ${asks} s`}`, () => {
      const annotations = asks === undefined ? {} : { [withdrawalTimeoutAnnotation]: asks };
      assert.equal(withdrawalBoundMs({ metadata: { ...pod.metadata, annotations } }, graceMs), want);
    });
});
