import assert from 'node:assert/strict';
import {
  autoscalingV1,
  fromAutoscalingV1,
  patchFromAutoscalingV1,
  restAnnotation,
  toAutoscalingV1,
} from '../../../lib/api/autoscaling-v1.ts';
import type { MetricSpec } from '../../../lib/api/objects.ts';
import { anAutoscaler, cpuAt } from '../../support/autoscaling-builders.ts';

const requests: MetricSpec = {
  type: 'Object',
  object: {
    describedObject: { kind: 'Service', name: 'web' },
    metric: { name: 'requests-per-second' },
    target: { type: 'AverageValue', averageValue: '100' },
  },
};

describe('autoscaling/v1', () => {
  it('shows the share of cpu, and keeps the rest in an annotation', () => {
    const whole = anAutoscaler({
      spec: { metrics: [cpuAt(50), requests], behavior: { scaleDown: { selectPolicy: 'Disabled' } } },
      status: {
        currentReplicas: 2,
        currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 31 } } }],
        conditions: [{ type: 'AbleToScale', status: 'True' }],
      },
    });
    const shown = toAutoscalingV1(whole) as {
      apiVersion: string;
      spec: Record<string, unknown>;
      status: Record<string, unknown>;
      metadata: { annotations: Record<string, string> };
    };
    assert.equal(shown.apiVersion, autoscalingV1);
    assert.deepEqual(shown.spec, {
      scaleTargetRef: whole.spec.scaleTargetRef,
      minReplicas: 1,
      maxReplicas: 10,
      targetCPUUtilizationPercentage: 50,
    });
    assert.deepEqual(shown.status, { currentReplicas: 2, currentCPUUtilizationPercentage: 31 });
    assert.ok(restAnnotation in shown.metadata.annotations);
    const back = fromAutoscalingV1(shown) as typeof whole;
    assert.deepEqual(back.spec, whole.spec);
    assert.equal(back.apiVersion, 'autoscaling/v2');
    assert.deepEqual(back.metadata.annotations ?? {}, {});
  });

  it('leaves what says another version, or is nothing of the kind, to others', () => {
    for (const value of [7, null, { apiVersion: 'apps/v1' }]) assert.equal(fromAutoscalingV1(value), value);
  });

  it('takes changes of the share of cpu in both forms of a patch', () => {
    const percent = { spec: { targetCPUUtilizationPercentage: 70 } };
    assert.deepEqual(patchFromAutoscalingV1(percent), { spec: { metrics: [cpuAt(70)] } });
    assert.deepEqual(patchFromAutoscalingV1({ spec: { maxReplicas: 5 } }), { spec: { maxReplicas: 5 } });
    assert.deepEqual(
      patchFromAutoscalingV1([
        { op: 'replace', path: '/spec/targetCPUUtilizationPercentage', value: 70 },
        { op: 'replace', path: '/spec/maxReplicas', value: 5 },
      ]),
      [
        { op: 'replace', path: '/spec/metrics', value: [cpuAt(70)] },
        { op: 'replace', path: '/spec/maxReplicas', value: 5 },
      ],
    );
  });
});
