import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ScalingPolicy } from '../../../lib/api/objects.ts';
import { decide, paceOf, type Decision } from '../../../services/autoscaler/decide.ts';
import { noMemory, type Memory, type Pace, type Rules } from '../../../services/autoscaler/pace.ts';

const policy = fc.record({
  type: fc.constantFrom('Pods' as const, 'Percent' as const),
  value: fc.integer({ min: 1, max: 150 }),
  periodSeconds: fc.integer({ min: 1, max: 120 }),
});
const rules: fc.Arbitrary<Rules> = fc.record({
  selectPolicy: fc.constantFrom('Max' as const, 'Min' as const, 'Disabled' as const),
  policies: fc.array(policy, { minLength: 1, maxLength: 3 }),
  stabilizationWindowSeconds: fc.integer({ min: 0, max: 120 }),
});
const bounds = fc
  .tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 60 }))
  .map(([minReplicas, more]) => ({ minReplicas, maxReplicas: minReplicas + more }));
const steps = fc.array(
  fc.record({ wish: fc.integer({ min: 0, max: 100 }), afterMs: fc.integer({ min: 100, max: 40_000 }) }),
  { minLength: 1, maxLength: 60 },
);

interface Moment extends Decision {
  readonly nowMs: number;
  readonly before: number;
  readonly wish: number;
}

/** A run of passes from `start`, each with what the metrics want then. */
function run(
  spec: { readonly minReplicas: number; readonly maxReplicas: number },
  pace: Pace,
  start: number,
  wishes: readonly { readonly wish: number; readonly afterMs: number }[],
): readonly Moment[] {
  let memory: Memory = noMemory;
  let [current, nowMs] = [start, 1_000_000];
  return wishes.map(({ wish, afterMs }) => {
    nowMs += afterMs;
    const decision = decide(spec, current, { replicas: wish, metric: 'resource cpu' }, { memory, pace, nowMs });
    const moment = { ...decision, nowMs, before: current, wish };
    ({ memory } = decision);
    current = decision.replicas;
    return moment;
  });
}

describe('the pace of an autoscaler', () => {
  it('stays within the bounds, whatever is wanted', () => {
    fc.assert(
      fc.property(bounds, rules, rules, steps, (spec, up, down, wishes) => {
        for (const { replicas } of run(spec, { up, down }, spec.minReplicas, wishes))
          assert.ok(replicas >= spec.minReplicas && replicas <= spec.maxReplicas);
      }),
    );
  });

  it('is never faster than the policies: over every period that ends in a pass', () => {
    fc.assert(
      fc.property(bounds, rules, rules, steps, (spec, up, down, wishes) => {
        const start = spec.minReplicas;
        const moments = run(spec, { up, down }, start, wishes);
        moments.forEach(({ replicas, nowMs, before }, index) => {
          const at = (ms: number): number =>
            moments
              .slice(0, index)
              .filter((moment) => moment.nowMs <= ms)
              .at(-1)?.replicas ?? start;
          const limits = (side: Rules, limit: (each: ScalingPolicy, from: number) => number): readonly number[] =>
            side.policies.map((each) => limit(each, at(nowMs - each.periodSeconds * 1000)));
          if (replicas > before) {
            const most = limits(up, ({ type, value }, from) =>
              type === 'Pods' ? from + value : Math.ceil(from * (1 + value / 100)),
            );
            assert.notEqual(up.selectPolicy, 'Disabled');
            assert.ok(replicas <= (up.selectPolicy === 'Max' ? Math.max(...most) : Math.min(...most)));
          }
          if (replicas < before) {
            const least = limits(down, ({ type, value }, from) =>
              type === 'Pods' ? from - value : Math.floor(from * (1 - value / 100)),
            );
            assert.notEqual(down.selectPolicy, 'Disabled');
            assert.ok(replicas >= (down.selectPolicy === 'Max' ? Math.min(...least) : Math.max(...least)));
          }
        });
      }),
    );
  });

  it('goes up only to what was wanted all through the window, and down likewise', () => {
    fc.assert(
      fc.property(bounds, rules, rules, steps, (spec, up, down, wishes) => {
        const moments = run(spec, { up, down }, spec.minReplicas, wishes);
        moments.forEach(({ replicas, nowMs, before }, index) => {
          const since = (side: Rules): readonly number[] =>
            moments
              .slice(0, index + 1)
              .filter(
                (moment) => moment.nowMs > nowMs - side.stabilizationWindowSeconds * 1000 || moment.nowMs === nowMs,
              )
              .map(({ wish }) => wish);
          if (replicas > before) assert.ok(replicas <= Math.min(...since(up)));
          if (replicas < before) assert.ok(replicas >= Math.min(before, Math.max(...since(down))));
        });
      }),
    );
  });

  it('comes to rest at what is wanted, and stays there', () => {
    const usual = paceOf({ minReplicas: 1, maxReplicas: 100 }, 300_000);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }), (start, wish) => {
        const passes = Array.from({ length: 60 }, () => ({ wish, afterMs: 15_000 }));
        const moments = run({ minReplicas: 1, maxReplicas: 100 }, usual, start, passes);
        assert.ok(moments.slice(-20).every(({ replicas }) => replicas === wish));
        const counts = [start, ...moments.map(({ replicas }) => replicas)];
        const turns = counts.filter(
          (count, i) => i > 1 && (count - (counts[i - 1] ?? 0)) * ((counts[i - 1] ?? 0) - (counts[i - 2] ?? 0)) < 0,
        );
        assert.deepEqual(turns, []);
      }),
    );
  });

  it('keeps a bounded memory', () => {
    const pace = paceOf(
      {
        minReplicas: 1,
        maxReplicas: 1000,
        behavior: { scaleUp: { policies: [{ type: 'Pods', value: 1, periodSeconds: 1800 }] } },
      },
      0,
    );
    const wishes = Array.from({ length: 3000 }, (_, i) => ({ wish: i % 2 === 0 ? 2 : 1, afterMs: 500 }));
    const last = run({ minReplicas: 1, maxReplicas: 1000 }, pace, 1, wishes).at(-1);
    assert.ok((last?.memory.changes.length ?? 0) <= 200);
    assert.ok((last?.memory.wishes.length ?? 0) <= 1);
  });
});

describe('decide', () => {
  const spec = { minReplicas: 2, maxReplicas: 10 };
  const pace = paceOf(spec, 300_000);
  const at = { memory: noMemory, pace, nowMs: 1_000_000 };
  const wanted = (replicas: number) => ({ replicas, metric: 'resource cpu' });
  const quiet: Memory = { wishes: [{ atMs: 1, replicas: 1 }], changes: [] };

  const rows: readonly [string, number, number | undefined, Memory, number, string, string][] = [
    ['more than allowed at once', 2, 10, noMemory, 6, 'SucceededRescale', 'ScaleUpLimit'],
    ['more than the most', 6, 30, noMemory, 10, 'SucceededRescale', 'TooManyReplicas'],
    ['fewer, with no past', 6, 3, noMemory, 6, 'ScaleDownStabilized', 'DesiredWithinRange'],
    ['fewer, and nothing else was wanted', 6, 3, quiet, 3, 'SucceededRescale', 'DesiredWithinRange'],
    ['fewer than the least', 6, 0, quiet, 2, 'SucceededRescale', 'TooFewReplicas'],
    ['the same', 6, 6, quiet, 6, 'ReadyForNewScale', 'DesiredWithinRange'],
    ['above the bounds', 30, undefined, quiet, 10, 'SucceededRescale', 'DesiredWithinRange'],
    ['below the bounds', 1, undefined, quiet, 2, 'SucceededRescale', 'DesiredWithinRange'],
  ];
  for (const [what, current, wish, memory, replicas, able, limited] of rows)
    it(what, () => {
      const decision = decide(spec, current, wish === undefined ? undefined : wanted(wish), { ...at, memory });
      assert.deepEqual([decision.replicas, decision.able.reason, decision.limited.reason], [replicas, able, limited]);
      assert.equal(decision.because === '', replicas === current);
    });
});
