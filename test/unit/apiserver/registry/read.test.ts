import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Selection } from '../../../../services/apiserver/registry/registry.ts';
import { until } from '../../../support/until.ts';
import {
  aRegistry,
  closeAll,
  objectOf,
  podDraft,
  readWatch,
  rejects,
  type Seen,
  type RegistryUnderTest,
} from './a-registry.ts';

describe('apiserver/registry get, list and watch', () => {
  afterEach(closeAll);

  async function threePods(): Promise<RegistryUnderTest> {
    const subject = await aRegistry();
    const { registry } = subject;
    await registry.create('namespaces', undefined, { metadata: { name: 'shop' } }, {});
    await registry.create('pods', 'shop', podDraft({ name: 'c', labels: { app: 'web', tier: 'x' } }), {});
    await registry.create('pods', 'default', podDraft({ name: 'b', labels: { app: 'web' } }), {});
    await registry.create('pods', 'default', podDraft({ name: 'a', labels: { app: 'db' } }), {});
    await registry.bind({ metadata: { name: 'b', namespace: 'default' }, target: { name: 'n1' } }, {});
    return subject;
  }
  const names = (items: readonly { readonly json: Buffer }[]): string[] =>
    items.map((served) => objectOf({ served }).metadata.name);

  it('list by namespace, labels and fields, in order of their keys', async () => {
    const { registry } = await threePods();
    const cases: readonly (readonly [Selection, readonly string[]])[] = [
      [{}, ['a', 'b', 'c']],
      [{ namespace: 'default' }, ['a', 'b']],
      [{ namespace: 'nowhere' }, []],
      [{ labelSelector: 'app=web' }, ['b', 'c']],
      [{ labelSelector: 'app=web', namespace: 'shop' }, ['c']],
      [{ labelSelector: 'app in (web,db),tier!=x' }, ['a', 'b']],
      [{ labelSelector: 'tier' }, ['c']],
      [{ labelSelector: '!tier' }, ['a', 'b']],
      [{ labelSelector: 'absent=x' }, []],
      [{ fieldSelector: 'spec.nodeName=n1' }, ['b']],
      [{ fieldSelector: 'spec.nodeName=' }, ['a', 'c']],
      [{ fieldSelector: 'spec.nodeName!=n1' }, ['a', 'c']],
      [{ fieldSelector: 'metadata.name=b' }, ['b']],
      [{ fieldSelector: 'metadata.name=b', namespace: 'shop' }, []],
      [{ fieldSelector: 'status.phase=Pending,spec.restartPolicy=Always' }, ['a', 'b', 'c']],
      [{ fieldSelector: 'spec.restartPolicy=Never' }, []],
      [{ fieldSelector: 'spec.nodeName=n1', labelSelector: 'app=db' }, []],
    ];
    for (const [selection, want] of cases) {
      assert.deepEqual(names((await registry.list('pods', selection)).items), want, JSON.stringify(selection));
    }
    await rejects(registry.list('pods', { labelSelector: 'a==' + '=b' }), 'BadRequest', /label selector/);
    await rejects(
      registry.list('pods', { fieldSelector: 'spec.image=x' }),
      'BadRequest',
      /field label not supported: spec.image/,
    );
    await rejects(registry.list('gadgets', {}), 'NotFound');
  });

  it('follow changes of labels and fields', async () => {
    const { registry } = await threePods();
    await registry.patch('pods', 'default/a', { metadata: { labels: { app: 'web' } } }, {});
    assert.deepEqual(names((await registry.list('pods', { labelSelector: 'app=web' })).items), ['a', 'b', 'c']);
    assert.deepEqual(names((await registry.list('pods', { labelSelector: 'app=db' })).items), []);
    await registry.delete('pods', 'default/b', { gracePeriodSeconds: 0 });
    assert.deepEqual(names((await registry.list('pods', { fieldSelector: 'spec.nodeName=n1' })).items), []);
    assert.deepEqual(names((await registry.list('pods', {})).items), ['a', 'c']);
  });

  it('list page by page, as it was when the first page was read', async () => {
    const { registry } = await threePods();
    const first = await registry.list('pods', { limit: 2 });
    assert.deepEqual([names(first.items), first.remaining], [['a', 'b'], 1]);
    const same = await registry.list('pods', { limit: 2, continue: first.continue ?? '' });
    assert.deepEqual([names(same.items), same.continue, same.revision], [['c'], undefined, first.revision]);
    await registry.delete('pods', 'shop/c', {});
    await registry.create('pods', 'default', podDraft({ name: 'z' }), {});
    const later = await registry.list('pods', { limit: 2, continue: first.continue ?? '' });
    assert.deepEqual([names(later.items), later.revision], [['c'], first.revision]);
    await rejects(registry.list('pods', { continue: 'nonsense' }), 'BadRequest', /continue/);
  });

  it('list the state as it was at a revision, until that is compacted', async () => {
    const { registry, store } = await threePods();
    const { revision } = await registry.list('pods', {});
    await registry.patch('pods', 'default/a', { metadata: { labels: { app: 'web' } } }, {});
    const old = await registry.list('pods', { atRevision: revision, labelSelector: 'app=db', namespace: 'default' });
    assert.deepEqual([names(old.items), old.revision], [['a'], revision]);
    const page = await registry.list('pods', { atRevision: revision, limit: 2 });
    const rest = await registry.list('pods', { limit: 2, continue: page.continue ?? '' });
    assert.deepEqual([...names(page.items), ...names(rest.items)], ['a', 'b', 'c']);
    await rejects(registry.list('pods', { atRevision: revision + 99 }), 'BadRequest');
    await store.compact(await store.revision());
    await rejects(registry.list('pods', { atRevision: revision }), 'Expired');
    await rejects(registry.list('pods', { continue: page.continue ?? '' }), 'Expired');
  });

  it('see every write that was acknowledged', async () => {
    const { registry } = await aRegistry();
    for (let i = 0; i < 50; i++) {
      await registry.create('pods', 'default', podDraft({ name: `p${i}` }), {});
      assert.equal((await registry.list('pods', {})).items.length, i + 1);
      assert.ok(await registry.get('pods', `default/p${i}`));
    }
  });

  it('serve the bytes with the revision put in', async () => {
    const { registry } = await threePods();
    const { items } = await registry.list('pods', {});
    for (const served of items) assert.equal(objectOf({ served }).metadata.resourceVersion, String(served.revision));
  });

  describe('position', () => {
    it('is the last change of a resource, or of its objects on one node', async () => {
      const { registry } = await threePods();
      const bound = await registry.position('pods', 'n1');
      assert.equal(bound, await registry.position('pods'));
      await registry.patch('pods', 'default/a', { metadata: { labels: { x: 'y' } } }, {});
      assert.equal(await registry.position('pods', 'n1'), bound);
      const deleted = await registry.delete('pods', 'default/b', { gracePeriodSeconds: 0 });
      assert.equal(await registry.position('pods', 'n1'), deleted.served.revision);
      assert.equal(await registry.position('services'), 0, 'nothing was there when this apiserver began');
    });
  });

  describe('watch', () => {
    const watched = async (
      { registry }: RegistryUnderTest,
      [selection, from]: readonly [Selection, number],
      act: () => Promise<unknown>,
      last: string,
    ): Promise<string[]> => {
      const reading = readWatch(registry.watch('pods', selection, from, AbortSignal.timeout(5_000)), (told) =>
        told.includes(last),
      );
      await act();
      return reading;
    };

    it('tells changes from a revision on, history first, each once', async () => {
      const subject = await aRegistry();
      const { registry } = subject;
      const { revision } = await registry.list('pods', {});
      for (let i = 0; i < 30; i++) await registry.create('pods', 'default', podDraft({ name: `p${i}` }), {});
      const told = await watched(
        subject,
        [{}, revision],
        async () => {
          for (let i = 30; i < 60; i++) await registry.create('pods', 'default', podDraft({ name: `p${i}` }), {});
        },
        'ADDED p59',
      );
      assert.deepEqual(
        told,
        Array.from({ length: 60 }, (_, i) => `ADDED p${i}`),
      );
    });

    it('tells ADDED when an object starts to match and DELETED when it stops', async () => {
      const subject = await threePods();
      const { registry } = subject;
      const { revision } = await registry.list('pods', {});
      const act = async (): Promise<void> => {
        const label = (app: string): Promise<unknown> =>
          registry.patch('pods', 'default/a', { metadata: { labels: { app } } }, {});
        await label('web');
        await registry.patch('pods', 'default/a', { metadata: { labels: { more: 'x' } } }, {});
        await label('other');
        await label('third');
        await registry.delete('pods', 'default/b', { gracePeriodSeconds: 0 });
      };
      const want = ['ADDED a', 'MODIFIED a', 'DELETED a', 'DELETED b'];
      const live = await watched(
        subject,
        [{ labelSelector: 'app=web', namespace: 'default' }, revision],
        act,
        'DELETED b',
      );
      assert.deepEqual(live, want);
      const past = await watched(
        subject,
        [{ labelSelector: 'app=web', namespace: 'default' }, revision],
        async () => undefined,
        'DELETED b',
      );
      assert.deepEqual(past, want);
    });

    it('follows the pods of one node', async () => {
      const subject = await threePods();
      const { registry } = subject;
      const { revision } = await registry.list('pods', {});
      const told = await watched(
        subject,
        [{ fieldSelector: 'spec.nodeName=n1' }, revision],
        async () => {
          await registry.bind({ metadata: { name: 'a', namespace: 'default' }, target: { name: 'n2' } }, {});
          await registry.bind({ metadata: { name: 'c', namespace: 'shop' }, target: { name: 'n1' } }, {});
          await registry.patch('pods', 'shop/c', { status: { phase: 'Running' } }, { subresource: 'status' });
        },
        'MODIFIED c',
      );
      assert.deepEqual(told, ['ADDED c', 'MODIFIED c']);
    });

    it('tells by bookmark that nothing of interest happened', async () => {
      const { registry, clock } = await threePods();
      const from = (await registry.list('pods', {})).revision;
      const other = await registry.create('configmaps', 'default', { metadata: { name: 'c' } }, {});
      await registry.list('pods', {});
      const abort = new AbortController();
      const reading = readWatch(
        registry.watch('pods', {}, from, abort.signal),
        (_, revision) => revision >= other.served.revision,
      );
      await clock.advance(11_000);
      assert.deepEqual(await reading, []);
    });

    it('shares batches among those who watch the same', async () => {
      const { registry } = await threePods();
      const { revision } = await registry.list('pods', {});
      const abort = new AbortController();
      const readers = [0, 1].map(() =>
        registry.watch('pods', { labelSelector: 'app' }, revision, abort.signal)[Symbol.asyncIterator](),
      );
      const pending = readers.map((reader) => reader.next());
      await new Promise(setImmediate);
      await registry.create('pods', 'default', podDraft({ name: 'x', labels: { app: 'x' } }), {});
      const [one, two] = await Promise.all(pending);
      assert.equal(one?.value, two?.value);
      abort.abort();
    });

    it('says Expired when history does not reach back, or the revision is yet to come', async () => {
      const { registry, store } = await threePods();
      await store.compact((await store.revision()) - 1);
      const read = (from: number): Promise<unknown> =>
        readWatch(registry.watch('pods', {}, from, AbortSignal.timeout(2_000)), () => true);
      await rejects(read(1), 'Expired', /history reaches back to/);
      await rejects(read(10_000), 'Expired', /yet to come/);
    });

    it('ends when aborted', async () => {
      const { registry } = await threePods();
      const { revision } = await registry.list('pods', {});
      const abort = new AbortController();
      const reading = readWatch(registry.watch('pods', {}, revision, abort.signal), () => false);
      setImmediate(() => {
        abort.abort();
      });
      assert.deepEqual(await reading, []);
    });

    it('cuts off who reads too slowly', async () => {
      const { registry } = await aRegistry();
      const { revision } = await registry.list('configmaps', {});
      const slow = registry.watch('configmaps', {}, revision, AbortSignal.timeout(20_000))[Symbol.asyncIterator]();
      const first = slow.next();
      await registry.create('configmaps', 'default', { metadata: { name: 'c' }, data: { n: '0' } }, {});
      await first;
      for (let i = 1; i <= 10_000; i++) {
        await registry.patch('configmaps', 'default/c', { data: { n: String(i) } }, { fieldValidation: 'Ignore' });
      }
      await rejects(
        (async () => {
          for (;;) if ((await slow.next()).done === true) return;
        })(),
        'Expired',
        /too slowly/,
      );
    }).timeout(40_000);
  });

  it('always list and watch what a model says', async () => {
    const op = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      app: fc.constantFrom('web', 'db', undefined),
      does: fc.constantFrom('put', 'put', 'put', 'delete'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(op, { maxLength: 30 }), async (ops) => {
        const subject = await aRegistry();
        const { registry } = subject;
        const model = new Map<string, string | undefined>();
        const { revision } = await registry.list('configmaps', {});
        const seen = new Map<string, Seen>();
        const abort = new AbortController();
        const selection = { labelSelector: 'app=web' };
        const watching = (async () => {
          for await (const { changes } of registry.watch('configmaps', selection, revision, abort.signal)) {
            for (const { type, served } of changes) {
              const object = objectOf({ served });
              assert.equal(type === 'ADDED', !seen.has(object.metadata.name), 'ADDED is for what was not there');
              if (type === 'DELETED') seen.delete(object.metadata.name);
              else seen.set(object.metadata.name, object);
            }
          }
        })();
        for (const { name, app, does } of ops) {
          const draft = { metadata: { name, labels: app === undefined ? {} : { app } } };
          if (does === 'delete') {
            if (model.delete(name)) await registry.delete('configmaps', `default/${name}`, {});
          } else {
            if (model.has(name)) await registry.update('configmaps', `default/${name}`, draft, {});
            else await registry.create('configmaps', 'default', draft, {});
            model.set(name, app);
          }
        }
        const want = [...model]
          .filter(([, app]) => app === 'web')
          .map(([name]) => name)
          .sort();
        assert.deepEqual(names((await registry.list('configmaps', selection)).items), want);
        await until(() => JSON.stringify([...seen.keys()].sort()) === JSON.stringify(want), {
          what: 'the watch agrees',
          everyMs: 1,
        });
        abort.abort();
        await watching;
        await closeAll();
      }),
      { numRuns: 30 },
    );
  });
});
