import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { silentLog } from '../../../lib/base/log.ts';
import type { Client } from '../../../lib/client/client.ts';
import { newRecorder, type Recorder } from '../../../lib/controller/events.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

const pod = (name: string, namespace: string | undefined = 'shop'): ApiObject =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: `uid-${name}`, resourceVersion: '7' },
  }) as ApiObject;

interface Draft {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

describe('controller/events', () => {
  let clock: FakeClock;
  let recorder: Recorder;
  let created: Draft[];
  let patched: { key: string; patch: Record<string, unknown> }[];
  let failure: ApiError | undefined;
  let stop: AbortController;

  beforeEach(() => {
    clock = new FakeClock();
    stop = new AbortController();
    created = [];
    patched = [];
    failure = undefined;
    const client = {
      create: async (_: string, draft: Draft) => {
        if (failure !== undefined) throw failure;
        created.push(draft);
        return draft;
      },
      patch: async (_: string, key: string, patch: Record<string, unknown>) => {
        if (failure !== undefined) throw failure;
        patched.push({ key, patch });
        return patch;
      },
    } as unknown as Pick<Client, 'create' | 'patch'>;
    recorder = newRecorder({
      client,
      component: 'scheduler',
      host: 'm1',
      clock,
      log: silentLog,
      meter: createNoopMeter(),
      signal: stop.signal,
    });
  });
  afterEach(() => stop.abort());

  it('tells who saw what of which object, and when', async () => {
    recorder.event(pod('web-1'), 'Warning', 'FailedScheduling', '0/3 nodes are available');
    await settle();
    const [event] = created;
    assert.match(event?.metadata.name ?? '', /^web-1\.[0-9a-f]{16}$/);
    assert.deepEqual(
      { ...event, metadata: event?.metadata.namespace },
      {
        metadata: 'shop',
        involvedObject: {
          apiVersion: 'v1',
          kind: 'Pod',
          name: 'web-1',
          namespace: 'shop',
          uid: 'uid-web-1',
          resourceVersion: '7',
        },
        type: 'Warning',
        reason: 'FailedScheduling',
        message: '0/3 nodes are available',
        source: { component: 'scheduler', host: 'm1' },
        firstTimestamp: '2026-01-01T00:00:00Z',
        lastTimestamp: '2026-01-01T00:00:00Z',
        count: 1,
        reportingComponent: 'scheduler',
        reportingInstance: 'm1',
      },
    );
  });

  it('puts events of cluster-scoped objects into the default namespace', async () => {
    recorder.event({ kind: 'Node', name: 'n1' }, 'Normal', 'Starting', 'hello');
    await settle();
    assert.equal(created[0]?.metadata.namespace, 'default');
  });

  it('counts up what is told again, and tells it anew after ten minutes', async () => {
    recorder.event(pod('a'), 'Warning', 'BackOff', 'again');
    await settle();
    await clock.advance(30_000);
    for (let n = 0; n < 4; n++) recorder.event(pod('a'), 'Warning', 'BackOff', 'again');
    recorder.event(pod('a'), 'Warning', 'BackOff', 'something else');
    await settle();
    assert.equal(created.length, 2);
    const counted = patched.reduce((_, { patch }) => Number(patch['count']), 0);
    assert.deepEqual([counted, patched.at(-1)?.key], [5, `shop/${created[0]?.metadata.name}`]);
    await clock.advance(11 * 60_000);
    recorder.event(pod('a'), 'Warning', 'BackOff', 'again');
    await settle();
    assert.equal(created.length, 3);
  });

  it('tells anew what the API has dropped meanwhile', async () => {
    recorder.event(pod('a'), 'Normal', 'Created', 'x');
    await settle();
    failure = new ApiError('NotFound', 'aged out');
    recorder.event(pod('a'), 'Normal', 'Created', 'x');
    const before = created.length;
    await settle();
    failure = undefined;
    recorder.event(pod('a'), 'Normal', 'Created', 'x');
    await settle();
    assert.ok(created.length >= before);
  });

  it('keeps a bounded number while the API is away, drops the rest, and never waits', async () => {
    failure = new ApiError('ServiceUnavailable', 'away');
    for (let n = 0; n < 5_000; n++) recorder.event(pod(`p${n}`), 'Normal', 'Created', 'x');
    await clock.advance(200);
    failure = undefined;
    await clock.advance(10_000);
    assert.ok(created.length >= 900 && created.length <= 1_001, `${created.length} events`);
  });

  it('shortens what is too long', async () => {
    recorder.event(pod('a'), 'Normal', 'Created', 'x'.repeat(5_000));
    await settle();
    assert.equal(String(created[0]?.['message']).length, 1_024);
  });

  it('writes what waits when asked to flush', async () => {
    recorder.event(pod('a'), 'Normal', 'Created', 'x');
    await recorder.flush(1_000);
    assert.equal(created.length, 1);
  });
});
