import assert from 'node:assert/strict';
import type { Pod } from '../../../lib/api/objects.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { holdOf } from '../../../services/replication-controller/backoff.ts';
import { anRc, aPod, epochMs } from '../../support/builders.ts';

const rc = anRc({ replicas: 2 });
/** A pod of it that was made at `madeS` and failed `livedS` later. */
const failed = (madeS: number, livedS = 1): Pod => {
  const at = (seconds: number): string => rfc3339(epochMs + seconds * 1000);
  const condition = { type: 'Ready', status: 'False' as const, lastTransitionTime: at(madeS + livedS) };
  return aPod({
    ...{ name: `web-${madeS}`, labels: { app: 'web' }, ownerUid: rc.metadata.uid, phase: 'Failed' },
    creationTimestamp: at(madeS),
    status: { conditions: [condition], reason: 'SysctlForbidden' },
  });
};
const waits = (pods: readonly Pod[], atS: number): number =>
  (holdOf(rc, pods, epochMs + atS * 1000)?.waitMs ?? 0) / 1000;

describe('replication-controller/backoff', () => {
  it('lets each replica fail once without a pause', () => {
    assert.equal(waits([], 0), 0);
    assert.equal(waits([failed(0), failed(0)], 1), 0);
  });
  it('then waits from the last failure on, twice as long with each round', () => {
    const pods = Array.from({ length: 9 }, () => failed(0));
    assert.deepEqual(
      [3, 4, 5, 7, 9].map((count) => waits(pods.slice(0, count), 1)),
      [1, 1, 2, 4, 8],
    );
    assert.equal(waits(pods.slice(0, 5), 2.5), 0.5);
    assert.equal(waits(pods.slice(0, 5), 3), 0);
  });
  it('never longer than 300 s, nor longer than the pause where the clock was set back', () => {
    assert.equal(
      waits(
        Array.from({ length: 200 }, () => failed(0)),
        1,
      ),
      300,
    );
    assert.equal(waits([failed(0), failed(0), failed(0)], -3_600), 1);
  });
  it('replaces at once what has lived for a while, and forgets what is long ago', () => {
    assert.equal(waits([failed(0, 60), failed(1, 60), failed(2, 60)], 62), 0);
    assert.equal(
      waits(
        Array.from({ length: 20 }, () => failed(0)),
        700,
      ),
      0,
    );
  });
  it('names the last pod that failed', () => {
    assert.equal(holdOf(rc, [failed(0), failed(3), failed(1)], epochMs + 4_000)?.last.metadata.name, 'web-3');
  });
});
