import assert from 'node:assert/strict';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { Json, MutableJson } from '../../../../lib/api/json.ts';
import { columnsOf, rowOf } from '../../../../lib/api/printing/index.ts';
import type { HorizontalPodAutoscaler, MetricSpec } from '../../../../lib/api/objects.ts';
import { anAutoscaler, cpuAt } from '../../../support/autoscaling-builders.ts';
import { rows } from './rows.ts';

const metrics = (...list: readonly object[]): Json => ({ 'spec.metrics': list });
const requests = (target: object, metric: object = { name: 'requests-per-second' }): object => ({
  type: 'Object',
  object: { describedObject: { kind: 'Service', name: 'web' }, metric, target },
});
const average = { type: 'AverageValue', averageValue: '10' };
const resource = (target: object, name = 'cpu'): object => ({ type: 'Resource', resource: { name, target } });
const up = (rules: object): Json => ({ 'spec.behavior': { scaleUp: rules } });

describe('api/validation of HorizontalPodAutoscalers', () => {
  rows('horizontalpodautoscalers', anAutoscaler(), [
    [metrics(requests(average))],
    [{ 'spec.minReplicas': 0, ...metrics(requests(average)) }],
    [{ 'spec.minReplicas': 0 }, 'spec.minReplicas', 'unless a metric is of type Object or External'],
    [{ 'spec.minReplicas': 11 }, 'spec.maxReplicas', 'greater than or equal to `minReplicas`'],
    [{ 'spec.maxReplicas': 2 ** 31 }, 'spec.maxReplicas', 'between 1 and'],
    [{ 'spec.scaleTargetRef.name': '' }, 'spec.scaleTargetRef.name', 'Required value'],
    [{ 'spec.scaleTargetRef.apiVersion': 'a/b/c' }, 'spec.scaleTargetRef.apiVersion', 'group and a version'],
    [metrics({ type: 'Sums' }), 'spec.metrics[0].type', 'supported values'],
    [metrics({ type: 'Pods' }), 'spec.metrics[0].pods', 'type Pods needs it'],
    [metrics({ ...cpuAt(50), pods: {} }), 'spec.metrics[0].pods', 'must not be there'],
    [metrics(resource(average, 'disk')), 'spec.metrics[0].resource.name', 'supported values'],
    [metrics(resource({ type: 'Value', value: '1' })), 'spec.metrics[0].resource.target.type', 'supported'],
    [metrics(resource({ type: 'Utilization' })), 'spec.metrics[0].resource.target.averageUtilization', 'needs it'],
    [
      metrics(resource({ type: 'Utilization', averageUtilization: 0 })),
      'spec.metrics[0].resource.target.averageUtilization',
      'between 1 and',
    ],
    [
      metrics(resource({ ...average, averageUtilization: 5 })),
      'spec.metrics[0].resource.target.averageUtilization',
      'averageValue alone',
    ],
    [metrics(requests({ type: 'Value', value: '0' })), 'spec.metrics[0].object.target.value', 'must be positive'],
    [metrics(requests({ type: 'Value', value: 'many' })), 'spec.metrics[0].object.target.value', 'must be a number'],
    [metrics(requests(average, {})), 'spec.metrics[0].object.metric.name', 'Required value'],
    [metrics(...Array.from({ length: 51 }, () => cpuAt(50))), 'spec.metrics', 'Too long'],
    [up({ stabilizationWindowSeconds: 3601 }), 'spec.behavior.scaleUp.stabilizationWindowSeconds', '3600'],
    [up({ selectPolicy: 'Some' }), 'spec.behavior.scaleUp.selectPolicy', 'supported values'],
    [up({ tolerance: '-1' }), 'spec.behavior.scaleUp.tolerance', '0 or more'],
    [
      up({ policies: [{ type: 'Pods', value: 0, periodSeconds: 1 }] }),
      'spec.behavior.scaleUp.policies[0].value',
      'between 1 and',
    ],
    [
      up({ policies: [{ type: 'Pods', value: 1, periodSeconds: 1801 }] }),
      'spec.behavior.scaleUp.policies[0].periodSeconds',
      '1800',
    ],
  ]);
});

describe('api/defaults of HorizontalPodAutoscalers', () => {
  const drafted = (spec: object): HorizontalPodAutoscaler => {
    const draft: MutableJson = { metadata: { name: 'web' }, spec: { ...spec } };
    applyDefaults('horizontalpodautoscalers', draft);
    return draft as unknown as HorizontalPodAutoscaler;
  };
  it('asks for one pod at least, by 80 % cpu', () => {
    const { spec } = drafted({ maxReplicas: 3 });
    assert.equal(spec.minReplicas, 1);
    assert.deepEqual(spec.metrics, [cpuAt(80)]);
    assert.equal(spec.behavior, undefined);
  });
  it('completes what is said of the behavior, twice the same', () => {
    const once = drafted({ behavior: { scaleUp: { policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] } } });
    assert.deepEqual(once.spec.behavior, {
      scaleUp: {
        policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }],
        selectPolicy: 'Max',
        stabilizationWindowSeconds: 0,
      },
      scaleDown: { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] },
    });
    assert.deepEqual(drafted(once.spec).spec, once.spec);
  });
});

describe('api/printing of HorizontalPodAutoscalers', () => {
  it('shows what is beside what should be, for two metrics', () => {
    const list = [cpuAt(80), requests(average), requests(average)] as readonly MetricSpec[];
    const shown = anAutoscaler({
      spec: { metrics: list },
      status: {
        currentReplicas: 4,
        currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 31 } } }],
      },
    });
    const cells = rowOf('horizontalpodautoscalers', shown, Date.parse(shown.metadata.creationTimestamp) + 5_000);
    assert.deepEqual(cells.slice(0, 6), [
      'web',
      'Deployment/web',
      'cpu: 31%/80%, <unknown>/10 + 1 more...',
      '1',
      '10',
      '4',
    ]);
    assert.deepEqual(
      columnsOf('horizontalpodautoscalers').map(({ name }) => name),
      ['Name', 'Reference', 'Targets', 'MinPods', 'MaxPods', 'Replicas', 'Age'],
    );
  });
});
