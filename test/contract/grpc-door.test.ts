import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { Pod } from '../../lib/api/objects.ts';
import type { ApiError } from '../../lib/base/errors.ts';
import type { WatchEvent } from '../../lib/client/client.ts';
import { fromStatus } from '../../lib/client/codes.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newGrpcServer } from '../../services/apiserver/grpc/server.ts';
import { DoorFixture, newSilenceableProxy, pod } from '../support/grpc-door.ts';
import { until } from '../support/until.ts';

describe('gRPC door: our client', () => {
  let fixture: DoorFixture;
  beforeEach(async () => {
    fixture = await DoorFixture.open();
  });
  afterEach(() => fixture.close());

  const fails = (work: Promise<unknown>, reason: string, pattern: RegExp): Promise<void> =>
    assert.rejects(work, (error: ApiError) => {
      assert.equal(error.reason, reason, error.message);
      assert.match(error.message, pattern);
      return true;
    });

  describe('the client', () => {
    it('creates, reads, updates, patches and deletes', async () => {
      const created = await fixture.api.create('pods', pod('a'));
      assert.equal(created.kind, 'Pod');
      assert.equal(created.metadata.resourceVersion, fixture.at(1));
      assert.deepEqual(await fixture.api.get('pods', 'default/a'), created);
      const metadata = { ...created.metadata, labels: { v: '2' } };
      const updated = await fixture.api.update('pods', { ...created, metadata });
      assert.deepEqual(updated.metadata.labels, { v: '2' });
      await fails(fixture.api.update('pods', created), 'Conflict', /a/);
      const patched = await fixture.api.patch('pods', 'default/a', { metadata: { labels: { x: 'y' } } });
      assert.deepEqual(patched.metadata.labels, { v: '2', x: 'y' });
      assert.equal((await fixture.api.delete('pods', 'default/a')).metadata.name, 'a');
      assert.equal(await fixture.api.get('pods', 'default/a'), undefined);
      await fails(fixture.api.delete('pods', 'default/a'), 'NotFound', /pods "a" not found/);
    });

    it('answers each operation of a batch by itself', async () => {
      await fixture.api.create('pods', pod('b'));
      const outcomes = await fixture.api.createMany('pods', [pod('a'), pod('b'), pod('c')]);
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? outcome.object.metadata.name : outcome.reason)),
        ['a', 'AlreadyExists', 'c'],
      );
      const failed = outcomes[1];
      assert.deepEqual(failed?.ok === false && failed.details, { resource: 'pods', name: 'b' });
      assert.equal(await fixture.api.deleteCollection('pods', { labelSelector: 'none' }), 0);
      const bound = await fixture.api.bindMany(
        ['a', 'x', 'c'].map((name) => ({ metadata: { name, namespace: 'default' }, target: { name: 'n1' } })),
      );
      assert.deepEqual(
        bound.map((outcome) => (outcome.ok ? outcome.object.spec.nodeName : outcome.reason)),
        ['n1', 'NotFound', 'n1'],
      );
      const gone = await fixture.api.deleteMany('pods', ['default/a', 'default/nope']);
      assert.deepEqual(
        gone.map((outcome) => outcome.ok),
        [true, false],
      );
      assert.equal(
        await fixture.api.deleteCollection('pods', { namespace: 'default', fieldSelector: 'spec.nodeName=' }),
        1,
      );
    });

    it('cuts what is too much for one call, and keeps the order', async () => {
      const drafts = Array.from({ length: 1_200 }, (_, index) => pod(`p-${index}`));
      const outcomes = await fixture.api.createMany('pods', drafts, { timeoutMs: 20_000 });
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? outcome.object.metadata.name : outcome.message)),
        drafts.map((draft) => draft.metadata.name),
      );
      const { items, revision } = await fixture.api.list('pods', {}, { timeoutMs: 20_000 });
      assert.equal(items.length, 1_200);
      assert.ok(Number(revision) > fixture.start);
    });

    it('answers each of many reads by itself, in one call or several', async () => {
      const { api } = fixture;
      for (const name of ['r1', 'r2']) await api.create('pods', pod(name));
      const found = await Promise.all(['r1', 'none', 'r2', 'r1'].map((name) => api.get('pods', `default/${name}`)));
      assert.deepEqual(
        found.map((object) => object?.metadata.name),
        ['r1', undefined, 'r2', 'r1'],
      );
      const many = await Promise.all(Array.from({ length: 2_500 }, () => api.get('pods', 'default/r1')));
      assert.ok(many.every((object) => object?.metadata.name === 'r1'));
      const beside = api.get('pods', 'default/r2');
      await fails(api.get('nothings' as 'pods', 'default/r1'), 'NotFound', /there is no resource "nothings"/);
      assert.equal((await beside)?.metadata.name, 'r2');
    });

    it('lists by selection', async () => {
      await fixture.api.createMany('pods', [pod('a', { app: 'x' }), pod('b', { app: 'y' })]);
      await fixture.api.create('namespaces', { metadata: { name: 'other' } });
      await fixture.api.create('pods', {
        ...pod('c', { app: 'x' }),
        metadata: { name: 'c', namespace: 'other', labels: { app: 'x' } },
      });
      const names = async (options: object): Promise<string[]> =>
        (await fixture.api.list('pods', options)).items.map((item) => item.metadata.name);
      assert.deepEqual(await names({ namespace: 'default' }), ['a', 'b']);
      assert.deepEqual(await names({ labelSelector: 'app=x' }), ['a', 'c']);
      assert.deepEqual(await names({ namespace: 'none' }), []);
    });

    it('passes warnings, validation and trace on', async () => {
      const warnings: string[] = [];
      const odd = { ...pod('a'), oddField: 1 };
      await fixture.api.create('pods', odd, {
        onWarning: (text) => warnings.push(text),
        dryRun: true,
      });
      assert.deepEqual(warnings, ['unknown field "oddField"']);
      const metadata = new Metadata();
      const traceparent = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
      metadata.set('traceparent', traceparent);
      await fixture.call(
        'troupe.v1.Pods',
        'Create',
        { object: pod('t'), dry_run: true, field_validation: 'Ignore' },
        metadata,
      );
      assert.deepEqual(fixture.spied.lastOptions, { dryRun: true, fieldValidation: 'Ignore', traceparent });
    });

    it('tells positions', async () => {
      assert.equal(await fixture.api.position('pods'), '0');
      await fixture.api.create('pods', pod('a'));
      assert.equal(await fixture.api.position('pods'), fixture.at(1));
    });

    it('gives up at its deadline, and when its caller does', async () => {
      fixture.registry.get = () => new Promise(() => undefined);
      await fails(fixture.api.get('pods', 'default/a', { timeoutMs: 50 }), 'Timeout', /./);
      const aborting = new AbortController();
      const waiting = fixture.api.get('pods', 'default/a', { signal: aborting.signal });
      aborting.abort();
      await fails(waiting, 'Timeout', /gave the call up/);
    });

    it('says ServiceUnavailable when nobody is there, and finds a server that comes back', async () => {
      await fixture.door.stop();
      await fails(fixture.api.get('pods', 'default/a'), 'ServiceUnavailable', /./);
      await fixture.reopen();
      await until(async () => (await fixture.api.list('pods')).items.length === 0, {
        what: 'the client is connected again',
      });
    });

    it('is closed for good', async () => {
      fixture.api.close();
      await fails(fixture.api.get('pods', 'default/a'), 'ServiceUnavailable', /closed/);
    });
  });

  describe('watches', () => {
    async function follow(
      options: { fromRevision: string; namespace?: string; labelSelector?: string },
      signal: AbortSignal,
      into: WatchEvent<Pod>[],
    ): Promise<void> {
      for await (const events of fixture.api.watch('pods', options, signal)) into.push(...events);
    }
    const told = (events: readonly WatchEvent<Pod>[]): string[] =>
      events.map(
        ({ type, object, revision }) => `${type} ${object?.metadata.name ?? '-'} ${Number(revision) - fixture.start}`,
      );

    it('tell each change after a revision, with bookmarks, until aborted', async () => {
      await fixture.api.createMany('pods', [pod('a', { app: 'x' }), pod('b')]);
      const aborting = new AbortController();
      const events: WatchEvent<Pod>[] = [];
      const work = follow({ fromRevision: fixture.at(0), labelSelector: 'app=x' }, aborting.signal, events);
      await until(() => events.length >= 2, { what: 'the past' });
      assert.equal(told(events)[0], 'ADDED a 1');
      await fixture.api.patch('pods', 'default/a', { metadata: { labels: { v: '2' } } });
      await fixture.api.delete('pods', 'default/a');
      await until(() => told(events).includes('DELETED a 4'), { what: 'the present' });
      assert.deepEqual(
        told(events).filter((text) => !text.startsWith('BOOKMARK')),
        ['ADDED a 1', 'MODIFIED a 3', 'DELETED a 4'],
      );
      const revisions = events.map((event) => Number(event.revision));
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      );
      aborting.abort();
      await work;
      await until(() => fixture.spied.watches === 0, { what: 'the watch is released' });
    });

    it('share one watch and its bytes, wherever they start', async () => {
      await fixture.api.createMany('pods', [pod('a'), pod('b'), pod('c')]);
      const aborting = new AbortController();
      const runs = [3, 1, 0, 2, 3].map((from) => {
        const events: WatchEvent<Pod>[] = [];
        return { from, events, work: follow({ fromRevision: fixture.at(from) }, aborting.signal, events) };
      });
      await until(() => runs.every((run) => run.events.length >= 3 - run.from), {
        what: 'all caught up',
      });
      await fixture.api.createMany('pods', [pod('d'), pod('e')]);
      await until(() => runs.every((run) => told(run.events).includes('ADDED e 5')), { what: 'all told' });
      for (const { from, events } of runs) {
        const names = ['a', 'b', 'c', 'd', 'e'].map((name, index) => `ADDED ${name} ${index + 1}`);
        const added = told(events).filter((text) => text.startsWith('ADDED'));
        assert.deepEqual(added, names.slice(from));
      }
      assert.equal(fixture.spied.watches, 1);
      aborting.abort();
      await Promise.all(runs.map((run) => run.work));
    });

    it('end with Expired where history is too short', async () => {
      await fixture.api.createMany('pods', [pod('a'), pod('b')]);
      await fixture.store.compact(fixture.start + 2);
      await fails(follow({ fromRevision: '1' }, new AbortController().signal, []), 'Expired', /./);
    });

    it('end with ServiceUnavailable when the server stops', async () => {
      const events: WatchEvent<Pod>[] = [];
      const work = follow({ fromRevision: fixture.at(0) }, new AbortController().signal, events);
      await fixture.api.create('pods', pod('a'));
      await until(() => events.length > 0, { what: 'the watch is up' });
      const ended = fails(work, 'ServiceUnavailable', /stopping/);
      await fixture.door.stop();
      await ended;
    });

    it('end with Expired for a reader that takes nothing', async () => {
      await fixture.door.stop();
      await fixture.reopen({ stallMs: 100 });
      const stream = fixture.stream('troupe.v1.Objects', 'Watch', { resource: 'pods', from_revision: fixture.at(0) });
      let failed: ServiceError | undefined;
      stream.on('error', (error: ServiceError) => (failed = error));
      await new Promise((resolve) => stream.once('metadata', resolve));
      const big = { a: 'x'.repeat(200_000) };
      for (let index = 0; index < 150; index++) {
        await nextTurn();
        const draft = { ...pod(`big-${index}`), kind: 'Pod' };
        await fixture.registry.create(
          'pods',
          'default',
          { ...draft, metadata: { ...draft.metadata, annotations: big } },
          {},
        );
      }
      // Nothing is read until the server has given up; then the rest and the error come.
      await until(() => fixture.spied.watches === 0, { what: 'the server has given up the reader' });
      stream.on('data', () => undefined);
      await until(() => failed, { what: 'the error' });
      assert.equal(failed?.code, status.OUT_OF_RANGE);
      assert.equal(failed && fromStatus(failed).reason, 'Expired');
    });
  });

  it('notices within seconds that the peer of a watch is dead but not gone', async () => {
    const proxy = await newSilenceableProxy(fixture.address);
    const far = newClient({ address: proxy.address });
    try {
      const events: WatchEvent<Pod>[] = [];
      const work = (async () => {
        const options = { fromRevision: fixture.at(0) };
        for await (const some of far.watch('pods', options, new AbortController().signal)) events.push(...some);
      })();
      const ended = fails(work, 'ServiceUnavailable', /./);
      await fixture.api.create('pods', pod('a'));
      await until(() => events.length > 0, { what: 'the watch is up' });
      const silenced = performance.now();
      proxy.silence();
      await ended;
      assert.ok(performance.now() - silenced < 15_000, 'keepalive: 3 s + 2 s, and what a busy machine adds');
    } finally {
      far.close();
      proxy.close();
    }
  });

  it('says in a sentence that the address is taken', async () => {
    const second = newGrpcServer(fixture.registry);
    await assert.rejects(second.start(fixture.address), /is taken by another process; choose another with --listen/);
    await second.stop();
  });

  it('keeps a thousand operations at once apart', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `p-${index}`);
    const created = await Promise.all(
      names.map((name) => fixture.api.create('pods', pod(name), { timeoutMs: 10_000 })),
    );
    assert.deepEqual(
      created.map((object) => object.metadata.name),
      names,
    );
  });
});
