import assert from 'node:assert/strict';
import { crossed, describeShortage, parseThresholds } from '../../../node-agent/eviction/thresholds.ts';
import { allocatableOf, parseReserved } from '../../../node-agent/node/allocatable.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;

describe('node-agent/allocatable', () => {
  const capacity = { cpuMilli: 4000, memoryBytes: 8 * gib, diskBytes: 100 * gib };

  it('keeps back what is reserved and what eviction keeps free', () => {
    const reserved = parseReserved('cpu=100m,memory=256Mi,ephemeral-storage=1Gi');
    const thresholds = parseThresholds('memory.available<100Mi,nodefs.available<10%,pid.available<5%');
    assert.deepEqual(allocatableOf(capacity, reserved, thresholds), {
      cpuMilli: 3900,
      memoryBytes: 8 * gib - 356 * mib,
      diskBytes: 89 * gib,
    });
  });

  it('is never below zero', () => {
    const all = allocatableOf(capacity, parseReserved('cpu=9,memory=9Gi,ephemeral-storage=1Ti'), []);
    assert.deepEqual(all, { cpuMilli: 0, memoryBytes: 0, diskBytes: 0 });
  });

  const bad = [
    ['gpu=1', /"gpu=1": must be <resource>=<amount>/],
    ['cpu=1,cpu=2', /cpu is given twice/],
    ['memory=much', /"much" must be an amount/],
    ['memory=-1Mi', /zero or more/],
  ] as const;
  for (const [text, message] of bad)
    it(`refuses to reserve ${text}`, () => assert.throws(() => parseReserved(text), message));
});

describe('node-agent/eviction/thresholds', () => {
  it('reads amounts and shares, and nothing from nothing', () => {
    assert.deepEqual(parseThresholds(' memory.available<100Mi , nodefs.available<10% '), [
      { signal: 'memory.available', amount: { units: 100 * mib } },
      { signal: 'nodefs.available', amount: { share: 0.1 } },
    ]);
    assert.deepEqual(parseThresholds(''), []);
  });

  const bad = [
    ['memory.free<1Mi', /the signal one of memory\.available/],
    ['memory.available', /"" must be an amount/],
    ['memory.available<1Mi<2Mi', /must be <signal><<amount>/],
    ['memory.available<101%', /"101%" must be/],
    ['memory.available<-1', /"-1" must be/],
    ['pid.available<1,pid.available<2', /given twice/],
  ] as const;
  for (const [text, message] of bad) it(`refuses ${text}`, () => assert.throws(() => parseThresholds(text), message));

  it('is crossed when less is left, and not by what cannot be found out', () => {
    const thresholds = parseThresholds('memory.available<100Mi,nodefs.available<10%,pid.available<5%');
    const rooms = {
      'memory.available': { available: 100 * mib, capacity: gib },
      'nodefs.available': { available: 9 * gib, capacity: 100 * gib },
    };
    const found = crossed(thresholds, rooms);
    assert.deepEqual(
      found.map(({ signal }) => signal),
      ['nodefs.available'],
    );
    assert.equal(found[0] && describeShortage(found[0], rooms), 'nodefs.available is 9Gi, less than 10Gi');
  });
});
