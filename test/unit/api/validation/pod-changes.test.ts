import type { Json } from '../../../../lib/api/json.ts';
import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aContainer, aPod } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, short } from './rows.ts';

describe('api/validation: pod updates', () => {
  const old = aPod({ nodeName: 'n1', tolerations: [{ key: 'a', operator: 'Exists' }] });
  const only = 'pod updates may not change fields other than `spec.containers[*].image`';
  const cases: readonly (readonly [next: Json, previous: Json, field?: string, message?: string | RegExp])[] = [
    [{ 'spec.containers[0].image': 'web:2' }, {}],
    [{ 'spec.containers[0].image': '' }, {}, 'spec.containers[0].image', 'Required value'],
    [{ 'metadata.labels': { a: 'b' } }, {}],
    [{ 'spec.nodeName': 'n2' }, {}, 'spec', `${only}`],
    [{ 'spec.nodeName': 'n2' }, {}, 'spec', /this changes spec\.nodeName$/],
    [{ 'spec.containers[0].command': ['x'] }, {}, 'spec', /this changes spec\.containers\[0\]\.command$/],
    [{ 'spec.containers[1]': aContainer({ name: 'b' }) }, {}, 'spec', /this changes spec\.containers$/],
    [
      { 'spec.restartPolicy': 'Never', 'spec.hostname': 'x' },
      {},
      'spec',
      /this changes spec\.restartPolicy, spec\.hostname$/,
    ],
    [{ 'spec.initContainers[0].image': 'b' }, { 'spec.initContainers[0]': aContainer({ name: 'i' }) }, 'spec', only],
    [
      { 'spec.initContainers[0]': aContainer({ name: 'i', image: 'b:2' }) },
      { 'spec.initContainers[0]': aContainer({ name: 'i' }) },
    ],
    [{ 'spec.activeDeadlineSeconds': 10 }, {}],
    [{ 'spec.activeDeadlineSeconds': 9 }, { 'spec.activeDeadlineSeconds': 10 }],
    [
      { 'spec.activeDeadlineSeconds': 11 },
      { 'spec.activeDeadlineSeconds': 10 },
      'spec.activeDeadlineSeconds',
      'less than or equal to previous value (10)',
    ],
    [{}, { 'spec.activeDeadlineSeconds': 10 }, 'spec.activeDeadlineSeconds', 'must not be removed'],
    [
      {
        'spec.tolerations': [
          { key: 'b', operator: 'Exists' },
          { key: 'a', operator: 'Exists' },
        ],
      },
      {},
    ],
    [{ 'spec.tolerations': [] }, {}, 'spec.tolerations', 'existing toleration can not be modified'],
    [
      { 'spec.tolerations': [{ key: 'a', operator: 'Exists', effect: 'NoExecute' }] },
      {},
      'spec.tolerations',
      'existing toleration',
    ],
    [
      { 'spec.tolerations': [{ key: 'a', effect: 'NoExecute', tolerationSeconds: 9 }] },
      { 'spec.tolerations': [{ key: 'a', effect: 'NoExecute', tolerationSeconds: 5 }] },
    ],
    [{}, { 'spec.schedulingGates': [{ name: 'a' }] }],
    [{ 'spec.schedulingGates': [{ name: 'b' }] }, { 'spec.schedulingGates': [{ name: 'a' }, { name: 'b' }] }],
    [
      { 'spec.schedulingGates': [{ name: 'a' }] },
      {},
      'spec.schedulingGates',
      "only deletion is allowed, but found new scheduling gate 'a'",
    ],
    [
      { 'spec.schedulingGates': [{ name: 'b' }] },
      { 'spec.schedulingGates': [{ name: 'a' }] },
      'spec.schedulingGates',
      'only deletion is allowed',
    ],
    [{ 'spec.nodeSelector': { a: 'b' } }, {}, 'spec', /this changes spec\.nodeSelector$/],
    [{ 'spec.terminationGracePeriodSeconds': 1 }, {}, 'spec', only],
    [{ 'spec.terminationGracePeriodSeconds': 1 }, { 'spec.terminationGracePeriodSeconds': -1 }],
  ];
  for (const [next, previous, field, message] of cases)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () => {
      const incomplete = 'spec.initContainers[0].image' in next;
      const before = changed(old, previous);
      const after = changed(
        incomplete ? before : old,
        incomplete ? { 'spec.initContainers[0].name': 'renamed' } : next,
      );
      expectCauses(validateUpdate('pods', after, before), field, message);
    });
});

describe('api/validation: pod status', () => {
  const ended = (exitCode: number) => [{ name: 'main', state: { terminated: { exitCode } } }];
  const running = [{ name: 'main', state: { running: {} }, restartCount: 1 }];
  const cases: readonly (readonly [next: Json, previous: Json, field?: string, message?: string | RegExp])[] = [
    [{ 'status.phase': 'Running' }, { 'status.phase': 'Pending' }],
    [{ 'status.phase': 'Failed' }, { 'status.phase': 'Running' }],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Pending' }],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Succeeded' }],
    [{ 'status.phase': 'Running' }, { 'status.phase': 'Succeeded' }, 'status.phase', 'a terminal phase is final'],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Failed' }, 'status.phase', 'a pod that is Failed stays so'],
    [{ 'status.phase': undefined }, { 'status.phase': 'Failed' }, 'status.phase', 'final'],
    [{ 'status.phase': 'Done' }, {}, 'status.phase', 'Unsupported value: "Done"'],
    [{ 'status.podIP': 'x' }, {}, 'status.podIP', 'IPv4'],
    [
      { 'status.conditions': [{ type: 'Ready', status: 'Yes' }] },
      {},
      'status.conditions[0].status',
      'Unsupported value',
    ],
    [
      {
        'status.conditions': [
          { type: 'Ready', status: 'True' },
          { type: 'Ready', status: 'True' },
        ],
      },
      {},
      'status.conditions[1].type',
      'Duplicate',
    ],
    [
      { 'status.containerStatuses': [{ name: 'main', restartCount: -1 }] },
      {},
      'status.containerStatuses[0].restartCount',
      'greater than or equal to 0',
    ],
    [{ 'status.containerStatuses': running }, { 'status.containerStatuses': ended(1) }],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(1), 'spec.restartPolicy': 'Never' },
      'status.containerStatuses[0].state',
      'non-terminated',
    ],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(1), 'spec.restartPolicy': 'OnFailure' },
    ],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(0), 'spec.restartPolicy': 'OnFailure' },
      'status.containerStatuses[0].state',
      'non-terminated',
    ],
    [{ 'status.qosClass': 'Burstable' }, {}, 'status.qosClass', 'immutable'],
  ];
  for (const [next, previous, field, message] of cases)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () =>
      expectCauses(validateStatusUpdate('pods', changed(aPod(), next), changed(aPod(), previous)), field, message));
});
