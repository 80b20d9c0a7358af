import assert from 'node:assert/strict';
import { eachAtMost, inRunsOf } from '../../../lib/base/parallel.ts';

describe('base/parallel', () => {
  it('does all of it, never more than the width at a time', async () => {
    let now = 0;
    let most = 0;
    const done: number[] = [];
    await eachAtMost(3, [1, 2, 3, 4, 5, 6, 7], async (item) => {
      most = Math.max(most, ++now);
      await Promise.resolve();
      now -= 1;
      done.push(item);
    });
    assert.deepEqual([done.length, most], [7, 3]);
  });

  it('rejects with the first failure and begins nothing after it', async () => {
    const begun: number[] = [];
    const work = eachAtMost(2, [1, 2, 3, 4], async (item) => {
      begun.push(item);
      await Promise.resolve();
      if (item === 1) throw new Error('one');
    });
    await assert.rejects(work, /one/);
    assert.ok(!begun.includes(4));
  });

  it('cuts a list into runs', () => {
    assert.deepEqual(inRunsOf(2, [1, 2, 3]), [[1, 2], [3]]);
    assert.deepEqual(inRunsOf(2, []), []);
  });
});
