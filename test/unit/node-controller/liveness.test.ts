import assert from 'node:assert/strict';
import { Ear, lostAtMs, type LivenessLimits } from '../../../services/node-controller/liveness.ts';

const limits: LivenessLimits = { silenceMs: 2_000, settleMs: 5_000, leaseMs: 40_000 };
const heardAt = (beatMs?: number, renewedMs?: number, leaseMs?: number) => ({ knownMs: 0, beatMs, renewedMs, leaseMs });
const bus = { connected: true, sinceMs: 0 };
const noBus = { connected: false, sinceMs: 60_000 };

describe('node-controller/liveness', () => {
  const rows = [
    { it: 'counts from the last heartbeat', heard: heardAt(100_000), listening: bus, want: 102_000 },
    { it: 'gives a node that was never heard the time to settle', heard: heardAt(), listening: bus, want: 5_000 },
    {
      it: 'is not misled by a Lease renewed between two heartbeats',
      heard: heardAt(100_000, 100_400),
      listening: bus,
      want: 102_000,
    },
    {
      it: 'goes by the Lease of a node that lives without the bus',
      heard: heardAt(100_000, 103_000),
      listening: bus,
      want: 143_000,
    },
    {
      it: 'and by the duration the Lease gives',
      heard: heardAt(100_000, 103_000, 5_000),
      listening: bus,
      want: 108_000,
    },
    {
      it: 'concludes nothing right after the bus came back',
      heard: heardAt(100_000),
      listening: { connected: true, sinceMs: 130_000 },
      want: 135_000,
    },
    {
      it: 'goes by the Lease while we do not hear the bus',
      heard: heardAt(50_000, 70_000),
      listening: noBus,
      want: 110_000,
    },
    {
      it: 'and by the last heartbeat if that is later',
      heard: heardAt(80_000, 70_000),
      listening: noBus,
      want: 120_000,
    },
    { it: 'and from the loss of the bus if nothing is later', heard: heardAt(), listening: noBus, want: 100_000 },
  ];
  for (const row of rows) it(row.it, () => assert.equal(lostAtMs(row.heard, row.listening, limits), row.want));

  const newEar = (): Ear => {
    const ear = new Ear(limits, 1_000, 0);
    ear.connection(true, 0);
    return ear;
  };
  /** Judges every 250 ms up to a time; what changed, with when. */
  const judged = (
    ear: Ear,
    fromMs: number,
    untilMs: number,
    each: (nowMs: number) => void = () => undefined,
  ): string[] => {
    const changes: string[] = [];
    for (let now = fromMs; now <= untilMs; now += 250) {
      each(now);
      for (const node of ear.judge(['n1'], now)) changes.push(`${now} ${node} ${ear.judgement(node)}`);
    }
    return changes;
  };

  it('notices silence within a quarter of a second, and the return at once', () => {
    const ear = newEar();
    const changes = judged(ear, 0, 20_000, (now) => {
      if (now % 500 === 0 && (now <= 10_000 || now >= 15_000)) ear.beat('n1', now);
    });
    assert.deepEqual(changes, ['0 n1 heard', '12000 n1 lost', '15000 n1 heard']);
    assert.equal(ear.lost, 0);
  });

  it('takes a sign of life for the end of a loss at once, and tells of it with the next judgement', () => {
    const ear = newEar();
    judged(ear, 0, 6_000);
    assert.deepEqual([ear.judgement('n1'), ear.lost], ['lost', 1]);
    ear.beat('n1', 6_010);
    assert.deepEqual([ear.judgement('n1'), ear.lost], ['heard', 0]);
    assert.deepEqual(ear.judge(['n1'], 6_250), ['n1']);
    assert.deepEqual(ear.judge(['n1'], 6_500), []);
  });

  it('says nothing of a node before it was heard or has been silent for long enough', () => {
    assert.deepEqual(judged(newEar(), 0, 10_000), ['5000 n1 lost']);
  });

  it('gives a node that registers later its own time', () => {
    const ear = newEar();
    assert.deepEqual(ear.judge([], 0), []);
    for (let now = 250; now < 60_000; now += 250) ear.judge([], now);
    ear.know('n1', 60_000);
    assert.deepEqual(judged(ear, 60_000, 66_000), ['65000 n1 lost']);
  });

  it('does not take its own standing still for the silence of others', () => {
    const ear = newEar();
    judged(ear, 0, 5_000, (now) => ear.beat('n1', now));
    assert.deepEqual(ear.judge(['n1'], 30_000), [], 'frozen for 25 s');
    ear.beat('n1', 30_100);
    assert.deepEqual(
      judged(ear, 30_250, 31_000, (now) => ear.beat('n1', now)),
      [],
    );
  });

  it('does not take a deaf moment for the return of a node', () => {
    const ear = newEar();
    judged(ear, 0, 2_000, (now) => ear.beat('n1', now));
    assert.deepEqual(judged(ear, 2_250, 6_000), ['5000 n1 lost']);
    ear.missed(6_000);
    assert.deepEqual(judged(ear, 6_250, 30_000), []);
    ear.beat('n1', 30_100);
    assert.deepEqual(judged(ear, 30_250, 30_250), ['30250 n1 heard']);
  });

  it('keeps a node whose agent has lost the bus and renews its Lease', () => {
    const ear = newEar();
    let renewals = 0;
    const changes = judged(ear, 0, 60_000, (now) => {
      if (now <= 10_000) ear.beat('n1', now);
      if (now % 1_000 === 0 && now >= 10_000) ear.lease('n1', { renewTime: `t${renewals++}`, durationMs: 5_000 }, now);
    });
    assert.deepEqual(changes, ['0 n1 heard']);
    assert.deepEqual(judged(ear, 60_250, 70_000), ['65000 n1 lost']);
  });

  it('goes by Leases while the bus is away, and settles when it returns', () => {
    const ear = newEar();
    judged(ear, 0, 5_000, (now) => ear.beat('n1', now));
    ear.connection(false, 5_000);
    assert.deepEqual(judged(ear, 5_250, 40_000), []);
    ear.connection(true, 40_250);
    assert.deepEqual(judged(ear, 40_250, 44_000), [], 'agents reconnect too');
    ear.beat('n1', 44_100);
    assert.deepEqual(judged(ear, 44_250, 45_000), []);
  });
});
