import assert from 'node:assert/strict';
import type { Deployment, Pod, ReplicaSet } from '../../../lib/api/objects.ts';
import { hashOf } from '../../../lib/rollout/hash.ts';
import { revertedAnnotation } from '../../../lib/rollout/reverted.ts';
import { revisionAnnotation } from '../../../services/deployment-controller/annotations.ts';
import { reconcile } from '../../../services/deployment-controller/reconcile.ts';
import { newSetOf, plainTemplate } from '../../../services/deployment-controller/sets.ts';
import { sameStatus, statusOf } from '../../../services/deployment-controller/status.ts';
import { failureAmong } from '../../../lib/rollout/verdict.ts';
import { aPod, epochMs, uidOf } from '../../support/builders.ts';
import { aDeployment, type DeploymentOptions } from '../../support/workload-builders.ts';

const web = (image: string, options: DeploymentOptions = {}): Deployment =>
  aDeployment({ template: { image }, ...options });

/** The ReplicaSet of a template as the cluster would hold it, with all its pods available. */
function setOf(
  image: string,
  revision: number,
  wanted: number,
  status: Partial<ReplicaSet['status']> = {},
): ReplicaSet {
  const draft = newSetOf(web(image), revision) as ReplicaSet;
  const { name } = draft.metadata;
  return {
    ...draft,
    metadata: {
      ...draft.metadata,
      ...{ uid: uidOf(name), resourceVersion: '1', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    },
    spec: { ...draft.spec, replicas: wanted },
    status: { replicas: wanted, readyReplicas: wanted, availableReplicas: wanted, observedGeneration: 1, ...status },
  };
}
const podOf = (set: ReplicaSet, name: string, status: Partial<Pod['status']>): Pod => {
  const { metadata, ...rest } = aPod({ name, phase: 'Running', ready: false, nodeName: 'n1' });
  const owner = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: set.metadata.name,
    uid: set.metadata.uid,
    controller: true,
  };
  return { ...rest, metadata: { ...metadata, ownerReferences: [owner] }, status: { ...rest.status, ...status } };
};
const inState = (state: object, more: object = {}): Partial<Pod['status']> => ({
  containerStatuses: [{ name: 'main', state, ready: false, restartCount: 0, image: 'x', imageID: '', ...more }],
});
const backOff = inState({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } });
const sizes = (plan: { readonly write: readonly ReplicaSet[] }): unknown =>
  plan.write.map(({ metadata, spec }) => [metadata.annotations?.[revisionAnnotation], spec.replicas]);

describe('deployment-controller/reconcile', () => {
  it('makes a ReplicaSet of the template, with its hash in name, selector and labels', () => {
    const { create } = reconcile(web('a:1'), [], [], epochMs);
    const hash = hashOf(web('a:1').spec.template, 0);
    assert.equal(create?.metadata.name, `web-${hash}`);
    assert.deepEqual(create?.spec?.selector?.matchLabels, { app: 'web', 'pod-template-hash': hash });
    assert.equal(create?.spec?.replicas, 0);
    assert.equal(create?.metadata.annotations?.[revisionAnnotation], '1');
  });

  it('gives another name where two templates met, and the same whatever the order of members', () => {
    const { template } = web('a:1').spec;
    assert.notEqual(hashOf(template, 0), hashOf(template, 1));
    const { metadata, spec } = template;
    assert.equal(hashOf({ spec, ...(metadata && { metadata }) }, 0), hashOf(template, 0));
    assert.match(hashOf(template, 0), /^[a-z0-9]{7}$/);
  });

  it('knows its template again without the hash', () => {
    assert.deepEqual(plainTemplate(setOf('a:1', 1, 3)), web('a:1').spec.template);
  });

  it('rests when all is as wanted', () => {
    const first = reconcile(web('a:1'), [setOf('a:1', 1, 3)], [], epochMs).write[0];
    assert.ok(first, 'it notes for how many it was sized');
    const plan = reconcile(web('a:1'), [first], [], epochMs);
    assert.deepEqual([plan.create, plan.revert, plan.write, plan.remove], [undefined, undefined, [], []]);
  });

  it('takes up a former template under a new revision', () => {
    const plan = reconcile(web('a:1'), [setOf('a:1', 1, 0), setOf('b:1', 2, 3)], [], epochMs);
    assert.deepEqual(sizes(plan), [
      ['3', 1],
      ['2', 3],
    ]);
  });

  it('waits for a ReplicaSet that has not seen its last size', () => {
    const late = setOf('a:1', 1, 3, { observedGeneration: 0 });
    const plan = reconcile(web('b:1'), [late, setOf('b:1', 2, 1)], [], epochMs);
    assert.ok(
      plan.write.every(({ metadata, spec }) => spec.replicas === (metadata.name === late.metadata.name ? 3 : 1)),
    );
  });

  it('forgets the oldest templates beyond the limit, never one with pods', () => {
    const sets = [setOf('a:1', 1, 0), setOf('b:1', 2, 1), setOf('c:1', 3, 0), setOf('d:1', 4, 2)];
    const plan = reconcile(web('d:1', { spec: { revisionHistoryLimit: 1 } }), sets, [], epochMs);
    assert.deepEqual(
      plan.remove.map(({ metadata }) => metadata.annotations?.[revisionAnnotation]),
      ['1'],
    );
  });

  it('makes nothing for a new template while paused', () => {
    const plan = reconcile(web('b:1', { spec: { paused: true } }), [setOf('a:1', 1, 3)], [], epochMs);
    assert.equal(plan.create, undefined);
  });

  describe('a failure', () => {
    const old = setOf('a:1', 1, 3);
    const next = setOf('b:1', 2, 1, { readyReplicas: 0, availableReplicas: 0 });
    const pods = [podOf(next, 'web-b-1', backOff)];
    const reverting = { 'troupe.dev/on-failed-rollout': 'revert' };

    it('is named with pod, container and cause', () => {
      const { failure, revert } = reconcile(web('b:1'), [old, next], pods, epochMs);
      assert.deepEqual(failure, {
        reason: 'ImagePullBackOff',
        message: 'pod web-b-1: container main: ImagePullBackOff: no such image',
      });
      assert.equal(revert, undefined, 'nobody asked for it');
    });

    it('is taken back where that is asked for, in one write that says why', () => {
      const { revert } = reconcile(web('b:1', { annotations: reverting }), [old, next], pods, epochMs);
      assert.deepEqual(revert && plainTemplate(revert.target), web('a:1').spec.template);
      assert.deepEqual(revert?.mark, {
        from: next.metadata.name,
        to: old.metadata.name,
        reason: 'ImagePullBackOff',
        cause: 'pod web-b-1: container main: ImagePullBackOff: no such image',
      });
    });

    it('is not taken back to what failed before, nor from what was gone back to', () => {
      const mark = JSON.stringify({ from: old.metadata.name, to: 'web-older', reason: 'x', cause: 'x' });
      const annotations = { ...reverting, [revertedAnnotation]: mark };
      assert.equal(reconcile(web('b:1', { annotations }), [old, next], pods, epochMs).revert, undefined);
      const gone = JSON.stringify({ from: 'web-other', to: next.metadata.name, reason: 'x', cause: 'x' });
      const back = { ...reverting, [revertedAnnotation]: gone };
      assert.equal(reconcile(web('b:1', { annotations: back }), [old, next], pods, epochMs).revert, undefined);
    });

    it('of a rollout that is over is none', () => {
      const { status } = statusOf(
        web('b:1'),
        { next: setOf('b:1', 2, 3), old: [setOf('a:1', 1, 0)] },
        { failure: undefined },
        epochMs,
      );
      const later = web('b:1', { annotations: reverting, status });
      assert.equal(reconcile(later, [setOf('a:1', 1, 0), setOf('b:1', 2, 3)], pods, epochMs).failure, undefined);
    });
  });
});

describe('deployment-controller/verdict', () => {
  const set = setOf('a:1', 1, 1);
  const ended = { terminated: { exitCode: 1, reason: 'OOMKilled' } };
  const rows: { it: string; status: Partial<Pod['status']>; want: string | undefined }[] = [
    {
      it: 'a container that is being made',
      status: inState({ waiting: { reason: 'ContainerCreating' } }),
      want: undefined,
    },
    { it: 'an image that cannot be had', status: backOff, want: 'ImagePullBackOff' },
    {
      it: 'a configuration that is not there',
      status: inState({ waiting: { reason: 'CreateContainerConfigError', message: 'no configmap' } }),
      want: 'CreateContainerConfigError',
    },
    { it: 'one restart', status: inState({ running: {} }, { restartCount: 1, lastState: ended }), want: undefined },
    { it: 'two', status: inState({ running: {} }, { restartCount: 2, lastState: ended }), want: 'CrashLoopBackOff' },
    {
      it: 'two, ready now',
      status: inState({ running: {} }, { restartCount: 2, lastState: ended, ready: true }),
      want: undefined,
    },
    {
      it: 'a pod that its node refused',
      status: { phase: 'Failed', reason: 'OutOfcpu', message: 'full' },
      want: 'OutOfcpu',
    },
  ];
  for (const row of rows)
    it(`${row.want === undefined ? 'bears' : 'tells'} ${row.it}`, () =>
      assert.equal(failureAmong([podOf(set, 'web-1', row.status)], 0, epochMs)?.reason, row.want));
});

describe('deployment-controller/status', () => {
  const old = setOf('a:1', 1, 3);
  const young = setOf('b:1', 2, 1, { readyReplicas: 0, availableReplicas: 0 });
  const sets = { next: young, old: [old] };
  const progressing = (
    deployment: Deployment,
    at = 0,
    failure?: { reason: string; message: string },
  ): readonly unknown[] => {
    const { status, deadlineInMs } = statusOf(deployment, sets, { failure }, epochMs + at);
    const found = status.conditions?.find(({ type }) => type === 'Progressing');
    return [found?.status, found?.reason, found?.lastUpdateTime?.slice(11, 19), deadlineInMs];
  };

  it('adds its ReplicaSets up', () => {
    const { conditions, ...status } = statusOf(web('b:1'), sets, { failure: undefined }, epochMs).status;
    assert.deepEqual(status, {
      ...{ replicas: 4, updatedReplicas: 1, readyReplicas: 3, availableReplicas: 3, unavailableReplicas: 1 },
      observedGeneration: 1,
    });
    assert.deepEqual(
      conditions?.map(({ type, status: is, reason }) => [type, is, reason]),
      [
        ['Available', 'True', 'MinimumReplicasAvailable'],
        ['Progressing', 'True', 'NewReplicaSetCreated'],
      ],
    );
  });

  it('counts its deadline from the last progress, and not from the last word about it', () => {
    const { status } = statusOf(web('b:1'), sets, { failure: undefined }, epochMs);
    const seen = web('b:1', { status });
    assert.deepEqual(progressing(seen, 100_000), ['True', 'ReplicaSetUpdated', '00:00:00', 500_000]);
    const failure = { reason: 'CrashLoopBackOff', message: 'it crashed' };
    assert.deepEqual(progressing(seen, 100_000, failure), ['False', 'CrashLoopBackOff', '00:00:00', 500_000]);
    assert.deepEqual(progressing(seen, 600_000), ['False', 'ProgressDeadlineExceeded', '00:00:00', undefined]);
    const fewer = web('b:1', { status: { ...status, updatedReplicas: 0 } });
    assert.deepEqual(progressing(fewer, 100_000), ['True', 'ReplicaSetUpdated', '00:01:40', 600_000]);
  });

  it('has no deadline while paused, and a new one afterwards', () => {
    const { status } = statusOf(web('b:1', { spec: { paused: true } }), sets, { failure: undefined }, epochMs);
    assert.deepEqual(progressing(web('b:1', { spec: { paused: true }, status }), 700_000), [
      ...['Unknown', 'DeploymentPaused', '00:00:00'],
      undefined,
    ]);
    assert.deepEqual(progressing(web('b:1', { status }), 700_000), [
      'Unknown',
      'DeploymentResumed',
      '00:11:40',
      600_000,
    ]);
  });

  it('says that a template was gone back to, as long as it is the current one', () => {
    const mark = {
      from: 'web-bad',
      to: young.metadata.name,
      reason: 'CrashLoopBackOff',
      cause: 'pod web-1: it crashed',
    };
    const reverted = web('b:1', { annotations: { [revertedAnnotation]: JSON.stringify(mark) } });
    const found = (next: ReplicaSet): unknown =>
      statusOf(reverted, { next, old: [] }, { failure: undefined }, epochMs).status.conditions?.find(
        ({ type }) => type === 'Reverted',
      )?.message;
    assert.equal(found(young), `ReplicaSet "web-bad" failed, back to "${young.metadata.name}": pod web-1: it crashed`);
    assert.equal(found(old), undefined);
  });

  it('is the same when it says the same in another order', () => {
    const { status } = statusOf(web('b:1'), sets, { failure: undefined }, epochMs);
    const turned = Object.fromEntries(Object.entries(status).toReversed());
    assert.ok(sameStatus(status, { ...turned, collisionCount: 0 }));
    assert.ok(!sameStatus(status, { ...status, replicas: 9 }));
  });
});
