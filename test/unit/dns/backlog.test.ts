import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Backlog } from '../../../services/dns/backlog.ts';
import { answerInTurns } from '../../../services/dns/turns.ts';
import { until } from '../../support/until.ts';

const question = (text: string, more: Partial<{ port: number; address: string; arrivedMs: number }> = {}) => ({
  ...{ message: Buffer.from(text), port: 5353, address: '10.244.0.1', arrivedMs: 1_234, ...more },
});

describe('dns/backlog', () => {
  it('gives everything back as it was put in, in order, however it is mixed', () => {
    const waiting = fc.record(
      {
        message: fc.uint8Array({ maxLength: 70_000, size: 'large' }).map((bytes) => Buffer.from(bytes)),
        port: fc.integer({ min: 1, max: 65_535 }),
        address: fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((octets) => octets.join('.')),
        arrivedMs: fc.double({ min: 0, noNaN: true }),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(fc.option(waiting, { nil: 'take' as const }), { maxLength: 60 }), (steps) => {
        const backlog = new Backlog(8 << 20);
        const model: unknown[] = [];
        for (const step of steps) {
          if (step !== 'take') {
            if (backlog.add(step)) model.push(step);
          } else assert.deepEqual(backlog.take(), model.shift());
          assert.equal(backlog.length, model.length);
        }
        while (model.length > 0) assert.deepEqual(backlog.take(), model.shift());
        assert.equal(backlog.take(), undefined);
      }),
      { numRuns: 30 },
    );
  });

  it('goes on for ever with questions that come one at a time', () => {
    const backlog = new Backlog(8 << 20);
    for (let i = 0; i < 100_000; i++) {
      const asked = question(`question ${i}`);
      assert(backlog.add(asked));
      assert.deepEqual(backlog.take()?.message, asked.message);
      assert.equal(backlog.take(), undefined);
    }
  });

  it('takes no more than its bound, and again when there is room', () => {
    const backlog = new Backlog(2 << 20);
    const large = question('x'.repeat(60_000));
    let held = 0;
    while (backlog.add(large)) held++;
    assert(held >= 30 && held <= 35, `${held}`);
    for (let i = 0; i < 17; i++) backlog.take();
    assert(backlog.add(large));
    assert.equal(backlog.length, held - 16);
  });
});

describe('dns/turns', () => {
  it('answers a question that comes alone in the same turn', async () => {
    const answered: string[] = [];
    const add = answerInTurns({}, ({ message }) => answered.push(message.toString()));
    add(question('a', { arrivedMs: performance.now() }));
    assert.deepEqual(answered, []);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(answered, ['a']);
  });

  it('answers nothing while there is more to read, and all of it afterwards', async () => {
    let answered = 0;
    const add = answerInTurns({}, () => answered++);
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 32; i++) add(question('a', { arrivedMs: performance.now() }));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(answered, 0);
    }
    await until(() => answered === 160, { what: 'all are answered' });
  });

  it('does not answer who has given up, and says how many', async () => {
    let dropped = 0;
    const answered: string[] = [];
    const add = answerInTurns({ onDropped: (count) => (dropped += count) }, ({ message }) =>
      answered.push(message.toString()),
    );
    add(question('old', { arrivedMs: performance.now() - 11_000 }));
    add(question('new', { arrivedMs: performance.now() }));
    await until(() => answered.length === 1, { what: 'the answer' });
    assert.deepEqual([answered, dropped], [['new'], 1]);
  });
});
