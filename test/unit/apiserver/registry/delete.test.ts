import assert from 'node:assert/strict';
import type { DeleteOptions } from '../../../../services/apiserver/registry/registry.ts';
import { aRegistry, closeAll, objectOf, podDraft, rcDraft, rejects, type RegistryUnderTest } from './a-registry.ts';

describe('apiserver/registry delete', () => {
  afterEach(closeAll);

  async function aBoundPod(options: object = {}): Promise<RegistryUnderTest> {
    const subject = await aRegistry();
    await subject.registry.create('pods', 'default', podDraft({ name: 'web' }, options), {});
    await subject.registry.bind({ metadata: { name: 'web', namespace: 'default' }, target: { name: 'n1' } }, {});
    return subject;
  }
  const deletion = async (
    { registry }: RegistryUnderTest,
    options: DeleteOptions = {},
  ): Promise<{ gone: boolean; at: string; grace: number; generation: number }> => {
    const written = await registry.delete('pods', 'default/web', options);
    const { deletionTimestamp, deletionGracePeriodSeconds, generation } = objectOf(written).metadata;
    return { gone: written.gone, at: deletionTimestamp, grace: deletionGracePeriodSeconds, generation };
  };

  describe('of a pod', () => {
    it('on a node waits for the grace period: of the request, of its spec, else 30 s', async () => {
      const given = await aBoundPod({ terminationGracePeriodSeconds: 60 });
      assert.deepEqual(await deletion(given, { gracePeriodSeconds: 7 }), {
        gone: false,
        at: '2026-01-01T00:00:07Z',
        grace: 7,
        generation: 2,
      });
      assert.equal((await deletion(await aBoundPod({ terminationGracePeriodSeconds: 60 }))).grace, 60);
      assert.equal((await deletion(await aBoundPod())).grace, 30);
    });

    it('on a node goes at once with grace 0', async () => {
      const subject = await aBoundPod();
      assert.equal((await deletion(subject, { gracePeriodSeconds: 0 })).gone, true);
      assert.equal(await subject.registry.get('pods', 'default/web'), undefined);
    });

    it('without a node, or at its end, goes at once', async () => {
      const pending = await aRegistry();
      await pending.registry.create('pods', 'default', podDraft(), {});
      assert.equal((await deletion(pending)).gone, true);
      const ended = await aBoundPod();
      await ended.registry.patch('pods', 'default/web', { status: { phase: 'Failed' } }, { subresource: 'status' });
      assert.equal((await deletion(ended)).gone, true);
    });

    it('asked again keeps its time, or goes sooner, never later', async () => {
      const subject = await aBoundPod();
      const first = await deletion(subject);
      await subject.clock.advance(10_000);
      assert.deepEqual(await deletion(subject), first);
      assert.deepEqual(await deletion(subject, { gracePeriodSeconds: 300 }), first);
      const sooner = await deletion(subject, { gracePeriodSeconds: 5 });
      assert.deepEqual([sooner.grace, sooner.at], [5, '2026-01-01T00:00:05Z']);
      assert.equal((await deletion(subject, { gracePeriodSeconds: 0 })).gone, true);
      await rejects(deletion(subject), 'NotFound');
    });

    it("goes at the agent's word although a finalizer held it in between", async () => {
      const subject = await aRegistry();
      await subject.registry.create('pods', 'default', podDraft({ name: 'web', finalizers: ['example.com/hold'] }), {});
      await subject.registry.bind({ metadata: { name: 'web', namespace: 'default' }, target: { name: 'n1' } }, {});
      await deletion(subject);
      const released = await subject.registry.patch('pods', 'default/web', { metadata: { finalizers: null } }, {});
      assert.equal(objectOf(released).metadata.finalizers, undefined);
      assert.ok(await subject.registry.get('pods', 'default/web'), 'its grace is not over');
      assert.equal((await deletion(subject, { gracePeriodSeconds: 0 })).gone, true);
    });
  });

  it('waits for finalizers of any kind, and goes with the last of them', async () => {
    const { registry } = await aRegistry();
    const finalizers = ['example.com/a', 'example.com/b'];
    await registry.create('configmaps', 'default', { metadata: { name: 'c', finalizers }, data: { k: 'v' } }, {});
    const held = await registry.delete('configmaps', 'default/c', {});
    assert.equal(held.gone, false);
    assert.equal(objectOf(held).metadata.deletionTimestamp, '2026-01-01T00:00:00Z');
    await rejects(
      registry.patch('configmaps', 'default/c', { metadata: { finalizers: [...finalizers, 'example.com/c'] } }, {}),
      'Invalid',
      /no new finalizers can be added/,
    );
    await registry.patch('configmaps', 'default/c', { metadata: { finalizers: ['example.com/b'] } }, {});
    assert.ok(await registry.get('configmaps', 'default/c'));
    await registry.patch('configmaps', 'default/c', { metadata: { finalizers: null } }, {});
    assert.equal(await registry.get('configmaps', 'default/c'), undefined);
  });

  it('keeps preconditions', async () => {
    const { registry } = await aRegistry();
    const { metadata } = objectOf(await registry.create('pods', 'default', podDraft(), {}));
    const uid = 'other';
    await rejects(
      registry.delete('pods', 'default/web', { preconditions: { uid } }),
      'Conflict',
      `Operation cannot be fulfilled on pods "web": Precondition failed: UID in precondition: other, UID in object meta: ${metadata.uid}`,
    );
    await rejects(registry.delete('pods', 'default/web', { preconditions: { resourceVersion: '1' } }), 'Conflict');
    await registry.delete('pods', 'default/web', {
      preconditions: { uid: metadata.uid, resourceVersion: metadata.resourceVersion },
    });
  });

  it('checks, but does not do, a dry run', async () => {
    const { registry } = await aRegistry();
    await registry.create('pods', 'default', podDraft(), {});
    assert.equal((await registry.delete('pods', 'default/web', { dryRun: true })).gone, true);
    assert.ok(await registry.get('pods', 'default/web'));
    await rejects(
      registry.delete('pods', 'default/web', { gracePeriodSeconds: -1 }),
      'BadRequest',
      /gracePeriodSeconds -1/,
    );
  });

  describe('of an owner', () => {
    const cases = [
      { policy: undefined, gone: false, finalizers: ['orphan'] },
      { policy: 'Orphan', gone: false, finalizers: ['orphan'] },
      { policy: 'Foreground', gone: false, finalizers: ['foregroundDeletion'] },
      { policy: 'Background', gone: true, finalizers: undefined },
    ] as const;
    for (const { policy, gone, finalizers } of cases) {
      it(`${policy ?? 'by default'}: ${gone ? 'goes at once' : `waits with ${finalizers.join()}`}`, async () => {
        const { registry } = await aRegistry();
        await registry.create('replicationcontrollers', 'default', rcDraft(), {});
        const options = policy === undefined ? {} : { propagationPolicy: policy };
        const written = await registry.delete('replicationcontrollers', 'default/web', options);
        assert.equal(written.gone, gone);
        assert.deepEqual(objectOf(written).metadata.finalizers, finalizers);
      });
    }

    it('goes when the collector takes the finalizer away, and a later wish replaces an earlier', async () => {
      const { registry } = await aRegistry();
      await registry.create('replicationcontrollers', 'default', rcDraft(), {});
      await registry.delete('replicationcontrollers', 'default/web', {});
      const again = await registry.delete('replicationcontrollers', 'default/web', {});
      assert.deepEqual(objectOf(again).metadata.finalizers, ['orphan']);
      const changed = await registry.delete('replicationcontrollers', 'default/web', {
        propagationPolicy: 'Foreground',
      });
      assert.deepEqual(objectOf(changed).metadata.finalizers, ['foregroundDeletion']);
      const object = objectOf(changed);
      delete object.metadata.finalizers;
      await registry.update('replicationcontrollers', 'default/web', object, {});
      assert.equal(await registry.get('replicationcontrollers', 'default/web'), undefined);
    });

    it('by default goes at once when it is no ReplicationController', async () => {
      const { registry } = await aRegistry();
      await registry.create('configmaps', 'default', { metadata: { name: 'c' } }, {});
      assert.equal((await registry.delete('configmaps', 'default/c', {})).gone, true);
    });
  });

  it('of a collection takes what the selection takes', async () => {
    const { registry } = await aRegistry();
    for (let i = 0; i < 100; i++) {
      await registry.create('pods', 'default', podDraft({ name: `p${i}`, labels: { odd: String(i % 2) } }), {});
    }
    assert.equal(await registry.deleteCollection('pods', { namespace: 'default', labelSelector: 'odd=1' }, {}), 50);
    assert.equal((await registry.list('pods', {})).items.length, 50);
    await rejects(registry.deleteCollection('pods', { labelSelector: 'odd in (' }, {}), 'BadRequest');
  });

  describe('of a namespace', () => {
    it('is refused for those that the cluster needs', async () => {
      const { registry } = await aRegistry();
      for (const name of ['default', 'kube-system']) {
        await rejects(
          registry.delete('namespaces', name, {}),
          'Forbidden',
          `namespaces "${name}" is forbidden: this namespace may not be deleted`,
        );
      }
    });

    it('makes it Terminating until it is empty and nobody holds it', async () => {
      const { registry } = await aRegistry();
      await registry.create('namespaces', undefined, { metadata: { name: 'shop' } }, {});
      await registry.create('configmaps', 'shop', { metadata: { name: 'c' } }, {});
      const written = await registry.delete('namespaces', 'shop', {});
      assert.equal(written.gone, false);
      const ending = objectOf(written);
      assert.equal(ending.status.phase, 'Terminating');
      assert.equal(ending.metadata.deletionTimestamp, '2026-01-01T00:00:00Z');
      assert.deepEqual(ending.spec.finalizers, ['kubernetes']);
      assert.equal((await registry.delete('namespaces', 'shop', {})).gone, false, 'a second time is no harm');

      const emptied = { ...ending, metadata: { name: 'shop' }, spec: { finalizers: [] } };
      await rejects(
        registry.update('namespaces', 'shop', structuredClone(emptied), {}),
        'Conflict',
        /still holds configmaps/,
      );
      await registry.delete('configmaps', 'shop/c', {});
      await registry.delete('serviceaccounts', 'shop/default', {}); // made with the namespace
      await registry.update('namespaces', 'shop', emptied, {});
      assert.equal(await registry.get('namespaces', 'shop'), undefined);
    });

    it('cannot be cut short: while it lives its finalizers stay', async () => {
      const { registry } = await aRegistry();
      await registry.create('namespaces', undefined, { metadata: { name: 'shop' } }, {});
      const kept = await registry.patch('namespaces', 'shop', { spec: { finalizers: null } }, {});
      assert.deepEqual(objectOf(kept).spec.finalizers, ['kubernetes']);
    });
  });
});
