import assert from 'node:assert/strict';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { MutableJson } from '../../../../lib/api/json.ts';
import type { PodDisruptionBudget } from '../../../../lib/api/objects.ts';
import { rowOf } from '../../../../lib/api/printing/index.ts';
import { validateCreate, validateStatusUpdate } from '../../../../lib/api/validation/index.ts';
import { aBudget } from '../../../support/disruption-builders.ts';

function drafted(spec: object): PodDisruptionBudget {
  const metadata = { name: 'web', namespace: 'default', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' };
  const draft: MutableJson = { metadata, spec };
  applyDefaults('poddisruptionbudgets', draft);
  return draft as unknown as PodDisruptionBudget;
}
const told = (spec: object): readonly string[] =>
  validateCreate('poddisruptionbudgets', drafted(spec)).map(({ field, message }) => `${field}: ${message}`);

describe('api: PodDisruptionBudgets', () => {
  it('keep one pod where nothing is said, and allow nothing before they are counted', () => {
    const { spec, status } = drafted({});
    assert.deepEqual(spec, { minAvailable: 1 });
    assert.deepEqual(status, { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 });
    assert.deepEqual(drafted({ maxUnavailable: '10%' }).spec, { maxUnavailable: '10%' });
  });

  it('take numbers and percentages of one of the two, and either policy', () => {
    for (const spec of [
      {},
      { minAvailable: 0 },
      { minAvailable: '0%' },
      { maxUnavailable: '100%', selector: {} },
      { maxUnavailable: 3, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
      { selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
    ])
      assert.deepEqual(told(spec), [], JSON.stringify(spec));
  });

  it('are refused with field, value and rule', () => {
    assert.match(told({ minAvailable: 1, maxUnavailable: 1 })[0] ?? '', /^spec: .*cannot be both set$/);
    assert.match(told({ minAvailable: -1 })[0] ?? '', /^spec.minAvailable: Invalid value: -1: must be between 0 and/);
    assert.match(told({ maxUnavailable: '101%' })[0] ?? '', /^spec.maxUnavailable: .*must not be greater than 100%$/);
    assert.match(told({ maxUnavailable: 'half' })[0] ?? '', /^spec.maxUnavailable: .*percentage such as '25%'$/);
    assert.match(told({ unhealthyPodEvictionPolicy: 'Never' })[0] ?? '', /supported values: "AlwaysAllow"/);
    assert.match(told({ selector: { matchLabels: { 'a b': 'x' } } })[0] ?? '', /^spec.selector/);
    const broken = aBudget({ status: { disruptionsAllowed: -1 } });
    assert.deepEqual(
      validateStatusUpdate('poddisruptionbudgets', broken, aBudget()).map(({ field }) => field),
      ['status.disruptionsAllowed'],
    );
  });

  it('are shown with what they promise and what they allow', () => {
    const now = Date.parse(aBudget().metadata.creationTimestamp) + 60_000;
    assert.deepEqual(rowOf('poddisruptionbudgets', aBudget({ status: { disruptionsAllowed: 2 } }), now).slice(0, 4), [
      ...['web', '1', 'N/A', '2'],
    ]);
  });
});
