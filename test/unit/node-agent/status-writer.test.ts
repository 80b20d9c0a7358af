import assert from 'node:assert/strict';
import type { Pod, PodStatus } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { silentLog } from '../../../lib/base/log.ts';
import type { Outcome } from '../../../lib/client/client.ts';
import { newStatusWriter, type StatusEntry, type StatusWriter } from '../../../node-agent/status-writer.ts';
import { aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** An API that holds pods, and answers as the test says. */
class Api {
  readonly pods = new Map<string, Pod>();
  readonly batches: number[] = [];
  /** Thrown by the next calls, first first. */
  readonly failures: Error[] = [];
  refuse: Extract<Outcome<Pod>, { ok: false }> | undefined;

  async updateStatusMany(_: 'pods', list: readonly Pod[]): Promise<readonly Outcome<Pod>[]> {
    this.batches.push(list.length);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    return list.map((pod): Outcome<Pod> => {
      if (this.refuse !== undefined) return this.refuse;
      const now = this.pods.get(pod.metadata.name);
      if (now === undefined) return { ok: false, reason: 'NotFound', message: 'gone' };
      if (now.metadata.resourceVersion !== pod.metadata.resourceVersion)
        return { ok: false, reason: 'Conflict', message: 'stale' };
      return { ok: true, object: this.put({ ...now, status: pod.status }) };
    });
  }
  async get(_: string, key: string): Promise<Pod | undefined> {
    return this.pods.get(key.split('/')[1] ?? '');
  }
  put(pod: Pod): Pod {
    const resourceVersion = String(Number(pod.metadata.resourceVersion) + 1);
    const next = { ...pod, metadata: { ...pod.metadata, resourceVersion } };
    this.pods.set(pod.metadata.name, next);
    return next;
  }
}

describe('node-agent/status-writer', () => {
  let api: Api;
  let clock: FakeClock;
  let stop: AbortController;
  let writer: StatusWriter;
  beforeEach(() => {
    api = new Api();
    clock = new FakeClock();
    stop = new AbortController();
    writer = newStatusWriter({ client: api as never, clock, log: silentLog, signal: stop.signal });
  });
  afterEach(() => {
    stop.abort();
  });

  interface Entry extends StatusEntry {
    known: Pod | undefined;
    wish: Partial<PodStatus>;
    gone: boolean;
  }
  function entry(name: string, wish: Partial<PodStatus>): Entry {
    const pod = api.put(aPod({ name, phase: 'Pending', nodeName: 'n1' }));
    const made: Entry = {
      uid: pod.metadata.uid,
      key: `default/${name}`,
      known: pod,
      wish,
      gone: false,
      latest: () => made.known,
      status: (on) => ({ ...on.status, ...made.wish }),
      written(next) {
        made.known = next;
        made.gone = next === undefined;
      },
    };
    return made;
  }
  const statusOf = (name: string): PodStatus | undefined => api.pods.get(name)?.status;

  it('writes what comes together in one call', async () => {
    for (const name of ['a', 'b', 'c']) writer.put(entry(name, { phase: 'Running' }));
    await clock.advance(1);
    assert.deepEqual(api.batches, [3]);
    assert.equal(statusOf('b')?.phase, 'Running');
    assert.equal(writer.waiting, 0);
  });
  it('writes nothing where nothing differs', async () => {
    const same = entry('a', {});
    writer.put(same);
    writer.put(same);
    await clock.advance(1);
    assert.deepEqual(api.batches, []);
  });
  it('does not say the same again where the API spells it otherwise', async () => {
    const one = entry('a', { message: 'x' });
    const written = one.written.bind(one);
    one.written = (pod) => {
      written(pod && { ...pod, status: { ...pod.status, message: 'X' } });
    };
    writer.put(one);
    await clock.advance(1);
    writer.put(one);
    await clock.advance(1_000);
    assert.deepEqual(api.batches, [1]);
  });
  it('reads and writes again at once when somebody else was first', async () => {
    const one = entry('a', { phase: 'Running' });
    api.put({
      ...(api.pods.get('a') as Pod),
      metadata: { ...(api.pods.get('a') as Pod).metadata, labels: { of: 'another' } },
    });
    writer.put(one);
    await clock.advance(1);
    assert.deepEqual([statusOf('a')?.phase, api.pods.get('a')?.metadata.labels], ['Running', { of: 'another' }]);
  });
  it('keeps on while the API is away, with the newest status', async () => {
    const one = entry('a', { phase: 'Running' });
    for (let i = 0; i < 3; i++) api.failures.push(new ApiError('ServiceUnavailable', 'away'));
    writer.put(one);
    await clock.advance(1);
    one.wish = { phase: 'Running', message: 'newer' };
    writer.put(one);
    await clock.advance(30_000);
    assert.deepEqual(statusOf('a')?.message, 'newer');
    assert.equal(writer.waiting, 0);
  });
  it('never leaves a terminal phase, whoever wrote it', async () => {
    const one = entry('a', { phase: 'Running' });
    one.known = api.put({ ...(api.pods.get('a') as Pod), status: { phase: 'Failed' } });
    writer.put(one);
    await clock.advance(1_000);
    assert.equal(statusOf('a')?.phase, 'Failed');
  });
  it('says when the pod is gone, and gives up what is invalid', async () => {
    const one = entry('a', { phase: 'Running' });
    api.pods.clear();
    writer.put(one);
    await clock.advance(1);
    assert.equal(one.gone, true);

    const two = entry('b', { phase: 'Running' });
    api.refuse = { ok: false, reason: 'Invalid', message: 'no' };
    writer.put(two);
    await clock.advance(60_000);
    assert.equal(api.batches.length, 2);
  });
  it('settles when all is written, or when the time is over', async () => {
    const one = entry('a', { phase: 'Running' });
    writer.put(one);
    let settled = false;
    const waiting = writer.settled(one.uid, 60_000).then(() => (settled = true));
    await clock.advance(1);
    await waiting;
    assert.ok(settled);
    await writer.settled('nobody', 60_000);
  });
});
