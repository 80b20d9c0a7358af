import assert from 'node:assert/strict';
import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import {
  agreementOf,
  readAgreement,
  rollingOrderAnnotation,
  rollingStatusAnnotation,
  rollingStatusOf,
  rollingUpdateAnnotation,
} from '../../../lib/api/rolling-updates.ts';
import { onFailedRolloutAnnotation } from '../../../lib/api/rollouts.ts';
import { reconcile, type Plan } from '../../../services/deployment-controller/rolling/reconcile.ts';
import type { Seen } from '../../../services/deployment-controller/rolling/seen.ts';
import { aPod, anRc, epochMs } from '../../support/builders.ts';

interface Wish {
  readonly wanted: number;
  readonly available?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly unseen?: boolean;
}
/** A controller of that version whose pods are all there and available, unless told otherwise. */
function anRcOf(
  version: string,
  { wanted, available = wanted, annotations = {}, unseen }: Wish,
): ReplicationController {
  const rc = anRc({ name: `web-${version}`, replicas: wanted, selector: { app: 'web', version } });
  const generation = 2;
  return {
    ...rc,
    metadata: { ...rc.metadata, generation, annotations },
    status: {
      ...{ replicas: wanted, readyReplicas: available, availableReplicas: available },
      observedGeneration: unseen === true ? 1 : generation,
    },
  };
}
const agreed = (more: object = {}): Readonly<Record<string, string>> => ({
  [rollingUpdateAnnotation]: JSON.stringify({ from: 'web-1', replicas: 3, ...more }),
});
const crashing: Pod = aPod({ name: 'web-2-x', phase: 'Running', ready: false });
const broken: Pod = {
  ...crashing,
  status: {
    ...crashing.status,
    containerStatuses: [
      {
        ...{ name: 'main', ready: false, restartCount: 0, image: 'x', imageID: '' },
        state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } },
      },
    ],
  },
};

interface Case extends Partial<Omit<Seen, 'next' | 'old'>> {
  readonly old?: Wish | null;
  readonly next: Wish;
  readonly agreement?: object;
  readonly order?: string;
  readonly onFailed?: string;
  readonly status?: object;
}
function planOf({ old = { wanted: 3 }, next, agreement, order, onFailed, status, ...rest }: Case): Plan {
  const annotations = {
    ...agreed(agreement),
    ...(order !== undefined && { [rollingOrderAnnotation]: order }),
    ...(onFailed !== undefined && { [onFailedRolloutAnnotation]: onFailed }),
    ...(status !== undefined && { [rollingStatusAnnotation]: JSON.stringify(status) }),
  };
  return reconcile({
    ...{ nextPods: [], oldPods: [], nowMs: epochMs, ...rest },
    next: anRcOf('2', { ...next, annotations }),
    old: old === null ? undefined : anRcOf('1', old),
  });
}
const sizes = ({ write }: Plan): Readonly<Record<string, number>> =>
  Object.fromEntries(write.map(({ metadata, spec }) => [metadata.name, spec.replicas]));

describe('deployment-controller/rolling', () => {
  it('makes one of the new first, then lets one of the old go', () => {
    assert.deepEqual(sizes(planOf({ next: { wanted: 0 } })), { 'web-2': 1 });
    assert.deepEqual(
      sizes(planOf({ next: { wanted: 1, available: 0 } })),
      { 'web-2': 1 },
      'its status alone is written',
    );
    assert.deepEqual(sizes(planOf({ next: { wanted: 1 } }))['web-1'], 2);
  });
  it('waits until both controllers have seen their last size', () =>
    assert.deepEqual(sizes(planOf({ old: { wanted: 3, unseen: true }, next: { wanted: 1 } })), { 'web-2': 1 }));
  it('removes the old one when it is empty, then ends', () => {
    const done = planOf({ old: { wanted: 0 }, next: { wanted: 3 } });
    assert.equal(done.remove?.metadata.name, 'web-1');
    const last = planOf({ old: null, next: { wanted: 3 } });
    const [left] = last.write;
    assert.ok(left);
    assert.equal(agreementOf(left), undefined);
    assert.equal(rollingStatusOf(left)?.phase, 'Succeeded');
    assert.deepEqual(reconcile({ next: left, old: undefined, nextPods: [], oldPods: [], nowMs: epochMs }).write, []);
  });
  it('goes back by an order, and keeps the word on the one that has the pods', () => {
    assert.deepEqual(sizes(planOf({ order: 'back', old: { wanted: 2 }, next: { wanted: 1 } })), {
      'web-1': 3,
      'web-2': 1,
    });
    const done = planOf({ order: 'back', next: { wanted: 0 } });
    assert.equal(done.status?.phase, 'RolledBack');
    assert.deepEqual(
      done.write.map(({ metadata }) => metadata.name),
      ['web-1'],
    );
  });
  it('stops at the first failure, or turns round, or goes on, as asked for', () => {
    const failing = { next: { wanted: 1, available: 0 }, nextPods: [broken] };
    const stopped = planOf(failing);
    assert.equal(stopped.status?.phase, 'Stopped');
    assert.match(stopped.status.message ?? '', /pod web-2-x: container main: ImagePullBackOff: no such image/);
    assert.deepEqual(sizes(stopped), { 'web-2': 1 });
    const [turned] = planOf({ ...failing, onFailed: 'revert' }).write;
    assert.equal(turned?.metadata.annotations?.[rollingOrderAnnotation], 'back');
    assert.equal(planOf({ ...failing, onFailed: 'continue' }).status?.phase, 'Progressing');
  });
  it('misses its deadline, and says what the pods wait for', () => {
    const before = { phase: 'Progressing', newAvailable: 0, oldReplicas: 3, newReplicas: 1, oldAvailable: 3 };
    const progressedAt = new Date(epochMs - 10_000).toISOString();
    const waiting = { next: { wanted: 1, available: 0 }, status: { ...before, progressedAt } };
    assert.equal(planOf({ ...waiting, agreement: { deadlineSeconds: 11 } }).wakeInMs, 1_000);
    const late = planOf({ ...waiting, agreement: { deadlineSeconds: 10 } });
    assert.equal(late.status?.reason, 'ProgressDeadlineExceeded');
    assert.match(late.status.message ?? '', /^no progress for 10 s/);
    assert.equal(planOf({ ...waiting, agreement: { deadlineSeconds: 10 }, onFailed: 'revert' }).write.length, 1);
  });
  it('holds after the canary and leaves the order to go on behind', () => {
    const canary = { agreement: { canary: 1 }, old: { wanted: 2 }, next: { wanted: 1 } };
    const held = planOf(canary);
    assert.equal(held.status?.phase, 'Canary');
    assert.deepEqual(sizes(held), { 'web-2': 1 });
    const [resumed] = planOf({ ...canary, status: held.status, order: 'resume' }).write;
    assert.ok(resumed);
    assert.equal(agreementOf(resumed)?.canary, undefined);
    assert.equal(resumed.metadata.annotations?.[rollingOrderAnnotation], undefined);
  });
  it('lets the first of two have its way, and finds no way back to what is gone', () => {
    const waits = planOf({ next: { wanted: 0 }, rival: 'web-0' });
    assert.deepEqual([waits.status?.phase, sizes(waits)], ['Waiting', { 'web-2': 0 }]);
    const lost = planOf({ old: null, next: { wanted: 1 }, order: 'back' });
    assert.deepEqual([lost.status?.phase, lost.status?.reason], ['Stopped', 'SourceGone']);
  });
});

describe('api/rolling-updates', () => {
  it('reads an agreement with its defaults', () =>
    assert.deepEqual(readAgreement('{"from":"a","replicas":2}').agreement, {
      ...{ from: 'a', replicas: 2, fromReplicas: 2, maxSurge: 1, maxUnavailable: 0 },
      ...{ periodSeconds: 0, deadlineSeconds: 600, rename: false },
    }));
  for (const text of [
    '',
    '[]',
    'null',
    '{}',
    '{"from":"a"}',
    '{"from":"a","replicas":1.5}',
    '{"from":"a","replicas":1,"canary":0}',
  ])
    it(`refuses ${text === '' ? 'nothing' : text}`, () => assert.ok(readAgreement(text).problem));
});
