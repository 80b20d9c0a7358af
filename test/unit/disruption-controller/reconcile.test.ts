import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Pod, PodDisruptionBudget, PodDisruptionBudgetSpec } from '../../../lib/api/objects.ts';
import { isActive, isReady } from '../../../lib/api/pods.ts';
import {
  countBudget,
  grantLastsMs,
  withoutScale,
  type ScaleOf,
} from '../../../services/disruption-controller/reconcile.ts';
import { aPod } from '../../support/builders.ts';
import { aBudget } from '../../support/disruption-builders.ts';

const nowMs = Date.parse('2026-01-01T01:00:00Z');
const at = (secondsAgo: number): string => new Date(nowMs - secondsAgo * 1000).toISOString();

function aWebPod(
  name: string,
  options: { ready?: boolean; deleting?: boolean; phase?: Pod['status']['phase'] } = {},
): Pod {
  const pod = aPod({ name, labels: { app: 'web' } });
  const status = options.ready === false ? 'False' : 'True';
  return {
    ...pod,
    metadata: { ...pod.metadata, ...(options.deleting === true && { deletionTimestamp: at(0) }) },
    status: { ...pod.status, phase: options.phase ?? 'Running', conditions: [{ type: 'Ready', status }] },
  };
}
const many = (count: number, options = {}): Pod[] => Array.from({ length: count }, (_, i) => aWebPod(`p${i}`, options));
const setOf =
  (replicas: number): ScaleOf =>
  () => ({ uid: 'set', replicas });

function counts(spec: Partial<PodDisruptionBudgetSpec>, pods: readonly Pod[], scaleOf: ScaleOf): readonly number[] {
  const { status } = countBudget(aBudget({ spec }), pods, scaleOf, nowMs);
  return [status.disruptionsAllowed, status.currentHealthy, status.desiredHealthy, status.expectedPods];
}

describe('disruption-controller reconcile', () => {
  it('counts what may go: allowed, healthy, needed, expected', () => {
    assert.deepEqual(counts({ minAvailable: 2 }, many(3), withoutScale), [1, 3, 2, 3]);
    assert.deepEqual(counts({ minAvailable: 3 }, many(3), withoutScale), [0, 3, 3, 3]);
    assert.deepEqual(counts({ minAvailable: 0 }, many(3), withoutScale), [3, 3, 0, 3]);
    assert.deepEqual(counts({ minAvailable: 5 }, many(3), withoutScale), [0, 3, 5, 3]);
    assert.deepEqual(counts({ minAvailable: '50%' }, many(5), setOf(5)), [2, 5, 3, 5]);
    assert.deepEqual(counts({ maxUnavailable: 1 }, many(5), setOf(5)), [1, 5, 4, 5]);
    assert.deepEqual(counts({ maxUnavailable: '30%' }, many(5), setOf(5)), [2, 5, 3, 5]);
    assert.deepEqual(counts({ maxUnavailable: 9 }, many(5), setOf(5)), [5, 5, 0, 5]);
    assert.deepEqual(counts({ maxUnavailable: 1 }, [], setOf(5)), [0, 0, 0, 0]);
  });

  it('measures what may be missing against what the set wants, not against what is left of it', () => {
    assert.deepEqual(counts({ maxUnavailable: 1 }, many(4), setOf(5)), [0, 4, 4, 5]);
    assert.deepEqual(counts({ maxUnavailable: 1 }, many(6), setOf(5)), [2, 6, 4, 5]);
  });

  it('adds up the sets that it selects', () => {
    const scaleOf: ScaleOf = ({ metadata }) => ({ uid: metadata.name < 'p2' ? 'a' : 'b', replicas: 2 });
    assert.deepEqual(counts({ maxUnavailable: 1 }, many(4), scaleOf), [1, 4, 3, 4]);
  });

  it('takes pods for healthy that are Ready, run and do not go', () => {
    const pods = [
      aWebPod('a'),
      aWebPod('b', { ready: false }),
      aWebPod('c', { deleting: true }),
      aWebPod('d', { phase: 'Failed' }),
    ];
    assert.deepEqual(counts({ minAvailable: 1 }, pods, withoutScale), [0, 1, 1, 2]);
  });

  it('allows nothing where nobody can say how many there should be, and says whose pod it is', () => {
    const { status } = countBudget(aBudget({ spec: { maxUnavailable: 1 } }), [aWebPod('lonely')], withoutScale, nowMs);
    assert.equal(status.disruptionsAllowed, 0);
    const { type, status: is, reason, message } = status.conditions?.[0] ?? {};
    assert.deepEqual([type, is, reason], ['DisruptionAllowed', 'False', 'SyncFailed']);
    assert.equal(message, 'pod lonely has no controller: for it, minAvailable must be a number');
  });

  it('counts pods whose eviction was granted as gone until they are seen to go', () => {
    const budget = aBudget({
      spec: { minAvailable: 1 },
      status: { disruptedPods: { p0: at(5), p1: at(5), x: at(5) } },
    });
    const pods = [aWebPod('p0'), aWebPod('p1', { deleting: true }), aWebPod('p2'), aWebPod('p3')];
    const { status, lookAgainMs } = countBudget(budget, pods, withoutScale, nowMs);
    assert.deepEqual(status.disruptedPods, { p0: at(5) });
    assert.deepEqual([status.currentHealthy, status.disruptionsAllowed], [2, 1]);
    assert.equal(lookAgainMs, grantLastsMs - 5_000);
  });

  it('gives a grant up after two minutes, and that of a former pod of the name at once', () => {
    const given = (since: string): Pick<PodDisruptionBudget['status'], 'disruptedPods'> =>
      countBudget(aBudget({ status: { disruptedPods: { p0: since } } }), [aWebPod('p0')], withoutScale, nowMs).status;
    assert.equal(given(at(121)).disruptedPods, undefined);
    assert.equal(given('2020-01-01T00:00:00Z').disruptedPods, undefined);
    assert.deepEqual(given(at(119)).disruptedPods, { p0: at(119) });
  });

  it('rests once it has said so', () => {
    const budget = aBudget({ spec: { minAvailable: 1 } });
    const { status } = countBudget(budget, many(3), withoutScale, nowMs);
    assert.equal(countBudget({ ...budget, status }, many(3), withoutScale, nowMs + 60_000).status, status);
  });

  it('property: grants by late counts never leave fewer healthy pods than promised', () => {
    const step = fc.record({ evict: fc.nat(9), see: fc.boolean(), count: fc.boolean() });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.nat(8),
        fc.array(step, { maxLength: 40 }),
        (total, keep, steps) => {
          let truth = many(total);
          let seen: readonly Pod[] = truth; // the view of the loop, which may be late
          let budget = aBudget({ spec: { minAvailable: keep } });
          for (const { evict, see, count } of steps) {
            if (see) seen = truth;
            if (count) budget = { ...budget, status: countBudget(budget, seen, withoutScale, nowMs).status };
            const victim = truth[evict];
            if (victim === undefined || !isActive(victim) || budget.status.disruptionsAllowed === 0) continue;
            const { name } = victim.metadata;
            truth = truth.map((pod) => (pod === victim ? aWebPod(name, { deleting: true }) : pod));
            budget = {
              ...budget,
              status: {
                ...budget.status,
                disruptionsAllowed: budget.status.disruptionsAllowed - 1,
                disruptedPods: { ...budget.status.disruptedPods, [name]: at(0) },
              },
            };
            assert.ok(truth.filter((pod) => isActive(pod) && isReady(pod)).length >= keep);
          }
        },
      ),
    );
  });
});
