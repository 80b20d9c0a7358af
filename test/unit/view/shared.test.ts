import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import type { Pod } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { toStored } from '../../../lib/api/stored.ts';
import { newSharedViews } from '../../../lib/view/shared.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { StoreReader } from '../../support/store-reader.ts';

const pod = (name: string, node: string): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, creationTimestamp: '', resourceVersion: '' },
    spec: { nodeName: node, containers: [] },
  }) as unknown as Pod;

describe('view/shared', () => {
  const clock = new FakeClock();
  let store: MemoryStore;
  let reader: StoreReader;
  let stop: AbortController;
  beforeEach(() => {
    store = new MemoryStore({ clock });
    reader = new StoreReader(store);
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await settle();
    await store.close();
  });
  const views = () =>
    newSharedViews({
      ...{ client: reader, bus: undefined, cluster: 'test', clock, log: silentLog, signal: stop.signal },
      meter: createNoopMeter(),
    });
  const put = (name: string, node: string): Promise<number> =>
    store.commit([{ key: `pods/default/${name}`, value: toStored(pod(name, node)) }]);

  it('reads a resource once for all, with indexes of each its own, also of one that comes later', async () => {
    await put('a', 'n1');
    const shared = views();
    const one = shared.view('pods', { indexes: { by: ({ spec }) => [spec.nodeName ?? ''] } });
    const other = shared.view('pods', { indexes: { by: ({ metadata }) => [metadata.name] } });
    await clock.advanceUntil(() => one.synced && other.synced, 'both are synced');
    const late = shared.view('pods', { indexes: { by: () => ['all'] } });
    assert.ok(late.synced);
    await put('b', 'n1');
    await clock.advanceUntil(() => one.size === 2, 'the change');
    assert.deepEqual([one.by('by', 'n1').length, one.by('by', 'a').length], [2, 0]);
    assert.deepEqual([other.by('by', 'a').length, other.by('by', 'n1').length], [1, 0]);
    assert.equal(late.by('by', 'all').length, 2);
    assert.throws(() => one.by('none', ''), /no index/);
    assert.deepEqual([reader.asked.list, reader.openWatches], [1, 1]);
  });

  it('shows what one wrote to all at once', async () => {
    const shared = views();
    const [one, other] = [shared.view('pods'), shared.view('pods')];
    await clock.advanceUntil(() => one.synced, 'synced');
    const heard: string[] = [];
    other.onChange(({ key }) => heard.push(key));
    const written = pod('own', 'n1');
    one.wrote({ ...written, metadata: { ...written.metadata, resourceVersion: '7' } });
    assert.deepEqual([heard, other.get('default/own')?.metadata.name], [['default/own'], 'own']);
  });

  it('tells a reader that has closed nothing more, and ends with the last one', async () => {
    const shared = views();
    const [one, other] = [shared.view('pods'), shared.view('pods')];
    await clock.advanceUntil(() => one.synced && reader.openWatches === 1, 'synced');
    const heard: string[] = [];
    one.onChange(({ key }) => heard.push(key));
    one.close();
    one.close();
    await put('a', 'n1');
    await clock.advanceUntil(() => other.size === 1, 'the change');
    assert.deepEqual(heard, []);
    other.close();
    await clock.advanceUntil(() => reader.openWatches === 0, 'the watch closed');
    const anew = shared.view('pods');
    await clock.advanceUntil(() => anew.size === 1, 'a new one');
  });

  it('makes a view of its own for a narrower selection', async () => {
    const shared = views();
    const [all, some] = [shared.view('pods'), shared.view('pods', { namespace: 'other' })];
    await put('a', 'n1');
    await clock.advanceUntil(() => all.size === 1 && some.synced, 'synced');
    assert.equal(some.size, 0);
  });
});
