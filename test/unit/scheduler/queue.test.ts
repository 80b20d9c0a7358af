import assert from 'node:assert/strict';
import { PendingQueue } from '../../../services/scheduler/queue.ts';

const newQueue = (): PendingQueue => new PendingQueue({ firstMs: 100, maxMs: 400, jitter: 0 });

describe('scheduler/queue', () => {
  it('gives the longest waiting first, each once', () => {
    const queue = newQueue();
    for (const key of ['a', 'b', 'c', 'a']) queue.add(key);
    assert.deepEqual([queue.take(2), queue.take(2), queue.take(2)], [['a', 'b'], ['c'], []]);
  });

  it('gives those of higher priority first, also after they were refused', () => {
    const queue = newQueue();
    queue.add('plain');
    queue.add('urgent', 1000);
    queue.add('idle', -5);
    queue.add('urgent too', 1000);
    assert.deepEqual(queue.take(3), ['urgent', 'urgent too', 'plain']);
    queue.refuse('urgent too', 0);
    queue.retry('plain', 0);
    queue.help();
    queue.wake(0);
    queue.add('idle', 2000); // it was made another
    assert.deepEqual(queue.take(9), ['idle', 'urgent too', 'plain']);
  });

  it('does not give a pod twice while it is being placed', () => {
    const queue = newQueue();
    queue.add('a');
    queue.take(1);
    queue.add('a');
    assert.deepEqual(queue.take(1), []);
  });

  it('keeps a refused pod until something helps', () => {
    const queue = newQueue();
    queue.add('a');
    queue.refuse(queue.take(1)[0] ?? '', 0);
    assert.equal(queue.wake(1e9), undefined);
    assert.deepEqual(queue.take(1), []);
    queue.help();
    queue.wake(1e9);
    assert.deepEqual(queue.take(1), ['a']);
  });

  it('helps at once the first time, then ever later up to the bound', () => {
    const queue = newQueue();
    queue.add('a');
    const waits: number[] = [];
    for (let round = 0; round < 6; round++) {
      queue.take(1);
      queue.refuse('a', 0);
      queue.help();
      const due = queue.wake(0) ?? 0;
      waits.push(due);
      queue.wake(due);
    }
    assert.deepEqual(waits, [0, 100, 200, 400, 400, 400]);
  });

  it('retries without help', () => {
    const queue = newQueue();
    queue.add('a');
    queue.take(1);
    queue.retry('a', 0);
    queue.wake(0);
    assert.deepEqual(queue.take(1), ['a']);
  });

  it('forgets what is settled, in every state', () => {
    const queue = newQueue();
    for (const key of ['ready', 'taken', 'waiting']) queue.add(key);
    queue.settle('ready');
    queue.take(2);
    queue.refuse('waiting', 0);
    queue.settle('taken');
    queue.settle('waiting');
    queue.help();
    queue.wake(1e9);
    assert.deepEqual(queue.sizes, { ready: 0, taken: 0, waiting: 0 });
    queue.retry('taken', 0);
    assert.equal(queue.has('taken'), false, 'the end of a placing that nobody waits for');
  });
});
