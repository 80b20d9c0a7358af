import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Pod } from '../../../lib/api/objects.ts';
import { groupPods, type Figures } from '../../../services/autoscaler/group.ts';
import { byPods, byShare, byValue } from '../../../services/autoscaler/propose.ts';
import { aPod } from '../../support/builders.ts';

const tolerance = { up: 0.1, down: 0.1 };
const figures = (values: Readonly<Record<string, number>>): Figures =>
  new Map(Object.entries(values).map(([uid, value]) => [uid, { value, atMs: 0, windowMs: 0 }]));
const full = (percent: number) => ({ share: () => percent, full: () => Math.max(100, percent), tolerance });

describe('what a metric asks for', () => {
  /** Use in percent of a request of 100, by pod; the rest are unready and missing. */
  const rows: readonly [
    string,
    number,
    number,
    Readonly<Record<string, number>>,
    string[],
    string[],
    number | undefined,
  ][] = [
    ['as it should be', 3, 50, { a: 50, b: 50, c: 50 }, [], [], 3],
    ['within the tolerance', 3, 50, { a: 54, b: 54, c: 54 }, [], [], 3],
    ['twice of it', 3, 50, { a: 100, b: 100, c: 100 }, [], [], 6],
    ['half of it', 4, 50, { a: 25, b: 25, c: 25, d: 25 }, [], [], 2],
    ['one that is not ready has no load, and takes some', 3, 50, { a: 100, b: 100 }, ['c'], [], 4],
    ['ones that are not ready would do', 3, 30, { a: 50 }, ['b', 'c'], [], 3],
    ['one that is not known has none on the way up', 3, 50, { a: 100, b: 100 }, [], ['c'], 4],
    ['one that is not known is full on the way down', 3, 50, { a: 25, b: 25 }, [], ['c'], 3],
    ['one that is not known, on the way down further', 4, 50, { a: 5, b: 5, c: 5 }, [], ['d'], 3],
    ['nothing is known', 3, 50, {}, ['a'], ['b', 'c'], undefined],
  ];
  for (const [what, current, target, values, unready, missing, replicas] of rows)
    it(what, () => {
      const groups = { measured: Object.keys(values), unready, missing };
      assert.equal(byPods(current, groups, figures(values), full(target))?.replicas, replicas);
    });

  it('never turns round because of what is not known', () => {
    const load = fc.integer({ min: 0, max: 400 });
    fc.assert(
      fc.property(
        fc.array(load, { minLength: 1, maxLength: 20 }),
        fc.nat(20),
        fc.nat(20),
        fc.integer({ min: 10, max: 100 }),
        (loads, unready, missing, target) => {
          const values = Object.fromEntries(loads.map((value, i) => [`m${i}`, value]));
          const names = (prefix: string, count: number): string[] =>
            Array.from({ length: count }, (_, i) => `${prefix}${i}`);
          const measured = Object.keys(values);
          const current = loads.length + unready + missing;
          const known = byPods(current, { measured, unready: [], missing: [] }, figures(values), full(target));
          const careful = byPods(
            current,
            { measured, unready: names('u', unready), missing: names('x', missing) },
            figures(values),
            full(target),
          );
          assert.ok(known !== undefined && careful !== undefined);
          if (careful.ratio > 1) assert.ok(careful.replicas >= current || unready + missing === 0);
          if (careful.ratio > 1 && missing + unready > 0)
            assert.ok(careful.replicas <= Math.max(current, Math.ceil(careful.ratio * current + 1e-9)));
        },
      ),
    );
  });

  it('rounds up, but not for what floating point adds', () => {
    const values = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`p${i}`, 66]));
    const groups = { measured: Object.keys(values), unready: [], missing: [] };
    assert.equal(
      byPods(10, groups, figures(values), { ...full(60), tolerance: { up: 0.05, down: 0.05 } })?.replicas,
      11,
    );
  });

  it('by one value for all', () => {
    assert.equal(byValue(3, { value: 200, target: 100, ready: 3, tolerance }).replicas, 6);
    assert.equal(byValue(3, { value: 105, target: 100, ready: 3, tolerance }).replicas, 3);
    assert.equal(byValue(0, { value: 250, target: 100, ready: 0, tolerance }).replicas, 3);
    assert.equal(byValue(0, { value: 0, target: 100, ready: 0, tolerance }).replicas, 0);
  });

  it('by one value shared out', () => {
    assert.equal(byShare(3, { value: 450, target: 100, tolerance }).replicas, 5);
    assert.equal(byShare(4, { value: 430, target: 100, tolerance }).replicas, 4);
    assert.equal(byShare(0, { value: 0, target: 100, tolerance }).replicas, 0);
    assert.equal(byShare(0, { value: 1, target: 100, tolerance }).replicas, 1);
  });
});

describe('pods that count', () => {
  const nowMs = Date.parse('2026-01-01T01:00:00Z');
  const delays = { cpuInitializationMs: 300_000, initialReadinessMs: 30_000 };
  const pod = (
    secondsAgo: number,
    ready: 'True' | 'False',
    readySecondsAgo: number,
    more: Partial<Pod['status']> = {},
  ): Pod => {
    const base = aPod({ name: 'p' });
    const ago = (seconds: number): string => new Date(nowMs - seconds * 1000).toISOString();
    return {
      ...base,
      metadata: { ...base.metadata, uid: 'p' },
      status: {
        ...base.status,
        phase: 'Running',
        startTime: ago(secondsAgo),
        conditions: [{ type: 'Ready', status: ready, lastTransitionTime: ago(readySecondsAgo) }],
        ...more,
      },
    };
  };
  const known = (uid: string, secondsAgo: number): Figures =>
    new Map([[uid, { value: 1, atMs: nowMs - secondsAgo * 1000, windowMs: 5_000 }]]);
  const groupOf = (each: Pod, of: Figures, cpu: boolean): string => {
    const groups = groupPods([each], of, { cpu, nowMs, delays });
    return Object.entries(groups).find(([, uids]) => (uids as string[]).length > 0)?.[0] ?? 'none';
  };

  const rows: readonly [string, Pod, Figures, boolean, string][] = [
    ['runs and is measured', pod(3000, 'True', 2990), known('p', 1), true, 'measured'],
    ['is not measured', pod(3000, 'True', 2990), new Map(), true, 'missing'],
    ['waits', pod(10, 'False', 10, { phase: 'Pending' }), known('p', 1), false, 'unready'],
    ['failed', pod(3000, 'False', 10, { phase: 'Failed' }), known('p', 1), true, 'none'],
    ['is starting, by cpu', pod(20, 'False', 20), known('p', 1), true, 'unready'],
    ['is starting, by memory', pod(20, 'False', 20), known('p', 1), false, 'measured'],
    ['was measured before it was ready', pod(60, 'True', 4), known('p', 1), true, 'unready'],
    ['was measured since it is ready', pod(60, 'True', 20), known('p', 1), true, 'measured'],
    ['was never ready', pod(3000, 'False', 2990), known('p', 1), true, 'unready'],
    ['became unready later', pod(3000, 'False', 10), known('p', 1), true, 'measured'],
  ];
  for (const [what, each, of, cpu, group] of rows)
    it(`one that ${what}`, () => assert.equal(groupOf(each, of, cpu), group));
});
