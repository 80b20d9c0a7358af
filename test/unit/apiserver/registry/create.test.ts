import type { Pod } from '../../../../lib/api/objects.ts';
import assert from 'node:assert/strict';
import { aRegistry, closeAll, objectOf, podDraft, rejects } from './a-registry.ts';

describe('apiserver/registry create', () => {
  afterEach(closeAll);

  it('fills in what the server knows, and the defaults', async () => {
    const { registry } = await aRegistry({ uuid: () => 'a-uid' });
    const pod = objectOf(await registry.create('pods', 'default', podDraft(), {}));
    assert.deepEqual(pod.metadata, {
      resourceVersion: '4',
      name: 'web',
      namespace: 'default',
      uid: 'a-uid',
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    });
    assert.equal(pod.apiVersion, 'v1');
    assert.equal(pod.kind, 'Pod');
    assert.equal(pod.spec.restartPolicy, 'Always');
    assert.equal(pod.status.phase, 'Pending');
    assert.deepEqual(objectOf({ served: (await registry.get('pods', 'default/web')) ?? assert.fail() }), pod);
  });

  it('does not let a client say what only the server may', async () => {
    const { registry } = await aRegistry({ uuid: () => 'a-uid' });
    const draft: Record<string, unknown> = podDraft({
      name: 'web',
      uid: 'mine',
      generation: 9,
      creationTimestamp: '1999-01-01T00:00:00Z',
      deletionTimestamp: '1999-01-01T00:00:00Z',
      deletionGracePeriodSeconds: 3,
      labels: { app: 'web' },
    });
    draft.status = { phase: 'Running', podIP: '10.0.0.1' };
    const { metadata, status } = objectOf(await registry.create('pods', 'default', draft, {}));
    assert.equal(metadata.uid, 'a-uid');
    assert.equal(metadata.generation, 1);
    assert.equal(metadata.creationTimestamp, '2026-01-01T00:00:00Z');
    assert.equal(metadata.deletionTimestamp, undefined);
    assert.equal(metadata.deletionGracePeriodSeconds, undefined);
    assert.deepEqual(metadata.labels, { app: 'web' });
    assert.equal(status.phase, 'Pending');
    assert.equal(status.podIP, undefined);
  });

  it('lets a node say at once what it found on its machine', async () => {
    const { registry } = await aRegistry();
    const draft = { metadata: { name: 'n1' }, status: { capacity: { cpu: '2', memory: '1Gi', pods: '110' } } };
    const node = objectOf(await registry.create('nodes', undefined, draft, {}));
    assert.equal(node.status.capacity.cpu, '2');
  });

  it('refuses a taken name, a resourceVersion, another kind and an unknown resource', async () => {
    const { registry } = await aRegistry();
    await registry.create('pods', 'default', podDraft(), {});
    await rejects(registry.create('pods', 'default', podDraft(), {}), 'AlreadyExists', 'pods "web" already exists');
    await rejects(
      registry.create('pods', 'default', podDraft({ name: 'x', resourceVersion: '3' }), {}),
      'BadRequest',
      /resourceVersion must not be set/,
    );
    await rejects(
      registry.create('pods', 'default', { ...podDraft(), kind: 'Service' }, {}),
      'BadRequest',
      /kind "Service"; pods take v1 and Pod/,
    );
    await rejects(registry.create('gadgets', 'default', podDraft(), {}), 'NotFound', /no resource "gadgets"/);
    await rejects(registry.create('pods', 'default', 'text', {}), 'BadRequest');
  });

  it('makes a random name of a base, cut to fit, and tries again when it is taken', async () => {
    const picks: number[] = [];
    const { registry } = await aRegistry({ random: () => picks.shift() ?? 0.5 });
    const create = async (generateName: string): Promise<string> =>
      objectOf(await registry.create('pods', 'default', podDraft({ generateName }), {})).metadata.name;
    picks.push(0, 0, 0, 0, 0);
    assert.equal(await create('web-'), 'web-bbbbb');
    picks.push(...[0, 0, 0, 0, 0], ...[0.999, 0.999, 0.999, 0.999, 0.999]);
    assert.equal(await create('web-'), 'web-99999');
    const long = await create('a'.repeat(70));
    assert.equal(long.length, 63);
    assert.match(long, /^a{58}[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    for (let i = 0; i < 8; i++) picks.push(0, 0, 0, 0, 0);
    const error = await rejects(create('web-'), 'AlreadyExists');
    assert.equal(error.details.name, 'web-bbbbb');
    assert.equal(picks.length, 0, 'eight tries');
  });

  it('names every broken rule at once', async () => {
    const { registry } = await aRegistry();
    const error = await rejects(
      registry.create('pods', 'default', podDraft({ name: 'Web', labels: { 'a b': 'x' } }), {}),
      'Invalid',
    );
    assert.deepEqual(
      error.details.causes?.map((cause) => cause.field),
      ['metadata.name', 'metadata.labels'],
    );
  });

  describe('unknown fields', () => {
    const draft = (): unknown => podDraft({ name: 'web' }, { replicass: 3 });
    it('are warned about', async () => {
      const { registry } = await aRegistry();
      const { warnings } = await registry.create('pods', 'default', draft(), {});
      assert.deepEqual(warnings, ['unknown field "spec.replicass"']);
    });
    it('are refused when that is asked for', async () => {
      const { registry } = await aRegistry();
      await rejects(
        registry.create('pods', 'default', draft(), { fieldValidation: 'Strict' }),
        'BadRequest',
        /unknown field "spec.replicass"/,
      );
    });
    it('of old probes (F82) are warned about and change nothing, or are refused', async () => {
      const { registry } = await aRegistry();
      const httpGet = { path: '/_status/healthz', port: 8080 };
      const livenessProbe = { enabled: true, type: 'http', initialDelaySeconds: 30, httpGet };
      const old = podDraft({ name: 'old' }, { containers: [{ name: 'main', image: 'example/web:1', livenessProbe }] });
      const { object, warnings } = await registry.create('pods', 'default', structuredClone(old), {});
      const at = 'spec.containers[0].livenessProbe';
      assert.deepEqual(warnings, [`unknown field "${at}.enabled"`, `unknown field "${at}.type"`]);
      const probe = (object as Pod).spec.containers[0]?.livenessProbe;
      assert.deepEqual([probe?.initialDelaySeconds, probe?.httpGet?.path], [30, '/_status/healthz']);
      await rejects(
        registry.create('pods', 'default', old, { fieldValidation: 'Strict' }),
        'BadRequest',
        /livenessProbe.enabled/,
      );
    });
    it('are not looked for when that is asked for', async () => {
      const { registry } = await aRegistry();
      const { warnings } = await registry.create('pods', 'default', draft(), { fieldValidation: 'Ignore' });
      assert.deepEqual(warnings, []);
    });
  });

  it('names the fields of a wrong type', async () => {
    const { registry } = await aRegistry();
    const error = await rejects(
      registry.create('pods', 'default', podDraft({ name: 'web' }, { hostNetwork: 'yes' }), {}),
      'Invalid',
      /spec.hostNetwork/,
    );
    assert.equal(error.details.causes?.[0]?.reason, 'FieldValueTypeInvalid');
  });

  it('validates and defaults in a dry run, and stores nothing', async () => {
    const { registry, store } = await aRegistry();
    const revision = await store.revision();
    const pod = objectOf(await registry.create('pods', 'default', podDraft({ generateName: 'x-' }), { dryRun: true }));
    assert.match(pod.metadata.name, /^x-/);
    assert.equal(pod.metadata.resourceVersion, undefined);
    assert.equal(pod.spec.restartPolicy, 'Always');
    await rejects(registry.create('pods', 'default', podDraft({ name: '' }), { dryRun: true }), 'Invalid');
    assert.equal(await store.revision(), revision);
    await registry.create('pods', 'default', podDraft(), {});
    await rejects(registry.create('pods', 'default', podDraft(), { dryRun: true }), 'AlreadyExists');
  });

  it('refuses what is too large, with the numbers', async () => {
    const { registry } = await aRegistry();
    const env = Array.from({ length: 20 }, (_, i) => ({ name: `V${i}`, value: 'x'.repeat(80_000) }));
    const draft = podDraft({ name: 'big' }, { containers: [{ name: 'main', image: 'web:1', env }] });
    await rejects(
      registry.create('pods', 'default', draft, {}),
      'RequestEntityTooLarge',
      /takes 160\d{4} bytes; at most 1572864/,
    );
  });

  it('keeps the trace of the request, or the one that the object came with', async () => {
    const { registry } = await aRegistry();
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01';
    const own = { 'troupe.dev/traceparent': 'theirs' };
    const annotationsOf = async (metadata: object): Promise<unknown> =>
      objectOf(await registry.create('pods', 'default', podDraft(metadata), { traceparent })).metadata.annotations;
    assert.deepEqual(await annotationsOf({ name: 'a' }), { 'troupe.dev/traceparent': traceparent });
    assert.deepEqual(await annotationsOf({ name: 'b', annotations: own }), own);
  });

  describe('namespaces', () => {
    it('must exist, agree and not be ending', async () => {
      const { registry } = await aRegistry();
      await rejects(registry.create('pods', 'nowhere', podDraft(), {}), 'NotFound', 'namespaces "nowhere" not found');
      await rejects(
        registry.create('pods', 'default', podDraft({ name: 'web', namespace: 'other' }), {}),
        'BadRequest',
        /\(other\) does not match the namespace of the request \(default\)/,
      );
      await registry.create('namespaces', undefined, { metadata: { name: 'shop' } }, {});
      await registry.create('pods', undefined, podDraft({ name: 'web', namespace: 'shop' }), {});
      await registry.delete('namespaces', 'shop', {});
      await rejects(
        registry.create('pods', 'shop', podDraft({ name: 'late' }), {}),
        'Forbidden',
        /pods "late" is forbidden: unable to create new content in namespace shop because it is being terminated/,
      );
    });
    it('default and kube-system are there from the start, and are not made twice', async () => {
      const { registry, store } = await aRegistry();
      const names = (await registry.list('namespaces', {})).items.map((served) => objectOf({ served }).metadata.name);
      assert.deepEqual(names, ['default', 'kube-node-lease', 'kube-system']);
      const namespace = objectOf({ served: (await registry.get('namespaces', 'default')) ?? assert.fail() });
      assert.deepEqual(namespace.metadata.labels, { 'kubernetes.io/metadata.name': 'default' });
      assert.deepEqual(namespace.spec.finalizers, ['kubernetes']);
      const revision = await store.revision();
      const again = await aRegistry({ store });
      assert.equal(await store.revision(), revision);
      await again.registry.close();
    });
  });
});
