import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { anRc } from '../../../support/builders.ts';
import { aDeployment, aReplicaSet } from '../../../support/workload-builders.ts';
import { changes, rows } from './rows.ts';

describe('api/validation: replicaset', () => {
  const labels = 'spec.template.metadata.labels';
  rows('replicasets', aReplicaSet(), [
    [{ 'spec.replicas': 0 }],
    [{ 'spec.replicas': -1 }, 'spec.replicas', 'between 0 and'],
    [{ 'spec.selector': undefined }, 'spec.selector', 'Required value'],
    [{ 'spec.selector': {} }, 'spec.selector', 'empty selector'],
    [{ 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'shop'] }] } }],
    [{ 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Exists' }] } }],
    [
      { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] } },
      labels,
      'app!=web is asked for',
    ],
    [{ 'spec.selector': { matchLabels: { app: 'db' } } }, labels, 'app=db is asked for'],
    [
      { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Like' }] } },
      'spec.selector.matchExpressions[0].operator',
      'Unsupported value',
    ],
    [{ 'spec.template.spec.restartPolicy': 'Never' }, 'spec.template.spec.restartPolicy', 'Unsupported value'],
    [{ 'spec.template.spec.activeDeadlineSeconds': 1 }, 'spec.template.spec.activeDeadlineSeconds', 'not Supported'],
  ]);
  changes(validateUpdate, 'replicasets', aReplicaSet(), [
    [{ 'spec.replicas': 5 }, {}],
    [
      { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
      {},
      'spec.selector',
      'field is immutable',
    ],
  ]);
  changes(validateStatusUpdate, 'replicasets', aReplicaSet(), [
    [{ status: { replicas: 1, terminatingReplicas: 4 } }, {}],
    [{ status: { replicas: 1, readyReplicas: 2 } }, {}, 'status.readyReplicas', 'cannot be greater than'],
    [{ status: { replicas: 1, terminatingReplicas: -1 } }, {}, 'status.terminatingReplicas', 'greater than or equal'],
  ]);
});

describe('api/validation: deployment', () => {
  const rolling = 'spec.strategy.rollingUpdate';
  rows('deployments', aDeployment(), [
    [{ 'spec.replicas': 0 }],
    [{ 'metadata.annotations': { 'troupe.dev/on-failed-rollout': 'revert' } }],
    [
      { 'metadata.annotations': { 'troupe.dev/on-failed-rollout': 'undo' } },
      'metadata.annotations[troupe.dev/on-failed-rollout]',
      'supported values: "stop", "revert", "continue"',
    ],
    [{ 'spec.template.metadata.annotations': { 'troupe.dev/on-config-change': 'roll' } }],
    [
      { 'spec.template.metadata.annotations': { 'troupe.dev/on-config-change': 'restart' } },
      'spec.template.metadata.annotations[troupe.dev/on-config-change]',
      'supported values: "none", "signal", "roll"',
    ],
    [
      { 'metadata.annotations': { 'troupe.dev/on-config-change': 'roll' } },
      'metadata.annotations[troupe.dev/on-config-change]',
      'belongs to the pods: `spec.template.metadata.annotations`',
    ],
    [{ 'spec.strategy': { type: 'Recreate' } }],
    [{ 'spec.strategy.type': 'Recreate' }, rolling, "when strategy `type` is 'Recreate'"],
    [{ 'spec.strategy': { type: 'BlueGreen' } }, 'spec.strategy.type', 'Unsupported value'],
    [{ [rolling]: { maxUnavailable: 0, maxSurge: 1 } }],
    [{ [rolling]: { maxUnavailable: 0, maxSurge: 0 } }, `${rolling}.maxUnavailable`, 'may not be 0'],
    [{ [rolling]: { maxUnavailable: '0%', maxSurge: 0 } }, `${rolling}.maxUnavailable`, 'may not be 0'],
    [{ [rolling]: { maxUnavailable: '101%', maxSurge: 1 } }, `${rolling}.maxUnavailable`, 'greater than 100%'],
    [{ [rolling]: { maxUnavailable: 1, maxSurge: '200%' } }],
    [{ [rolling]: { maxUnavailable: 'some', maxSurge: 1 } }, `${rolling}.maxUnavailable`, "such as '25%'"],
    [{ [rolling]: { maxUnavailable: 1, maxSurge: -1 } }, `${rolling}.maxSurge`, 'between 0 and'],
    [{ 'spec.minReadySeconds': 600 }, 'spec.progressDeadlineSeconds', 'must be greater than minReadySeconds (600)'],
    [{ 'spec.revisionHistoryLimit': -1 }, 'spec.revisionHistoryLimit', 'between 0 and'],
    [{ 'spec.selector': { matchLabels: { app: 'db' } } }, 'spec.template.metadata.labels', 'app=db is asked for'],
  ]);
  changes(validateUpdate, 'deployments', aDeployment(), [
    [{ 'spec.paused': true }, {}],
    [
      { 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
      {},
      'spec.selector',
      'field is immutable',
    ],
  ]);
  changes(validateStatusUpdate, 'deployments', aDeployment(), [
    [{ status: { replicas: 2, updatedReplicas: 2, readyReplicas: 1, unavailableReplicas: 5 } }, {}],
    [{ status: { replicas: 1, updatedReplicas: 2 } }, {}, 'status.updatedReplicas', 'cannot be greater than'],
    [{ status: {} }, { status: { collisionCount: 1 } }, 'status.collisionCount', 'must not be lowered'],
  ]);
});

describe('api/validation: replicationcontroller', () => {
  const template = 'spec.template';
  rows('replicationcontrollers', anRc(), [
    [{ 'spec.replicas': 0 }],
    [{ 'spec.replicas': -1 }, 'spec.replicas', 'between 0 and'],
    [{ 'spec.minReadySeconds': -1 }, 'spec.minReadySeconds', 'between 0 and'],
    [{ 'spec.template': undefined }, 'spec.template', 'Required value'],
    [{ 'spec.selector': undefined }],
    [{ 'spec.selector': {}, [`${template}.metadata`]: undefined }, 'spec.selector', 'Required value'],
    [{ 'spec.selector': { app: 'web' }, [`${template}.metadata.labels`]: { app: 'web', more: 'x' } }],
    [
      { 'spec.selector': { app: 'other' } },
      `${template}.metadata.labels`,
      '`selector` does not match template `labels`: app=other is missing',
    ],
    [{ [`${template}.metadata.labels`]: undefined }, `${template}.metadata.labels`, 'app=web is missing'],
    [
      { [`${template}.metadata.labels`]: { app: 'web', 'a b': 'c' } },
      `${template}.metadata.labels`,
      'a space at position 2',
    ],
    [
      { [`${template}.spec.restartPolicy`]: 'Never' },
      `${template}.spec.restartPolicy`,
      'Unsupported value: "Never": supported values: "Always"',
    ],
    [{ [`${template}.spec.activeDeadlineSeconds`]: 5 }, `${template}.spec.activeDeadlineSeconds`, 'not Supported'],
    [{ [`${template}.spec.containers[0].image`]: '' }, `${template}.spec.containers[0].image`, 'Required value'],
    [
      { [`${template}.spec.containers[0].resources`]: { requests: { cpu: '2' }, limits: { cpu: '1' } } },
      `${template}.spec.containers[0].resources.requests`,
      'cpu limit of 1',
    ],
  ]);
  describe('status', () =>
    changes(validateStatusUpdate, 'replicationcontrollers', anRc(), [
      [{ status: { replicas: 3, fullyLabeledReplicas: 3, readyReplicas: 2, availableReplicas: 1 } }, {}],
      [{ status: { replicas: -1 } }, {}, 'status.replicas', 'greater than or equal to 0'],
      [
        { status: { replicas: 1, fullyLabeledReplicas: 2 } },
        {},
        'status.fullyLabeledReplicas',
        'cannot be greater than status.replicas (1)',
      ],
      [
        { status: { replicas: 1, readyReplicas: 2 } },
        {},
        'status.readyReplicas',
        'cannot be greater than status.replicas (1)',
      ],
      [
        { status: { replicas: 2, readyReplicas: 1, availableReplicas: 2 } },
        {},
        'status.availableReplicas',
        'cannot be greater than status.readyReplicas (1)',
      ],
    ]));
});

describe('api/validation: rolling by configuration', () => {
  const annotations = 'spec.template.metadata.annotations';
  rows('replicationcontrollers', anRc(), [
    [{ [annotations]: { 'troupe.dev/on-config-change': 'signal' } }],
    [
      { [annotations]: { 'troupe.dev/on-config-change': 'roll' } },
      `${annotations}[troupe.dev/on-config-change]`,
      '`roll` is for the templates of Deployments and DaemonSets; a ReplicationController may have `signal` or `none`: make it a Deployment',
    ],
  ]);
});
