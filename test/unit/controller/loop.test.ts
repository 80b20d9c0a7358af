import assert from 'node:assert/strict';
import { createNoopMeter, trace } from '@opentelemetry/api';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { TerminalError, type Controller, type KeyQueue } from '../../../lib/controller/controller.ts';
import type { Recorder } from '../../../lib/controller/events.ts';
import { runController } from '../../../lib/controller/loop.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

type Sync = Controller['sync'];

/** A running loop over `keys` with the given sync. */
function aLoop(sync: Sync, keys: readonly string[] = ['a'], whenSynced: Promise<void> = Promise.resolve()) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const runs: string[] = [];
  const told: string[] = [];
  let queue: KeyQueue | undefined;
  const recorder: Recorder = {
    event: (about, type, reason, message) =>
      told.push(`${type} ${reason} ${'metadata' in about ? about.metadata.name : ''}: ${message}`),
    flush: async () => undefined,
  };
  const controller: Controller = {
    name: 'test',
    sync: async (key, signal) => {
      runs.push(key);
      return sync(key, signal);
    },
  };
  const ended = runController(controller, {
    views: [{ whenSynced }],
    keys: () => keys,
    wake: (made) => (queue = made),
    object: (key) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: key } }) as ApiObject,
    clock,
    log: silentLog,
    meter: createNoopMeter(),
    tracer: trace.getTracer('test'),
    signal: stop.signal,
    recorder,
    random: () => 0.5,
  });
  return { clock, runs, told, add: (key: string) => queue?.add(key), stop: () => stop.abort(), ended };
}

describe('controller/loop', () => {
  it('waits for its views, then looks at every key, and again every 30 s', async () => {
    let synced = (): void => undefined;
    const { clock, runs, stop, ended } = aLoop(
      async () => undefined,
      ['a', 'b'],
      new Promise((resolve) => (synced = resolve)),
    );
    await clock.advance(60_000);
    assert.deepEqual(runs, []);
    synced();
    await settle();
    assert.deepEqual(runs, ['a', 'b']);
    await clock.advance(30_001);
    assert.deepEqual(runs, ['a', 'b', 'a', 'b']);
    stop();
    await ended;
    assert.equal(clock.pending, 0);
  });

  it('calls again after the time that sync asked for', async () => {
    let n = 0;
    const { clock, runs, stop } = aLoop(async () => (n++ === 0 ? { requeueAfterMs: 500 } : undefined));
    await clock.advance(499);
    assert.equal(runs.length, 1);
    await clock.advance(2);
    assert.equal(runs.length, 2);
    stop();
  });

  it('tries again after an error, and warns on the object when it fails five times in a row', async () => {
    let isBad = true;
    const { clock, runs, told, stop } = aLoop(async () => {
      if (isBad) throw new Error('the disk is full');
    });
    await clock.advance(2_000);
    assert.ok(runs.length >= 6);
    assert.deepEqual(told, ['Warning FailedSync a: 5 failures in a row, still trying: the disk is full']);
    isBad = false;
    await clock.advance(5_000);
    const settled = runs.length;
    await clock.advance(10_000);
    assert.equal(runs.length, settled);
    stop();
  });

  it('gives up on a terminal error until the key changes, and says so once', async () => {
    const { clock, runs, told, add, stop } = aLoop(async () => {
      throw new TerminalError('this can never work');
    });
    await clock.advance(10_000);
    assert.equal(runs.length, 1);
    assert.deepEqual(told, ['Warning FailedSync a: this can never work']);
    add('a');
    await settle();
    assert.equal(runs.length, 2);
    stop();
  });

  it('ends when its signal aborts, after what was in work', async () => {
    let finish = (): void => undefined;
    let seen: AbortSignal | undefined;
    const { stop, ended } = aLoop(async (_, signal) => {
      seen = signal;
      await new Promise<void>((resolve) => (finish = resolve));
    });
    await settle();
    stop();
    assert.equal(seen?.aborted, true);
    let isOver = false;
    void ended.then(() => (isOver = true));
    await settle();
    assert.equal(isOver, false);
    finish();
    await ended;
  });
});
