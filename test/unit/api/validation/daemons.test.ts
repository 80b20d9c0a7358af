import assert from 'node:assert/strict';
import { decodeObject, encodeMessage } from '../../../../lib/api/codec/message.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { Json, MutableJson } from '../../../../lib/api/json.ts';
import { columnsOf, rowOf } from '../../../../lib/api/printing/index.ts';
import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aDaemonSet, aRevision } from '../../../support/daemon-builders.ts';
import { changes, rows } from './rows.ts';

const at = 'spec.updateStrategy.rollingUpdate';

describe('api/validation: daemonset', () => {
  rows('daemonsets', aDaemonSet(), [
    [{ 'spec.template.metadata.annotations': { 'troupe.dev/on-config-change': 'roll' } }],
    [
      { 'metadata.annotations': { 'troupe.dev/on-config-change': 'roll' } },
      'metadata.annotations[troupe.dev/on-config-change]',
      'belongs to the pods: `spec.template.metadata.annotations`',
    ],
    [
      { 'metadata.annotations': { 'troupe.dev/on-failed-rollout': 'undo' } },
      'metadata.annotations[troupe.dev/on-failed-rollout]',
      'supported values: "stop", "revert", "continue"',
    ],
    [{ [at]: { maxUnavailable: '100%', maxSurge: 0 } }],
    [{ [at]: { maxUnavailable: 0, maxSurge: '30%' } }],
    [{ [at]: { maxUnavailable: 0, maxSurge: 0 } }, `${at}.maxUnavailable`, 'no step could be made'],
    [{ [at]: { maxUnavailable: 1, maxSurge: 1 } }, `${at}.maxSurge`, 'may not be set when'],
    [{ [at]: { maxUnavailable: '101%', maxSurge: 0 } }, `${at}.maxUnavailable`, '100%'],
    [{ [at]: { maxUnavailable: 0, maxSurge: '101%' } }, `${at}.maxSurge`, '100%'],
    [{ [at]: { maxUnavailable: 'some', maxSurge: 0 } }, `${at}.maxUnavailable`, 'whole number'],
    [
      {
        [at]: { maxUnavailable: 0, maxSurge: 1 },
        'spec.template.spec.containers[0].ports': [{ containerPort: 80, hostPort: 9100, protocol: 'TCP' }],
      },
      `${at}.maxSurge`,
      'must be 0 while the pods take ports of their node (9100)',
    ],
    [{ 'spec.updateStrategy': { type: 'OnDelete' } }],
    [{ 'spec.updateStrategy.type': 'OnDelete' }, at, "when strategy `type` is 'OnDelete'"],
    [{ 'spec.updateStrategy.type': 'Recreate' }, 'spec.updateStrategy.type', 'Unsupported value'],
    [{ 'spec.revisionHistoryLimit': -1 }, 'spec.revisionHistoryLimit', 'between 0 and'],
    [{ 'spec.minReadySeconds': -1 }, 'spec.minReadySeconds', 'between 0 and'],
    [{ 'spec.selector': undefined }, 'spec.selector', 'Required value'],
    [{ 'spec.selector': {} }, 'spec.selector', 'empty selector'],
    [{ 'spec.selector': { matchLabels: { app: 'db' } } }, 'spec.template.metadata.labels', 'app=db is asked for'],
    [{ 'spec.template.spec.restartPolicy': 'OnFailure' }, 'spec.template.spec.restartPolicy', 'Unsupported value'],
  ]);
  changes(validateUpdate, 'daemonsets', aDaemonSet(), [
    [{ 'spec.template.spec.nodeSelector': { disk: 'ssd' } }, {}],
    [{ 'spec.selector': { matchExpressions: [{ key: 'app', operator: 'Exists' }] } }, {}, 'spec.selector', 'immutable'],
  ]);
  const counts = { currentNumberScheduled: 1, numberMisscheduled: 5, desiredNumberScheduled: 1, numberReady: 1 };
  changes(validateStatusUpdate, 'daemonsets', aDaemonSet({ status: { collisionCount: 1 } }), [
    [{ status: { ...counts, collisionCount: 1 } }, {}],
    [{ status: { ...counts, collisionCount: 1, numberReady: 2 } }, {}, 'status.numberReady', 'cannot be greater than'],
    [
      { status: { ...counts, collisionCount: 1, numberAvailable: 2 } },
      {},
      'status.numberAvailable',
      'cannot be greater than',
    ],
    [{ status: counts }, {}, 'status.collisionCount', 'must not be lowered'],
  ]);

  it('fills in one node at a time, and ten templates to go back to', () => {
    const { updateStrategy: _, revisionHistoryLimit: __, ...spec } = aDaemonSet().spec;
    const set = structuredClone({ ...aDaemonSet(), spec, status: undefined }) as unknown as MutableJson;
    applyDefaults('daemonsets', set);
    assert.deepEqual((set['spec'] as Json)['updateStrategy'], aDaemonSet().spec.updateStrategy);
    assert.equal((set['spec'] as Json)['revisionHistoryLimit'], 10);
    assert.deepEqual(set['status'], aDaemonSet().status);
  });

  it('is shown as kubectl users know it', () => {
    assert.deepEqual(
      columnsOf('daemonsets').map(({ name }) => name.toUpperCase()),
      [
        ...['NAME', 'DESIRED', 'CURRENT', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'NODE SELECTOR', 'AGE'],
        ...['CONTAINERS', 'IMAGES', 'SELECTOR'],
      ],
    );
    const set = aDaemonSet({
      template: { nodeSelector: { disk: 'ssd', a: 'b' } },
      status: { ...counts, numberReady: 0 },
    });
    const row = rowOf('daemonsets', set, Date.parse(set.metadata.creationTimestamp) + 60_000);
    assert.deepEqual(row.slice(0, 8), ['agent', '1', '1', '0', '0', '0', 'a=b,disk=ssd', '60s']);
  });
});

describe('api/validation: controllerrevision', () => {
  const revision = aRevision(aDaemonSet());
  rows('controllerrevisions', revision, [
    [{ revision: 0 }],
    [{ revision: -1 }, 'revision', 'greater than or equal to 0'],
    [{ revision: undefined }, 'revision', 'Required value'],
    [{ data: undefined }, 'data', 'Required value'],
  ]);
  changes(validateUpdate, 'controllerrevisions', revision, [
    [{ revision: 7, 'metadata.annotations': { 'kubernetes.io/change-cause': 'second' } }, {}],
    [{ data: { spec: {} } }, {}, 'data', 'field is immutable'],
  ]);

  it('keeps its data as they are, as a message too', () => {
    const sent = { ...revision, data: { spec: { template: { $patch: 'replace', unknown: [1, null, 'ä'] } } } };
    const read = decodeObject('ControllerRevision', encodeMessage('ControllerRevision', sent as never));
    assert.deepEqual(read['data'], sent.data);
  });

  it('is shown with whose it is', () => {
    const row = rowOf('controllerrevisions', revision, Date.parse(revision.metadata.creationTimestamp));
    assert.deepEqual(row.slice(0, 3), ['agent-abc1', 'daemonset.apps/agent', '1']);
  });
});
