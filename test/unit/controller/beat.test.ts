import assert from 'node:assert/strict';
import { nextBeat } from '../../../lib/controller/beat.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

describe('controller/beat', () => {
  it('comes for all of a process at one moment, whenever they began to wait', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    const cameMs: number[] = [];
    const wait = (everyMs: number): void =>
      void nextBeat(clock, everyMs, signal).then(() => cameMs.push(clock.monotonic() % 500));
    for (const laterMs of [100, 300, 50]) {
      wait(500);
      await clock.advance(laterMs);
    }
    assert.deepEqual(cameMs, []);
    await clock.advance(500);
    assert.deepEqual(cameMs, [0, 0, 0]);
  });

  it('is never now', async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    await clock.advance(500 - (clock.monotonic() % 500));
    let came = false;
    void nextBeat(clock, 500, signal).then(() => (came = true));
    await clock.advance(499);
    assert.equal(came, false);
    await clock.advance(1);
    assert.equal(came, true);
  });

  it('is given up by one without the others, and by the last with its timer', async () => {
    const clock = new FakeClock();
    const [one, other] = [new AbortController(), new AbortController()];
    const ends: string[] = [];
    const wait = (name: string, { signal }: AbortController): void =>
      void nextBeat(clock, 500, signal).then(
        () => ends.push(`${name} came`),
        (error: Error) => ends.push(`${name} ${error.message}`),
      );
    wait('one', one);
    wait('other', other);
    one.abort(new Error('gone'));
    await settle();
    assert.deepEqual(ends, ['one gone']);
    await clock.advance(500);
    assert.deepEqual(ends, ['one gone', 'other came']);
    wait('again', one);
    await settle();
    assert.deepEqual(ends.at(-1), 'again gone');
  });
});
