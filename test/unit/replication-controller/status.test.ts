import assert from 'node:assert/strict';
import { traceAnnotation } from '../../../lib/base/trace.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { statusOf } from '../../../services/replication-controller/status.ts';
import { podOf } from '../../../services/replication-controller/template.ts';
import { wakesOf } from '../../../services/replication-controller/wake.ts';
import { anRc, aPod, epochMs, type PodOptions } from '../../support/builders.ts';

const rc = anRc({ replicas: 3, template: { labels: { app: 'web', tier: 'front' } } });
const ours = (options: PodOptions = {}): Pod =>
  aPod({ labels: { app: 'web' }, ownerUid: rc.metadata.uid, nodeName: 'n1', ...options });

describe('replication-controller/status', () => {
  it('counts active pods of its own, and of those the fully labelled, the ready and the available', () => {
    const pods = [
      ours({ name: 'a', labels: { app: 'web', tier: 'front' } }),
      ours({ name: 'b' }),
      ours({ name: 'c', ready: false }),
      ours({ name: 'going', deleted: true }),
      ours({ name: 'ended', phase: 'Failed' }),
      ours({ name: 'other', ownerUid: 'other' }),
    ];
    assert.deepEqual(statusOf(rc, pods, undefined, epochMs).status, {
      replicas: 3,
      fullyLabeledReplicas: 1,
      readyReplicas: 2,
      availableReplicas: 2,
      observedGeneration: 1,
    });
  });

  it('leaves out what is zero', () => {
    assert.deepEqual(statusOf(rc, [], undefined, epochMs).status, { replicas: 0, observedGeneration: 1 });
  });

  it('waits for minReadySeconds and says how long', () => {
    const patient = anRc({ minReadySeconds: 10 });
    const report = statusOf(
      patient,
      [ours({ readySince: '2026-01-01T00:00:04Z' }), ours({ name: 'b' })],
      undefined,
      epochMs + 10_000,
    );
    assert.equal(report.status.readyReplicas, 2);
    assert.equal(report.status.availableReplicas, 1);
    assert.equal(report.nextAvailableMs, 4_000);
  });

  it('says why pods could not be made, and takes it back', () => {
    const failed = statusOf(rc, [], { reason: 'FailedCreate', message: 'no room' }, epochMs).status;
    assert.deepEqual(failed.conditions, [
      {
        type: 'ReplicaFailure',
        status: 'True',
        reason: 'FailedCreate',
        message: 'no room',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ]);
    const mended = statusOf({ ...rc, status: failed }, [], undefined, epochMs).status;
    assert.equal(mended.conditions, undefined);
  });
});

describe('replication-controller/template', () => {
  it('makes a pod with the template’s labels and annotations, its owner and the trace of the change', () => {
    const traced = anRc({ annotations: { [traceAnnotation]: '00-x' } });
    const draft = podOf({
      ...traced,
      spec: {
        ...traced.spec,
        template: {
          metadata: { labels: { app: 'web' }, annotations: { note: 'n' }, finalizers: ['f'] },
          spec: traced.spec.template.spec,
        },
      },
    });
    assert.deepEqual(draft.metadata, {
      generateName: 'web-',
      namespace: 'default',
      labels: { app: 'web' },
      annotations: { note: 'n', [traceAnnotation]: '00-x' },
      finalizers: ['f'],
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'ReplicationController',
          name: 'web',
          uid: traced.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    });
  });
});

describe('replication-controller/wake', () => {
  const matching = (namespace: string, labels: Readonly<Record<string, string>> | undefined): string[] =>
    labels?.['app'] === 'web' ? [`${namespace}/web`] : [];
  const rows: { it: string; before?: Pod; after?: Pod; now?: string[]; soon?: string[] }[] = [
    { it: 'a new pod wakes its owner', after: ours(), now: ['default/web'] },
    { it: 'a pod that is gone wakes its owner', before: ours(), now: ['default/web'] },
    { it: 'a pod that goes wakes its owner', before: ours(), after: ours({ deleted: true }), now: ['default/web'] },
    { it: 'a failure wakes its owner', before: ours(), after: ours({ phase: 'Failed' }), now: ['default/web'] },
    { it: 'a changed label wakes its owner', before: ours(), after: ours({ labels: {} }), now: ['default/web'] },
    { it: 'an ownerless pod wakes who would adopt it', after: aPod({ labels: { app: 'web' } }), now: ['default/web'] },
    { it: 'one that nobody wants wakes nobody', after: aPod({ labels: { app: 'db' } }) },
    { it: 'readiness may wait a moment', before: ours({ ready: false }), after: ours(), soon: ['default/web'] },
    { it: 'a binding concerns nobody', before: ours({ nodeName: 'n1' }), after: ours({ nodeName: 'n2' }) },
    {
      it: 'a new life of a name wakes its owner',
      before: ours({ uid: '1' }),
      after: ours({ uid: '2' }),
      now: ['default/web'],
    },
  ];
  for (const row of rows) {
    it(row.it, () => {
      assert.deepEqual(wakesOf(row.before, row.after, { kind: 'ReplicationController', matching }), {
        now: row.now ?? [],
        soon: row.soon ?? [],
      });
    });
  }
});
