import assert from 'node:assert/strict';
import fc from 'fast-check';
import { History } from '../../../../node-agent/stats/history.ts';
import { rateOf } from '../../../../node-agent/stats/rate.ts';
import { containerColumns } from '../../../../node-agent/stats/sampler.ts';

describe('node-agent/stats/history', () => {
  it('is a list that forgets its oldest rows', () => {
    const rows = fc.array(fc.record({ a: fc.double({ noNaN: true }), b: fc.maxSafeInteger() }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), rows, (size, pushed) => {
        const history = new History(['a', 'b'], size);
        for (const row of pushed) history.push(row);
        const kept = pushed.slice(-size);
        assert.equal(history.length, kept.length);
        assert.deepEqual(
          history.column('a'),
          kept.map((row) => row.a),
        );
        assert.deepEqual(
          history.column('b'),
          kept.map((row) => row.b),
        );
        assert.equal(history.newest('b'), kept.at(-1)?.b);
        assert.equal(history.at(-1, 'a'), undefined);
        assert.equal(history.at(kept.length, 'a'), undefined);
        assert.equal(history.byteLength, size * 2 * 8);
      }),
    );
  });

  it('costs what it says: two minutes of a container at 5 s are 1248 bytes', () => {
    assert.equal(new History(containerColumns, 26).byteLength, 1248);
  });

  it('begins anew when cleared, and cannot be without rows', () => {
    const history = new History(['a'], 2);
    history.push({ a: 1 });
    history.clear();
    assert.deepEqual([history.length, history.newest('a')], [0, undefined]);
    history.push({ a: 2 });
    assert.deepEqual(history.column('a'), [2]);
    assert.throws(() => new History(['a'], 0), /0 rows/);
  });
});

describe('node-agent/stats/rate', () => {
  const past = (...rows: readonly [number, number][]): History<'atMs' | 'cpuNanos'> => {
    const history = new History(['atMs', 'cpuNanos'] as const, 10);
    for (const [atMs, cpuNanos] of rows) history.push({ atMs, cpuNanos });
    return history;
  };
  const cases = [
    {
      it: 'half a CPU',
      past: past([0, 0], [5000, 2.5e9]),
      now: [10_000, 5e9],
      want: { nanoCores: 5e8, windowMs: 5000 },
    },
    {
      it: 'skips a row of this moment',
      past: past([0, 0], [4900, 0]),
      now: [5000, 5e9],
      want: { nanoCores: 1e9, windowMs: 5000 },
    },
    { it: 'nothing to compare to', past: past(), now: [5000, 5e9], want: undefined },
    { it: 'a row of this moment only', past: past([4990, 0]), now: [5000, 5e9], want: undefined },
    { it: 'a counter that went back', past: past([0, 5e9]), now: [5000, 1e9], want: undefined },
    { it: 'no counter', past: past([0, NaN]), now: [5000, NaN], want: undefined },
    { it: 'from its start', past: past(), now: [5000, 1e9], started: 3000, want: { nanoCores: 5e8, windowMs: 2000 } },
    { it: 'a start of this moment', past: past(), now: [5000, 1e6], started: 4990, want: undefined },
  ] as const;
  for (const c of cases) {
    it(c.it, () => {
      const [atMs, cpuNanos] = c.now;
      assert.deepEqual(rateOf(c.past, { atMs, cpuNanos }, 'started' in c ? c.started : undefined), c.want);
    });
  }
});
