import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { WorkQueue } from '../../../lib/controller/queue.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

/** A queue whose work takes `workMs` and is written down. */
function aQueue(options: { workers?: number; workMs?: number; fails?: (key: string) => boolean } = {}) {
  const clock = new FakeClock();
  const runs: string[] = [];
  const inWork = new Set<string>();
  let most = 0;
  const queue = new WorkQueue({
    clock,
    workers: options.workers ?? 2,
    random: () => 0,
    work: async (key) => {
      assert.ok(!inWork.has(key), `${key} is in work twice`);
      inWork.add(key);
      most = Math.max(most, inWork.size);
      runs.push(key);
      await new Promise<void>((resolve) => clock.after(options.workMs ?? 10, resolve));
      inWork.delete(key);
      if (options.fails?.(key)) throw new Error('failed');
    },
  });
  queue.start();
  return { clock, queue, runs, most: () => most };
}

describe('controller/queue', () => {
  it('runs a key once however often it was added while it waited', async () => {
    const { clock, queue, runs } = aQueue({ workers: 1 });
    for (const key of ['a', 'b', 'b', 'b']) queue.add(key);
    await clock.advance(100);
    assert.deepEqual(runs, ['a', 'b']);
  });

  it('runs a key once more when it was added while in work', async () => {
    const { clock, queue, runs } = aQueue();
    queue.add('a');
    await settle();
    for (let n = 0; n < 5; n++) queue.add('a');
    await clock.advance(100);
    assert.deepEqual(runs, ['a', 'a']);
  });

  it('gives all else a turn while a key asks for itself again and again and waits for nobody', async () => {
    const most = 1_000_000;
    let runs = 0;
    let over = false;
    const work = async (key: string): Promise<void> => {
      if (++runs < most && !over) queue.add(key);
    };
    const queue: WorkQueue = new WorkQueue({ clock: new FakeClock(), workers: 1, work });
    queue.start();
    queue.add('a');
    await delay(5);
    over = true;
    assert.ok(runs > 1 && runs < most, `${runs} runs`);
    await queue.stop();
  });

  it('keeps to its workers', async () => {
    const { clock, queue, runs, most } = aQueue({ workers: 3 });
    for (let n = 0; n < 20; n++) queue.add(`k${n}`);
    await clock.advance(1_000);
    assert.deepEqual([runs.length, most()], [20, 3]);
  });

  it('adds after a time, of several times the earliest', async () => {
    const { clock, queue, runs } = aQueue();
    queue.addAfter('a', 500);
    queue.addAfter('a', 200);
    queue.addAfter('a', 900);
    await clock.advance(199);
    assert.equal(runs.length, 0);
    await clock.advance(2_000);
    assert.deepEqual(runs, ['a']);
  });

  it('backs off from 5 ms to 30 s while a key fails, and starts over after a success', async () => {
    let isBad = true;
    const { clock, queue, runs } = aQueue({ workMs: 0, fails: () => isBad });
    const times: number[] = [];
    queue.add('a');
    for (let seen = 0; times.length < 15;) {
      await clock.advance(1);
      if (runs.length > seen) times.push(clock.monotonic());
      seen = runs.length;
      if (times.length > 12) await clock.advance(29_000);
    }
    const gaps = times.slice(1).map((at, n) => at - (times[n] ?? 0));
    assert.ok((gaps[0] ?? 0) <= 6 && (gaps[1] ?? 0) >= 9, `first gaps ${gaps.slice(0, 3).join(', ')}`);
    assert.ok(
      gaps.every((gap) => gap <= 30_010),
      'never more than 30 s',
    );
    isBad = false;
    await clock.advance(31_000);
    queue.succeeded('a');
    assert.equal(queue.failing, 0);
  });

  it('forgets what waits when stopped, waits for what is in work, and takes nothing while stopped', async () => {
    const { clock, queue, runs } = aQueue({ workers: 1 });
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 5);
    await settle();
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    queue.add('d');
    await settle();
    assert.equal(stopped, false);
    await clock.advance(1_000);
    await stopping;
    assert.deepEqual(runs, ['a']);
    assert.equal(clock.pending, 0);
    queue.start();
    queue.add('e');
    await clock.advance(100);
    assert.deepEqual(runs, ['a', 'e']);
  });

  it('runs every key at least once after its last addition', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), waitMs: fc.nat(15), afterMs: fc.nat(20) })),
        async (additions) => {
          const { clock, queue, runs } = aQueue({ workers: 2 });
          for (const { key, waitMs, afterMs } of additions) {
            queue.addAfter(key, afterMs);
            await clock.advance(waitMs);
          }
          const mark = runs.length;
          const last = additions.at(-1)?.key;
          if (last !== undefined) queue.add(last);
          await clock.advance(1_000);
          if (last !== undefined) assert.ok(runs.slice(mark).includes(last));
          assert.equal(queue.depth, 0);
        },
      ),
      { numRuns: 50 },
    ));
});
