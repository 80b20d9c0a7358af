import assert from 'node:assert/strict';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import { status, type ServiceError } from '@grpc/grpc-js';
import type { Messages } from '../../lib/api/gen/messages.ts';
import type { Pod, ReplicationController } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import { fromStatus } from '../../lib/client/codes.ts';
import { collect, DoorFixture, pod } from '../support/grpc-door.ts';
import { until } from '../support/until.ts';

type Reflected = Messages['grpc.reflection.v1.ServerReflectionResponse'];

describe('gRPC door: calls as anybody makes them', () => {
  let fixture: DoorFixture;
  beforeEach(async () => {
    fixture = await DoorFixture.open();
  });
  afterEach(() => fixture.close());

  const reflect = async (version: string, questions: object[]): Promise<Reflected[]> =>
    (await fixture.converse(`grpc.reflection.${version}.ServerReflection`, 'ServerReflectionInfo', questions)) as never;

  describe('the generic service', () => {
    const objects = 'troupe.v1.Objects';
    const write = (operations: object[], more: object = {}): Promise<Record<string, unknown>> =>
      fixture.call(objects, 'Write', { operations, ...more });

    it('passes bytes through', async () => {
      const created = await fixture.api.create('pods', pod('a'));
      const reply = await fixture.call(objects, 'Get', { resource: 'pods', namespace: 'default', name: 'a' });
      assert.deepEqual(JSON.parse((reply.json as Buffer).toString()), created);
      assert.equal(reply.revision, fixture.at(1));
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
        [fixture.at(1), fixture.at(2), fixture.at(3), fixture.at(4), 'NotFound'],
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
      assert.deepEqual(await code(fixture.call(objects, 'Get', get)), [status.NOT_FOUND, 'NotFound']);
      assert.deepEqual(
        await code(collect(fixture.stream(objects, 'Watch', { resource: 'pods', from_revision: 'x' }))),
        [status.INVALID_ARGUMENT, 'BadRequest'],
      );
    });
  });

  describe('the typed services', () => {
    it('serve the same objects as messages', async () => {
      const created = await fixture.api.create('pods', pod('a', { app: 'x' }));
      const { apiVersion: _a, kind: _k, ...message } = created;
      assert.deepEqual(await fixture.call('troupe.v1.Pods', 'Get', { namespace: 'default', name: 'a' }), message);
      const listed = await collect(fixture.stream('troupe.v1.Pods', 'List', {}));
      assert.deepEqual(listed, [{ metadata: { resourceVersion: fixture.at(1) }, items: [message] }]);
      const changed = { ...message, metadata: { ...created.metadata, labels: { v: '2' } } };
      const updated = await fixture.call('troupe.v1.Pods', 'Update', { object: changed });
      assert.deepEqual((updated.metadata as { labels: object }).labels, { v: '2' });
      assert.deepEqual((await fixture.api.get('pods', 'default/a'))?.kind, 'Pod');
      await fixture.call('troupe.v1.Pods', 'Patch', {
        namespace: 'default',
        name: 'a',
        patch: '{"metadata":{"labels":{"v":"3"}}}',
      });
      await fixture.call('troupe.v1.Pods', 'Bind', {
        binding: { metadata: { namespace: 'default', name: 'a' }, target: { name: 'n1' } },
      });
      const look = { ephemeralContainers: [{ name: 'look', image: 'busybox:1' }] };
      await fixture.call('troupe.v1.Pods', 'UpdateEphemeralContainers', {
        object: { metadata: { namespace: 'default', name: 'a' }, spec: look },
      });
      const looked = await fixture.call('troupe.v1.Pods', 'Patch', {
        namespace: 'default',
        name: 'a',
        subresource: 'ephemeralcontainers',
        patch: JSON.stringify({ spec: look }),
      });
      assert.equal((looked.spec as Pod['spec']).ephemeralContainers?.[0]?.name, 'look');
      const pods = await fixture.api.list('pods');
      assert.deepEqual([pods.items[0]?.metadata.labels, pods.items[0]?.spec.nodeName], [{ v: '3' }, 'n1']);
      await fixture.call('troupe.v1.Pods', 'Delete', {
        namespace: 'default',
        name: 'a',
        options: { gracePeriodSeconds: 0 },
      });
      assert.deepEqual(fixture.spied.lastOptions, { fieldValidation: 'Warn', gracePeriodSeconds: 0 });
      assert.deepEqual(await fixture.call('troupe.v1.Pods', 'DeleteCollection', {}), { deleted: 0 });
    });

    it('answer batches item by item', async () => {
      await fixture.api.create('pods', pod('b'));
      const { results } = await fixture.call('troupe.v1.Pods', 'CreateMany', { objects: [pod('a'), pod('b')] });
      const [first, second] = results as { object?: Pod; error?: { reason: string; code: number } }[];
      assert.equal(first?.object?.metadata.name, 'a');
      assert.deepEqual([second?.error?.reason, second?.error?.code], ['AlreadyExists', 409]);
      const bindings = ['a', 'b'].map((name) => ({ metadata: { name, namespace: 'default' }, target: { name: 'n' } }));
      const bound = await fixture.call('troupe.v1.Pods', 'BindMany', { bindings });
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
      await fixture.api.create('replicationcontrollers', draft);
      const scale = await fixture.call('troupe.v1.ReplicationControllers', 'GetScale', {
        namespace: 'default',
        name: 'web',
      });
      assert.deepEqual(scale.spec, { replicas: 3 });
      const set = await fixture.call('troupe.v1.ReplicationControllers', 'UpdateScale', {
        object: { ...scale, spec: { replicas: 5 } },
      });
      assert.deepEqual(set.spec, { replicas: 5 });
      assert.equal((await fixture.api.get('replicationcontrollers', 'default/web'))?.spec.replicas, 5);
    });

    it('say what is wrong in the status', async () => {
      await assert.rejects(fixture.call('troupe.v1.Nodes', 'Get', { name: 'n' }), (error: ServiceError) => {
        const known = fromStatus(error);
        return error.code === status.NOT_FOUND && known.details.resource === 'nodes' && known.details.name === 'n';
      });
      await assert.rejects(fixture.call('troupe.v1.Pods', 'Create', {}), /object is required/);
    });

    it('tell changes as messages', async () => {
      const stream = fixture.stream('troupe.v1.Pods', 'Watch', {});
      stream.on('error', () => undefined);
      await new Promise((resolve) => stream.once('metadata', resolve));
      const seen: string[] = [];
      stream.on('data', (reply: { changes?: { type: string; object: Pod }[] }) => {
        for (const change of reply.changes ?? []) seen.push(`${change.type} ${change.object.metadata.name}`);
      });
      await until(() => fixture.spied.watches === 1, { what: 'the watch is up' });
      await fixture.api.create('pods', pod('a'));
      await until(() => seen.length > 0, { what: 'the change' });
      assert.deepEqual(seen, ['ADDED a']);
      stream.cancel();
    });
  });

  describe('health and reflection', () => {
    it('says whether it serves, and when that changes', async () => {
      assert.deepEqual(await fixture.call('grpc.health.v1.Health', 'Check', {}), { status: 1 });
      assert.deepEqual(await fixture.call('grpc.health.v1.Health', 'Check', { service: 'troupe.v1.Pods' }), {
        status: 1,
      });
      await assert.rejects(fixture.call('grpc.health.v1.Health', 'Check', { service: 'nope' }), /NOT_FOUND/);
      const stream = fixture.stream('grpc.health.v1.Health', 'Watch', {});
      const seen: number[] = [];
      stream.on('error', () => undefined);
      stream.on('data', (reply: { status: number }) => seen.push(reply.status));
      await until(() => seen.length === 1, { what: 'the state now' });
      fixture.door.setServing(false);
      await until(() => seen.length === 2, { what: 'its change' });
      assert.deepEqual(seen, [1, 2]);
      stream.cancel();
    });

    for (const version of ['v1', 'v1alpha']) {
      it(`describes itself by reflection ${version}`, async () => {
        const answers = await reflect(version, [
          { list_services: '' },
          { file_containing_symbol: 'troupe.v1.Pods.Watch' },
          { file_by_filename: 'nope.proto' },
          { file_containing_symbol: 'troupe.v1.Nope' },
        ]);
        const names = answers[0]?.list_services_response?.service.map((service) => service.name);
        assert.ok(names?.includes('troupe.v1.Pods') && names.includes('grpc.health.v1.Health'));
        const files = answers[1]?.file_descriptor_response?.file_descriptor_proto ?? [];
        assert.ok(files.length > 10, 'the file and all it imports');
        assert.equal(answers[2]?.error_response?.error_code, status.NOT_FOUND);
        assert.equal(answers[3]?.error_response?.error_code, status.NOT_FOUND);
      });
    }
  });

  it('can be used by a client that knows nothing but reflection', async () => {
    await fixture.api.create('pods', pod('a'));
    const [answer] = await reflect('v1', [{ file_containing_symbol: 'troupe.v1.Pods' }]);
    const file = answer?.file_descriptor_response?.file_descriptor_proto ?? [];
    // From here on a general library works with what the server said.
    const root = protobuf.Root.fromDescriptor({
      file: file.map((bytes) => descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(bytes))),
    });
    const method = root.lookupService('troupe.v1.Pods').get('Get');
    assert.ok(method instanceof protobuf.Method);
    method.resolve();
    const request = method.resolvedRequestType;
    const reply = method.resolvedResponseType;
    assert.ok(request && reply);
    const found = await new Promise<protobuf.Message>((resolve, reject) => {
      fixture.bare.makeUnaryRequest(
        '/troupe.v1.Pods/Get',
        (message: object) => Buffer.from(request.encode(request.fromObject(message)).finish()),
        (bytes) => reply.decode(bytes),
        { namespace: 'default', name: 'a' },
        (error, message) => {
          if (error !== null || message === undefined) reject(error ?? new Error('no reply'));
          else resolve(message);
        },
      );
    });
    const { metadata, spec } = reply.toObject(found) as { metadata: { name: string }; spec: { containers: object[] } };
    assert.equal(metadata.name, 'a');
    assert.equal(spec.containers.length, 1);
  });
});
