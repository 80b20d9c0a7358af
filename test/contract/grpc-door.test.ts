import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../lib/api/codec/message.ts';
import type { Messages } from '../../lib/api/gen/messages.ts';
import { services } from '../../lib/api/gen/services.ts';
import type { Pod, ReplicationController } from '../../lib/api/objects.ts';
import type { ApiError } from '../../lib/base/errors.ts';
import type { Client as Api, Draft, WatchEvent } from '../../lib/client/client.ts';
import { fromStatus } from '../../lib/client/codes.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newGrpcServer, type GrpcServer } from '../../services/apiserver/grpc/server.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import type { Registry } from '../../services/apiserver/registry/registry.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { until } from '../support/until.ts';

const pod = (name: string, labels: Record<string, string> = {}): Draft<Pod> => ({
  metadata: { name, namespace: 'default', labels },
  spec: { containers: [{ name: 'c', image: 'busybox' }], restartPolicy: 'Never' },
});

/** The real registry, with a look at what the door asks of it. */
class Spied {
  /** Watches held now. */
  watches = 0;
  /** The options that the last write of pods came with. */
  lastOptions: object | undefined;
  readonly registry: Registry;

  constructor(inner: Registry) {
    const noteWatch = this.#watch.bind(this, inner);
    this.registry = {
      ...inner,
      watch: noteWatch,
      create: (resource, namespace, draft, options) => {
        this.lastOptions = options;
        return inner.create(resource, namespace, draft, options);
      },
      delete: (resource, key, options) => {
        this.lastOptions = options;
        return inner.delete(resource, key, options);
      },
    };
  }

  async *#watch(inner: Registry, ...parts: Parameters<Registry['watch']>): ReturnType<Registry['watch']> {
    this.watches++;
    try {
      yield* inner.watch(...parts);
    } finally {
      this.watches--;
    }
  }
}

describe('gRPC door', () => {
  let store: MemoryStore;
  let inner: RunningRegistry;
  let spied: Spied;
  let registry: Registry;
  /** The revision before the test wrote anything. */
  let start: number;
  let door: GrpcServer;
  let address: string;
  let api: Api;
  let bare: Client;

  beforeEach(async () => {
    store = new MemoryStore();
    inner = await newRegistry({ store });
    spied = new Spied(inner);
    registry = spied.registry;
    start = await store.revision();
    door = newGrpcServer(registry, { drainMs: 200 });
    address = await door.start('127.0.0.1:0');
    api = newClient({ address, timeoutMs: 2_000 });
    bare = new Client(address, credentials.createInsecure());
  });
  afterEach(async () => {
    api.close();
    bare.close();
    await door.stop();
    await inner.close();
    await store.close();
  });
  const at = (writes: number): string => String(start + writes);

  /** A unary call as any other client would make it. */
  function call(
    service: string,
    method: string,
    request: object,
    metadata = new Metadata(),
  ): Promise<Record<string, unknown>> {
    const shape = services[service]?.[method];
    assert.ok(shape !== undefined);
    return new Promise((resolve, reject) => {
      bare.makeUnaryRequest(
        `/${service}/${method}`,
        (message: object) => encodeMessage(shape.request, message),
        (bytes) => decodeMessage(shape.reply, bytes) as Record<string, unknown>,
        request,
        metadata,
        { deadline: Date.now() + 2_000 },
        (error, reply) => {
          if (error !== null || reply === undefined) reject(error ?? new Error('no reply'));
          else resolve(reply);
        },
      );
    });
  }

  async function all(service: string, method: string, request: object): Promise<Record<string, unknown>[]> {
    const shape = services[service]?.[method];
    assert.ok(shape !== undefined);
    const stream = bare.makeServerStreamRequest(
      `/${service}/${method}`,
      (message: object) => encodeMessage(shape.request, message),
      (bytes) => decodeMessage(shape.reply, bytes) as Record<string, unknown>,
      request,
    );
    const found: Record<string, unknown>[] = [];
    for await (const message of stream as AsyncIterable<Record<string, unknown>>) found.push(message);
    return found;
  }

  const fails = (work: Promise<unknown>, reason: string, pattern: RegExp): Promise<void> =>
    assert.rejects(work, (error: ApiError) => {
      assert.equal(error.reason, reason, error.message);
      assert.match(error.message, pattern);
      return true;
    });

  describe('the client', () => {
    it('creates, reads, updates, patches and deletes', async () => {
      const created = await api.create('pods', pod('a'));
      assert.equal(created.kind, 'Pod');
      assert.equal(created.metadata.resourceVersion, at(1));
      assert.deepEqual(await api.get('pods', 'default/a'), created);
      const metadata = { ...created.metadata, labels: { v: '2' } };
      const updated = await api.update('pods', { ...created, metadata });
      assert.deepEqual(updated.metadata.labels, { v: '2' });
      await fails(api.update('pods', created), 'Conflict', /a/);
      const patched = await api.patch('pods', 'default/a', { metadata: { labels: { x: 'y' } } });
      assert.deepEqual(patched.metadata.labels, { v: '2', x: 'y' });
      assert.equal((await api.delete('pods', 'default/a')).metadata.name, 'a');
      assert.equal(await api.get('pods', 'default/a'), undefined);
      await fails(api.delete('pods', 'default/a'), 'NotFound', /pods "a" not found/);
    });

    it('answers each operation of a batch by itself', async () => {
      await api.create('pods', pod('b'));
      const outcomes = await api.createMany('pods', [pod('a'), pod('b'), pod('c')]);
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? outcome.object.metadata.name : outcome.reason)),
        ['a', 'AlreadyExists', 'c'],
      );
      const failed = outcomes[1];
      assert.deepEqual(failed?.ok === false && failed.details, { resource: 'pods', name: 'b' });
      assert.equal(await api.deleteCollection('pods', { labelSelector: 'none' }), 0);
      const bound = await api.bindMany(
        ['a', 'x', 'c'].map((name) => ({ metadata: { name, namespace: 'default' }, target: { name: 'n1' } })),
      );
      assert.deepEqual(
        bound.map((outcome) => (outcome.ok ? outcome.object.spec.nodeName : outcome.reason)),
        ['n1', 'NotFound', 'n1'],
      );
      const gone = await api.deleteMany('pods', ['default/a', 'default/nope']);
      assert.deepEqual(
        gone.map((outcome) => outcome.ok),
        [true, false],
      );
      assert.equal(await api.deleteCollection('pods', { namespace: 'default', fieldSelector: 'spec.nodeName=' }), 1);
    });

    it('cuts what is too much for one call, and keeps the order', async () => {
      const drafts = Array.from({ length: 2_300 }, (_, index) => pod(`p-${index}`));
      const outcomes = await api.createMany('pods', drafts, { timeoutMs: 20_000 });
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? outcome.object.metadata.name : outcome.message)),
        drafts.map((draft) => draft.metadata.name),
      );
      const { items, revision } = await api.list('pods', {}, { timeoutMs: 20_000 });
      assert.equal(items.length, 2_300);
      assert.ok(Number(revision) > start);
    });

    it('lists by selection', async () => {
      await api.createMany('pods', [pod('a', { app: 'x' }), pod('b', { app: 'y' })]);
      await api.create('namespaces', { metadata: { name: 'other' } });
      await api.create('pods', {
        ...pod('c', { app: 'x' }),
        metadata: { name: 'c', namespace: 'other', labels: { app: 'x' } },
      });
      const names = async (options: object): Promise<string[]> =>
        (await api.list('pods', options)).items.map((item) => item.metadata.name);
      assert.deepEqual(await names({ namespace: 'default' }), ['a', 'b']);
      assert.deepEqual(await names({ labelSelector: 'app=x' }), ['a', 'c']);
      assert.deepEqual(await names({ namespace: 'none' }), []);
    });

    it('passes warnings, validation and trace on', async () => {
      const warnings: string[] = [];
      const odd = { ...pod('a'), oddField: 1 };
      await api.create('pods', odd, {
        onWarning: (text) => warnings.push(text),
        dryRun: true,
      });
      assert.deepEqual(warnings, ['unknown field "oddField"']);
      const metadata = new Metadata();
      const traceparent = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
      metadata.set('traceparent', traceparent);
      await call('troupe.v1.Pods', 'Create', { object: pod('t'), dry_run: true, field_validation: 'Ignore' }, metadata);
      assert.deepEqual(spied.lastOptions, { dryRun: true, fieldValidation: 'Ignore', traceparent });
    });

    it('tells positions', async () => {
      assert.equal(await api.position('pods'), '0');
      await api.create('pods', pod('a'));
      assert.equal(await api.position('pods'), at(1));
    });

    it('gives up at its deadline, and when its caller does', async () => {
      registry.get = () => new Promise(() => undefined);
      await fails(api.get('pods', 'default/a', { timeoutMs: 50 }), 'Timeout', /./);
      const aborting = new AbortController();
      const waiting = api.get('pods', 'default/a', { signal: aborting.signal });
      aborting.abort();
      await fails(waiting, 'Timeout', /gave the call up/);
    });

    it('says ServiceUnavailable when nobody is there, and finds a server that comes back', async () => {
      await door.stop();
      await fails(api.get('pods', 'default/a'), 'ServiceUnavailable', /./);
      door = newGrpcServer(registry, { drainMs: 200 });
      await door.start(address);
      await until(async () => (await api.list('pods')).items.length === 0, { what: 'the client is connected again' });
    });

    it('is closed for good', async () => {
      api.close();
      await fails(api.get('pods', 'default/a'), 'ServiceUnavailable', /closed/);
    });
  });

  describe('watches', () => {
    async function follow(
      options: { fromRevision: string; namespace?: string; labelSelector?: string },
      signal: AbortSignal,
      into: WatchEvent<Pod>[],
    ): Promise<void> {
      for await (const events of api.watch('pods', options, signal)) into.push(...events);
    }
    const told = (events: readonly WatchEvent<Pod>[]): string[] =>
      events.map(({ type, object, revision }) => `${type} ${object?.metadata.name ?? '-'} ${Number(revision) - start}`);

    it('tell each change after a revision, with bookmarks, until aborted', async () => {
      await api.createMany('pods', [pod('a', { app: 'x' }), pod('b')]);
      const aborting = new AbortController();
      const events: WatchEvent<Pod>[] = [];
      const work = follow({ fromRevision: at(0), labelSelector: 'app=x' }, aborting.signal, events);
      await until(() => events.length >= 2, { what: 'the past' });
      assert.equal(told(events)[0], 'ADDED a 1');
      await api.patch('pods', 'default/a', { metadata: { labels: { v: '2' } } });
      await api.delete('pods', 'default/a');
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
      await until(() => spied.watches === 0, { what: 'the watch is released' });
    });

    it('share one watch and its bytes, wherever they start', async () => {
      await api.createMany('pods', [pod('a'), pod('b'), pod('c')]);
      const aborting = new AbortController();
      const runs = [3, 1, 0, 2, 3].map((from) => {
        const events: WatchEvent<Pod>[] = [];
        return { from, events, work: follow({ fromRevision: at(from) }, aborting.signal, events) };
      });
      await until(() => runs.every((run) => run.events.length >= 3 - run.from), {
        what: 'all caught up',
      });
      await api.createMany('pods', [pod('d'), pod('e')]);
      await until(() => runs.every((run) => told(run.events).includes('ADDED e 5')), { what: 'all told' });
      for (const { from, events } of runs) {
        const names = ['a', 'b', 'c', 'd', 'e'].map((name, index) => `ADDED ${name} ${index + 1}`);
        const added = told(events).filter((text) => text.startsWith('ADDED'));
        assert.deepEqual(added, names.slice(from));
      }
      assert.equal(spied.watches, 1);
      aborting.abort();
      await Promise.all(runs.map((run) => run.work));
    });

    it('end with Expired where history is too short', async () => {
      await api.createMany('pods', [pod('a'), pod('b')]);
      await store.compact(start + 2);
      await fails(follow({ fromRevision: '1' }, new AbortController().signal, []), 'Expired', /./);
    });

    it('end with ServiceUnavailable when the server stops', async () => {
      const events: WatchEvent<Pod>[] = [];
      const work = follow({ fromRevision: at(0) }, new AbortController().signal, events);
      await api.create('pods', pod('a'));
      await until(() => events.length > 0, { what: 'the watch is up' });
      const ended = fails(work, 'ServiceUnavailable', /stopping/);
      await door.stop();
      await ended;
    });

    it('end with Expired for a reader that takes nothing', async () => {
      await door.stop();
      door = newGrpcServer(registry, { stallMs: 100, drainMs: 200 });
      address = await door.start('127.0.0.1:0');
      const slow = new Client(address, credentials.createInsecure());
      try {
        const stream = slow.makeServerStreamRequest(
          '/troupe.v1.Objects/Watch',
          (message: object) => encodeMessage('WatchRequest', message as never),
          (bytes) => decodeMessage('WatchReply', bytes),
          { resource: 'pods', from_revision: at(0) },
        );
        let failed: ServiceError | undefined;
        stream.on('error', (error: ServiceError) => (failed = error));
        await new Promise((resolve) => stream.once('metadata', resolve));
        const big = { a: 'x'.repeat(200_000) };
        for (let index = 0; index < 150; index++) {
          await nextTurn();
          const draft = { ...pod(`big-${index}`), kind: 'Pod' };
          await registry.create('pods', 'default', { ...draft, metadata: { ...draft.metadata, annotations: big } }, {});
        }
        // Nothing is read until the server has given up; then the rest and the error come.
        await until(() => spied.watches === 0, { what: 'the server has given up the reader' });
        stream.on('data', () => undefined);
        await until(() => failed, { what: 'the error' });
        assert.equal(failed?.code, status.OUT_OF_RANGE);
        assert.equal(failed && fromStatus(failed).reason, 'Expired');
      } finally {
        slow.close();
      }
    });
  });

  describe('the generic service', () => {
    const objects = 'troupe.v1.Objects';
    const write = (operations: object[], more: object = {}): Promise<Record<string, unknown>> =>
      call(objects, 'Write', { operations, ...more });

    it('passes bytes through', async () => {
      const created = await api.create('pods', pod('a'));
      const reply = await call(objects, 'Get', { resource: 'pods', namespace: 'default', name: 'a' });
      assert.deepEqual(JSON.parse((reply.json as Buffer).toString()), created);
      assert.equal(reply.revision, at(1));
    });

    it('keeps the order of operations on one object', async () => {
      const operation = (verb: string, body: object): object => ({
        ...{ verb, resource: 'pods', namespace: 'default', name: 'a' },
        json: Buffer.from(JSON.stringify(body)),
      });
      const { results } = await write([
        operation('create', { ...pod('a'), kind: 'Pod' }),
        operation('patch', { metadata: { labels: { v: '1' } } }),
        operation('patch', { metadata: { labels: { v: '2' } } }),
        operation('delete', {}),
        operation('patch', { metadata: { labels: { v: '3' } } }),
      ]);
      assert.deepEqual(
        (results as { reason: string; revision: string }[]).map((result) => result.reason || result.revision),
        [at(1), at(2), at(3), at(4), 'NotFound'],
      );
    });

    const refused: [string, object, string, RegExp][] = [
      [
        'an unknown resource',
        { verb: 'create', resource: 'widgets' },
        'NotFound',
        /no resource "widgets"; there are namespaces, nodes, pods/,
      ],
      ['an unknown verb', { verb: 'fix', resource: 'pods' }, 'MethodNotAllowed', /"fix" is none of create, update/],
      [
        'a missing name',
        { verb: 'update', resource: 'pods', namespace: 'default', json: Buffer.from('{}') },
        'BadRequest',
        /name is required/,
      ],
      [
        'a missing namespace',
        { verb: 'delete', resource: 'pods', name: 'a' },
        'BadRequest',
        /namespace is required: pods live in/,
      ],
      [
        'a namespace too much',
        { verb: 'delete', resource: 'nodes', namespace: 'default', name: 'a' },
        'BadRequest',
        /live in no namespace/,
      ],
      ['no object', { verb: 'create', resource: 'pods' }, 'BadRequest', /json is empty/],
      [
        'broken JSON',
        { verb: 'create', resource: 'pods', json: Buffer.from('{"a":\n1') },
        'BadRequest',
        /line 2, column 2/,
      ],
      [
        'an object too large',
        { verb: 'create', resource: 'pods', json: Buffer.alloc(3 * 1024 * 1024 + 1, 32) },
        'RequestEntityTooLarge',
        /3145729 bytes; at most 3145728/,
      ],
      [
        'a subresource that is not there',
        {
          verb: 'update',
          resource: 'secrets',
          namespace: 'd',
          name: 'a',
          subresource: 'status',
          json: Buffer.from('{}'),
        },
        'NotFound',
        /secrets have no subresource "status"/,
      ],
      [
        'a binding without a node',
        { verb: 'bind', resource: 'pods', namespace: 'd', name: 'a', json: Buffer.from('{}') },
        'BadRequest',
        /target.name is required/,
      ],
      [
        'a wrong grace period',
        { verb: 'delete', resource: 'pods', namespace: 'd', name: 'a', json: Buffer.from('{"gracePeriodSeconds":-1}') },
        'BadRequest',
        /gracePeriodSeconds -1 must be/,
      ],
    ];
    for (const [what, operation, reason, pattern] of refused) {
      it(`refuses ${what}`, async () => {
        const { results } = await write([operation]);
        const [result] = results as { reason: string; message: string }[];
        assert.equal(result?.reason, reason);
        assert.match(result?.message ?? '', pattern);
      });
    }

    it('tells members that stand twice, or refuses them', async () => {
      const twice = JSON.stringify(pod('a')).replace('"restartPolicy"', '"restartPolicy":"Always","restartPolicy"');
      const operation = {
        verb: 'create',
        resource: 'pods',
        namespace: 'default',
        json: Buffer.from(twice),
      };
      const strict = await write([operation], { field_validation: 'Strict' });
      assert.match((strict.results as { message: string }[])[0]?.message ?? '', /duplicate field "spec.restartPolicy"/);
      const { results } = await write([operation]);
      assert.deepEqual((results as { warnings: string[] }[])[0]?.warnings, ['duplicate field "spec.restartPolicy"']);
    });

    it('refuses whole calls it cannot read', async () => {
      const code = (work: Promise<unknown>): Promise<[number, string]> =>
        work.then(
          () => [0, ''] as [number, string],
          (error: ServiceError) => [error.code, fromStatus(error).reason] as [number, string],
        );
      const many = Array.from({ length: 1001 }, () => ({ verb: 'create', resource: 'pods' }));
      assert.deepEqual(await code(write(many)), [status.RESOURCE_EXHAUSTED, 'RequestEntityTooLarge']);
      assert.deepEqual(await code(write([], { field_validation: 'Maybe' })), [status.INVALID_ARGUMENT, 'BadRequest']);
      const get = { resource: 'pods', namespace: 'default', name: 'nope' };
      assert.deepEqual(await code(call(objects, 'Get', get)), [status.NOT_FOUND, 'NotFound']);
      assert.deepEqual(await code(all(objects, 'Watch', { resource: 'pods', from_revision: 'x' })), [
        status.INVALID_ARGUMENT,
        'BadRequest',
      ]);
    });
  });

  describe('the typed services', () => {
    it('serve the same objects as messages', async () => {
      const created = await api.create('pods', pod('a', { app: 'x' }));
      const { apiVersion: _a, kind: _k, ...message } = created;
      assert.deepEqual(await call('troupe.v1.Pods', 'Get', { namespace: 'default', name: 'a' }), message);
      const listed = await all('troupe.v1.Pods', 'List', {});
      assert.deepEqual(listed, [{ metadata: { resourceVersion: at(1) }, items: [message] }]);
      const changed = { ...message, metadata: { ...created.metadata, labels: { v: '2' } } };
      const updated = await call('troupe.v1.Pods', 'Update', { object: changed });
      assert.deepEqual((updated.metadata as { labels: object }).labels, { v: '2' });
      assert.deepEqual((await api.get('pods', 'default/a'))?.kind, 'Pod');
      await call('troupe.v1.Pods', 'Patch', {
        namespace: 'default',
        name: 'a',
        patch: '{"metadata":{"labels":{"v":"3"}}}',
      });
      await call('troupe.v1.Pods', 'Bind', {
        binding: { metadata: { namespace: 'default', name: 'a' }, target: { name: 'n1' } },
      });
      const pods = await api.list('pods');
      assert.deepEqual([pods.items[0]?.metadata.labels, pods.items[0]?.spec.nodeName], [{ v: '3' }, 'n1']);
      await call('troupe.v1.Pods', 'Delete', { namespace: 'default', name: 'a', options: { gracePeriodSeconds: 0 } });
      assert.deepEqual(spied.lastOptions, { fieldValidation: 'Warn', gracePeriodSeconds: 0 });
      assert.deepEqual(await call('troupe.v1.Pods', 'DeleteCollection', {}), { deleted: 0 });
    });

    it('answer batches item by item', async () => {
      await api.create('pods', pod('b'));
      const { results } = await call('troupe.v1.Pods', 'CreateMany', { objects: [pod('a'), pod('b')] });
      const [first, second] = results as { object?: Pod; error?: { reason: string; code: number } }[];
      assert.equal(first?.object?.metadata.name, 'a');
      assert.deepEqual([second?.error?.reason, second?.error?.code], ['AlreadyExists', 409]);
      const bindings = ['a', 'b'].map((name) => ({ metadata: { name, namespace: 'default' }, target: { name: 'n' } }));
      const bound = await call('troupe.v1.Pods', 'BindMany', { bindings });
      assert.equal((bound.results as { object?: Pod }[])[1]?.object?.spec.nodeName, 'n');
    });

    it('read and write scales', async () => {
      const draft: Draft<ReplicationController> = {
        metadata: { name: 'web', namespace: 'default' },
        spec: {
          replicas: 3,
          template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } },
        },
      };
      await api.create('replicationcontrollers', draft);
      const scale = await call('troupe.v1.ReplicationControllers', 'GetScale', { namespace: 'default', name: 'web' });
      assert.deepEqual(scale.spec, { replicas: 3 });
      const set = await call('troupe.v1.ReplicationControllers', 'UpdateScale', {
        object: { ...scale, spec: { replicas: 5 } },
      });
      assert.deepEqual(set.spec, { replicas: 5 });
      assert.equal((await api.get('replicationcontrollers', 'default/web'))?.spec.replicas, 5);
    });

    it('say what is wrong in the status', async () => {
      await assert.rejects(call('troupe.v1.Nodes', 'Get', { name: 'n' }), (error: ServiceError) => {
        const known = fromStatus(error);
        return error.code === status.NOT_FOUND && known.details.resource === 'nodes' && known.details.name === 'n';
      });
      await assert.rejects(call('troupe.v1.Pods', 'Create', {}), /object is required/);
    });

    it('tell changes as messages', async () => {
      const stream = bare.makeServerStreamRequest(
        '/troupe.v1.Pods/Watch',
        (message: object) => encodeMessage('FollowRequest', message),
        (bytes) => decodeMessage('PodWatchReply', bytes) as { changes?: { type: string; object: Pod }[] },
        {},
      );
      stream.on('error', () => undefined);
      await new Promise((resolve) => stream.once('metadata', resolve));
      const seen: string[] = [];
      stream.on('data', (reply: { changes?: { type: string; object: Pod }[] }) => {
        for (const change of reply.changes ?? []) seen.push(`${change.type} ${change.object.metadata.name}`);
      });
      await until(() => spied.watches === 1, { what: 'the watch is up' });
      await api.create('pods', pod('a'));
      await until(() => seen.length > 0, { what: 'the change' });
      assert.deepEqual(seen, ['ADDED a']);
      stream.cancel();
    });
  });

  describe('health and reflection', () => {
    it('says whether it serves, and when that changes', async () => {
      assert.deepEqual(await call('grpc.health.v1.Health', 'Check', {}), { status: 1 });
      assert.deepEqual(await call('grpc.health.v1.Health', 'Check', { service: 'troupe.v1.Pods' }), { status: 1 });
      await assert.rejects(call('grpc.health.v1.Health', 'Check', { service: 'nope' }), /NOT_FOUND/);
      const stream = bare.makeServerStreamRequest(
        '/grpc.health.v1.Health/Watch',
        (message: object) => encodeMessage('grpc.health.v1.HealthCheckRequest', message as never),
        (bytes) => decodeMessage('grpc.health.v1.HealthCheckResponse', bytes),
        {},
      );
      const seen: number[] = [];
      stream.on('error', () => undefined);
      stream.on('data', (reply: { status: number }) => seen.push(reply.status));
      await until(() => seen.length === 1, { what: 'the state now' });
      door.setServing(false);
      await until(() => seen.length === 2, { what: 'its change' });
      assert.deepEqual(seen, [1, 2]);
      stream.cancel();
    });

    for (const version of ['v1', 'v1alpha']) {
      it(`describes itself by reflection ${version}`, async () => {
        const type = `grpc.reflection.${version}`;
        const stream = bare.makeBidiStreamRequest(
          `/${type}.ServerReflection/ServerReflectionInfo`,
          (message: object) => encodeMessage(`${type}.ServerReflectionRequest`, message),
          (bytes) => decodeMessage('grpc.reflection.v1.ServerReflectionResponse', bytes),
        );
        const questions = [
          { list_services: '' },
          { file_containing_symbol: 'troupe.v1.Pods.Watch' },
          { file_by_filename: 'nope.proto' },
          { file_containing_symbol: 'troupe.v1.Nope' },
        ];
        for (const question of questions) stream.write(question);
        stream.end();
        const answers = [];
        for await (const answer of stream as AsyncIterable<Messages['grpc.reflection.v1.ServerReflectionResponse']>)
          answers.push(answer);
        const names = answers[0]?.list_services_response?.service.map((service) => service.name);
        assert.ok(names?.includes('troupe.v1.Pods') && names.includes('grpc.health.v1.Health'));
        const files = answers[1]?.file_descriptor_response?.file_descriptor_proto ?? [];
        assert.ok(files.length > 10, 'the file and all it imports');
        assert.equal(answers[2]?.error_response?.error_code, status.NOT_FOUND);
        assert.equal(answers[3]?.error_response?.error_code, status.NOT_FOUND);
      });
    }
  });

  it('says in a sentence that the address is taken', async () => {
    const second = newGrpcServer(registry);
    await assert.rejects(second.start(address), /is taken by another process; choose another with --listen/);
    await second.stop();
  });

  it('keeps a thousand operations at once apart', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `p-${index}`);
    const created = await Promise.all(names.map((name) => api.create('pods', pod(name), { timeoutMs: 10_000 })));
    assert.deepEqual(
      created.map((object) => object.metadata.name),
      names,
    );
  });
});
