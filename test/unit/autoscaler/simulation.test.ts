import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { HorizontalPodAutoscalerSpec } from '../../../lib/api/objects.ts';
import { decide, paceOf } from '../../../services/autoscaler/decide.ts';
import { noMemory, type Memory } from '../../../services/autoscaler/pace.ts';
import { byPods } from '../../../services/autoscaler/propose.ts';

type Spec = Pick<HorizontalPodAutoscalerSpec, 'minReplicas' | 'maxReplicas' | 'behavior'>;
const spec: Spec = { minReplicas: 1, maxReplicas: 50 };
const passMs = 15_000;
/** A pod does 100 % and takes two passes to be ready. */
const target = 50;
const passesToStart = 2;

/** The counts over time under a load in percent of one pod, shared out among those that are ready. */
function simulate(load: (pass: number) => number, passes: number, start = 1, of: Spec = spec): readonly number[] {
  const pace = paceOf(of, 300_000);
  let memory: Memory = noMemory;
  let ages = Array.from({ length: start }, () => passesToStart);
  const counts: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    const ready = Math.max(1, ages.filter((age) => age >= passesToStart).length);
    const each = Math.min(100, load(pass) / ready);
    const names = ages.map((age, i) => ({ uid: String(i), age }));
    const groups = {
      measured: names.filter(({ age }) => age >= passesToStart).map(({ uid }) => uid),
      unready: names.filter(({ age }) => age < passesToStart).map(({ uid }) => uid),
      missing: [],
    };
    const figures = new Map(groups.measured.map((uid) => [uid, { value: each, atMs: 0, windowMs: 0 }]));
    const by = { share: () => target, full: () => 100, tolerance: { up: 0.1, down: 0.1 } };
    const wanted = byPods(ages.length, groups, figures, by);
    if (wanted !== undefined) {
      const at = { memory, pace, nowMs: pass * passMs };
      const decision = decide(of, ages.length, { replicas: wanted.replicas, metric: 'cpu' }, at);
      ({ memory } = decision);
      ages = Array.from({ length: decision.replicas }, (_, i) => ages[i] ?? 0);
    }
    ages = ages.map((age) => age + 1);
    counts.push(ages.length);
  }
  return counts;
}

const turns = (counts: readonly number[]): number => {
  const steps = counts.map((count, i) => Math.sign(count - (counts[i - 1] ?? count))).filter((step) => step !== 0);
  return steps.filter((step, i) => i > 0 && step !== steps[i - 1]).length;
};

describe('autoscaling under load curves', () => {
  it('steady load gives a steady count, near what it needs', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 2_000 }), (load) => {
        const counts = simulate(() => load, 80);
        const last = counts.at(-1) ?? 0;
        assert.ok(
          counts.slice(40).every((count) => count === last),
          counts.join(' '),
        );
        const need = Math.ceil(load / target);
        assert.ok(last >= Math.floor(need / 1.1) && last <= Math.ceil(need * 1.12) + 1, `${last} for ${need}`);
      }),
    );
  });

  it('a step up is answered within minutes, a step down not before the window is over', () => {
    const counts = simulate((pass) => (pass < 40 ? 40 : pass < 80 ? 1_000 : 40), 160);
    assert.equal(counts[39], 1);
    assert.ok((counts[40 + 16] ?? 0) >= 18, counts.join(' '));
    const high = counts[79] ?? 0;
    const lowAt = counts.findIndex((count, pass) => pass > 80 && count < high);
    assert.ok((lowAt - 80) * passMs >= 285_000, `down after ${lowAt - 80} passes`);
    assert.equal(counts.at(-1), 1);
    assert.equal(turns(counts), 1);
  });

  it('a load that comes and goes within the window does not make the count flap', () => {
    const counts = simulate((pass) => (pass % 8 < 4 ? 800 : 100), 200);
    assert.equal(turns(counts.slice(40)), 0, counts.join(' '));
    assert.ok((counts.at(-1) ?? 0) >= 14);
  });

  it('noise around the target moves nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.93, max: 1.07, noNaN: true }), { minLength: 100, maxLength: 100 }),
        (noise) => {
          const counts = simulate((pass) => 500 * (noise[pass] ?? 1), 100, 10);
          assert.ok(
            counts.every((count) => count === 10),
            counts.join(' '),
          );
        },
      ),
    );
  });

  it('a slow wave is followed up and down once a period', () => {
    const counts = simulate((pass) => 600 + 500 * Math.sin((pass / 240) * 2 * Math.PI), 480);
    assert.ok(turns(counts) <= 5, counts.join(' '));
    assert.ok(Math.max(...counts) >= 20 && Math.min(...counts.slice(240)) <= 6);
  });
});
