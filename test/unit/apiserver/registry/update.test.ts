import assert from 'node:assert/strict';
import type { Binding } from '../../../../lib/api/objects.ts';
import { aRegistry, closeAll, objectOf, podDraft, rcDraft, rejects } from './a-registry.ts';

describe('apiserver/registry update and patch', () => {
  afterEach(closeAll);

  it('replaces spec and labels, keeps status and what the server assigned, counts changes of the spec', async () => {
    const { registry } = await aRegistry();
    const rc = objectOf(await registry.create('replicationcontrollers', 'default', rcDraft(), {}));
    await registry.update(
      'replicationcontrollers',
      'default/web',
      { ...rc, status: { replicas: 2, readyReplicas: 1 } },
      { subresource: 'status' },
    );
    const draft = rcDraft({ name: 'web', labels: { tier: 'front' } }, { replicas: 5 });
    draft.status = { replicas: 77 };
    const next = objectOf(await registry.update('replicationcontrollers', 'default/web', draft, {}));
    assert.equal(next.spec.replicas, 5);
    assert.deepEqual(next.metadata.labels, { tier: 'front' });
    assert.deepEqual(next.status, { replicas: 2, readyReplicas: 1 });
    assert.equal(next.metadata.uid, rc.metadata.uid);
    assert.equal(next.metadata.creationTimestamp, rc.metadata.creationTimestamp);
    assert.equal(next.metadata.generation, 2);
    const labelled = { ...next, metadata: { ...next.metadata, labels: { tier: 'back' } } };
    const relabelled = objectOf(await registry.update('replicationcontrollers', 'default/web', labelled, {}));
    assert.equal(relabelled.metadata.generation, 2, 'labels are no spec');
  });

  it('is conditional on the resourceVersion when there is one', async () => {
    const { registry } = await aRegistry();
    const rc = objectOf(await registry.create('replicationcontrollers', 'default', rcDraft(), {}));
    const scaled = (replicas: number) => ({ ...rc, spec: { ...rc.spec, replicas } });
    await registry.update('replicationcontrollers', 'default/web', scaled(3), {});
    await rejects(
      registry.update('replicationcontrollers', 'default/web', scaled(4), {}),
      'Conflict',
      'Operation cannot be fulfilled on replicationcontrollers "web": the object has been modified; please apply your changes to the latest version and try again',
    );
    const unconditional = { ...scaled(4), metadata: { name: 'web' } };

    assert.equal(
      objectOf(await registry.update('replicationcontrollers', 'default/web', unconditional, {})).spec.replicas,
      4,
    );
    await rejects(
      registry.update(
        'replicationcontrollers',
        'default/web',
        { ...rcDraft({ name: 'web', resourceVersion: 'x' }) },
        {},
      ),
      'BadRequest',
    );
  });

  it('writes nothing when nothing changes', async () => {
    const { registry, store } = await aRegistry();
    const pod = objectOf(
      await registry.create('pods', 'default', podDraft({ name: 'web', labels: { a: '1', b: '2' } }), {}),
    );
    const revision = await store.revision();
    const same = await registry.update('pods', 'default/web', structuredClone(pod), {});
    assert.equal(same.served.revision, revision);
    const turned = { status: pod.status, spec: pod.spec, metadata: { ...pod.metadata, labels: { b: '2', a: '1' } } };
    await registry.update('pods', 'default/web', turned, {});
    await registry.patch('pods', 'default/web', { metadata: { labels: { a: '1' } } }, {});
    await registry.update('pods', 'default/web', structuredClone(pod), { subresource: 'status' });
    assert.equal(await store.revision(), revision);
  });

  it('refuses another name, namespace or uid, and what is not there', async () => {
    const { registry } = await aRegistry();
    const pod = objectOf(await registry.create('pods', 'default', podDraft(), {}));
    const withMeta = (metadata: object) => ({
      ...structuredClone(pod),
      metadata: { ...pod.metadata, ...metadata },
    });
    await rejects(registry.update('pods', 'default/web', withMeta({ name: 'x' }), {}), 'BadRequest', /metadata.name/);
    await rejects(
      registry.update('pods', 'default/web', withMeta({ namespace: 'x' }), {}),
      'BadRequest',
      /metadata.namespace/,
    );
    await rejects(registry.update('pods', 'default/web', withMeta({ uid: 'x' }), {}), 'Conflict', /metadata.uid/);
    await rejects(
      registry.update('pods', 'default/web', withMeta({ deletionTimestamp: '2030-01-01T00:00:00Z' }), {}),
      'Invalid',
      /metadata.deletionTimestamp.*immutable/,
    );
    await rejects(registry.update('pods', 'default/x', podDraft({ name: 'x' }), {}), 'NotFound', 'pods "x" not found');
  });

  it('keeps the rules of the kind: a pod may change little, and never its node', async () => {
    const { registry } = await aRegistry();
    await registry.create('pods', 'default', podDraft(), {});
    const image = (image: string) => podDraft({ name: 'web' }, { containers: [{ name: 'main', image }] });
    const updated = objectOf(await registry.update('pods', 'default/web', image('web:2'), {}));
    assert.equal(updated.spec.containers[0].image, 'web:2');
    await rejects(
      registry.patch('pods', 'default/web', { spec: { nodeName: 'n1' } }, {}),
      'Invalid',
      /pod updates may not change fields other than/,
    );
  });

  it('retries an update without resourceVersion when others write too', async () => {
    const { registry } = await aRegistry();
    await registry.create('pods', 'default', podDraft(), {});
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        registry.patch('pods', 'default/web', { metadata: { labels: { [`l${i}`]: 'x' } } }, {}),
      ),
    );
    const pod = objectOf({ served: (await registry.get('pods', 'default/web')) ?? assert.fail() });
    assert.equal(Object.keys(pod.metadata.labels).length, 10);
  });

  it('patches by RFC 7386, conditionally when the patch names a resourceVersion', async () => {
    const { registry } = await aRegistry();
    const rc = objectOf(await registry.create('replicationcontrollers', 'default', rcDraft(), {}));
    const patched = objectOf(
      await registry.patch(
        'replicationcontrollers',
        'default/web',
        { metadata: { labels: { app: null, tier: 'front' } }, spec: { replicas: 7 } },
        {},
      ),
    );
    assert.deepEqual(patched.metadata.labels, { tier: 'front' });
    assert.equal(patched.spec.replicas, 7);
    assert.equal(patched.metadata.generation, 2);
    const stale = { metadata: { resourceVersion: rc.metadata.resourceVersion }, spec: { replicas: 1 } };
    await rejects(registry.patch('replicationcontrollers', 'default/web', stale, {}), 'Conflict');
    const fresh = { metadata: { resourceVersion: patched.metadata.resourceVersion }, spec: { replicas: 1 } };
    assert.equal(objectOf(await registry.patch('replicationcontrollers', 'default/web', fresh, {})).spec.replicas, 1);
    await rejects(registry.patch('replicationcontrollers', 'default/web', [], {}), 'BadRequest');
    await rejects(registry.patch('replicationcontrollers', 'default/web', { spec: { replicas: -1 } }, {}), 'Invalid');
    await rejects(
      registry.patch('replicationcontrollers', 'default/web', { spec: { foo: 1 } }, { fieldValidation: 'Strict' }),
      'BadRequest',
      /unknown field "spec.foo"/,
    );
  });

  it('does not store a dry run', async () => {
    const { registry, store } = await aRegistry();
    await registry.create('replicationcontrollers', 'default', rcDraft(), {});
    const revision = await store.revision();
    const dry = await registry.patch(
      'replicationcontrollers',
      'default/web',
      { spec: { replicas: 9 } },
      { dryRun: true },
    );
    assert.equal(objectOf(dry).spec.replicas, 9);
    assert.equal(await store.revision(), revision);
  });

  it('keeps the trace of a request that changes the spec', async () => {
    const { registry } = await aRegistry();
    await registry.create('replicationcontrollers', 'default', rcDraft(), { traceparent: 'one' });
    const patch = async (change: object, traceparent: string): Promise<string | undefined> =>
      objectOf(await registry.patch('replicationcontrollers', 'default/web', change, { traceparent })).metadata
        .annotations['troupe.dev/traceparent'];
    assert.equal(await patch({ metadata: { labels: { x: 'y' } } }, 'two'), 'one');
    assert.equal(await patch({ spec: { replicas: 4 } }, 'three'), 'three');
  });

  describe('status', () => {
    it('changes the status alone', async () => {
      const { registry } = await aRegistry();
      const pod = objectOf(await registry.create('pods', 'default', podDraft(), {}));
      const report = structuredClone(pod);
      report.status = { ...pod.status, phase: 'Running', podIP: '10.244.0.2' };
      report.spec.containers[0].image = 'other:1';
      report.metadata.labels = { sneaky: 'x' };
      const next = objectOf(await registry.update('pods', 'default/web', report, { subresource: 'status' }));
      assert.equal(next.status.phase, 'Running');
      assert.equal(next.spec.containers[0].image, 'web:1');
      assert.equal(next.metadata.labels, undefined);
      assert.equal(next.metadata.generation, 1);
    });

    it('is conditional, patched and checked like the rest', async () => {
      const { registry } = await aRegistry();
      const pod = objectOf(await registry.create('pods', 'default', podDraft(), {}));
      const report = { ...pod, status: { ...pod.status, phase: 'Running' } };
      await registry.update('pods', 'default/web', structuredClone(report), { subresource: 'status' });
      await rejects(registry.update('pods', 'default/web', report, { subresource: 'status' }), 'Conflict');
      const failed = { status: { phase: 'Failed', reason: 'Evicted' } };
      await registry.patch('pods', 'default/web', failed, { subresource: 'status' });
      await rejects(
        registry.patch('pods', 'default/web', { status: { phase: 'Running' } }, { subresource: 'status' }),
        'Invalid',
        /a terminal phase is final/,
      );
      await rejects(
        registry.update('pods', 'default/web', { metadata: { name: 'web' } }, { subresource: 'status' }),
        'BadRequest',
        /status is required/,
      );
      await rejects(
        registry.update('configmaps', 'default/web', { status: {} }, { subresource: 'status' }),
        'MethodNotAllowed',
      );
    });
  });

  describe('scale', () => {
    it('is the replica count by itself', async () => {
      const { registry } = await aRegistry();
      const rc = objectOf(await registry.create('replicationcontrollers', 'default', rcDraft(), {}));
      const scale = objectOf({
        served: (await registry.scale('replicationcontrollers', 'default/web')) ?? assert.fail(),
      });
      assert.deepEqual(scale, {
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: {
          name: 'web',
          namespace: 'default',
          uid: rc.metadata.uid,
          resourceVersion: rc.metadata.resourceVersion,
          creationTimestamp: rc.metadata.creationTimestamp,
        },
        spec: { replicas: 2 },
        status: { replicas: 0, selector: 'app=web' },
      });
      const scaled = objectOf(
        await registry.update(
          'replicationcontrollers',
          'default/web',
          { ...scale, spec: { replicas: 4 } },
          { subresource: 'scale' },
        ),
      );
      assert.equal(scaled.kind, 'Scale');
      assert.equal(scaled.spec.replicas, 4);
      await rejects(
        registry.update('replicationcontrollers', 'default/web', scale, { subresource: 'scale' }),
        'Conflict',
      );
      const patched = await registry.patch(
        'replicationcontrollers',
        'default/web',
        { spec: { replicas: 1 } },
        { subresource: 'scale' },
      );
      assert.equal(objectOf(patched).spec.replicas, 1);
      const after = objectOf({
        served: (await registry.get('replicationcontrollers', 'default/web')) ?? assert.fail(),
      });
      assert.equal(after.spec.replicas, 1);
      assert.equal(after.metadata.generation, 3);
    });

    it('refuses a count that is none, and kinds that have no scale', async () => {
      const { registry } = await aRegistry();
      await registry.create('replicationcontrollers', 'default', rcDraft(), {});
      for (const replicas of [-1, 1.5, '3']) {
        await rejects(
          registry.patch('replicationcontrollers', 'default/web', { spec: { replicas } }, { subresource: 'scale' }),
          'Invalid',
          /spec.replicas/,
        );
      }
      await rejects(registry.scale('pods', 'default/web'), 'MethodNotAllowed');
      assert.equal(await registry.scale('replicationcontrollers', 'default/absent'), undefined);
    });
  });

  describe('bind', () => {
    const binding = (name: string, more: object = {}): Binding => ({
      metadata: { name: 'web', namespace: 'default', ...more },
      target: { kind: 'Node', name },
    });

    it('gives a pod its node, once, and says so in its condition', async () => {
      const { registry, clock } = await aRegistry();
      const pod = objectOf(await registry.create('pods', 'default', podDraft(), {}));
      await clock.advance(5_000);
      const bound = objectOf(await registry.bind(binding('n1', { annotations: { why: 'first' } }), {}));
      assert.equal(bound.spec.nodeName, 'n1');
      assert.equal(bound.metadata.annotations.why, 'first');
      assert.equal(bound.metadata.generation, 1);
      assert.deepEqual(bound.status.conditions, [
        { type: 'PodScheduled', status: 'True', lastTransitionTime: '2026-01-01T00:00:05Z' },
      ]);
      const again = await registry.bind(binding('n1'), {});
      assert.equal(String(again.served.revision), bound.metadata.resourceVersion, 'the same again changes nothing');
      await rejects(registry.bind(binding('n2'), {}), 'Conflict', /already assigned to node "n1"/);
      await rejects(registry.bind(binding('n1', { uid: 'other' }), {}), 'Conflict', /another one now/);
      await registry.bind(binding('n1', { uid: pod.metadata.uid }), {});
    });

    it('binds a pod with scheduling gates when the last of them is gone, and says from the first why it waits', async () => {
      const { registry } = await aRegistry();
      const gated = podDraft({ name: 'web' }, { schedulingGates: [{ name: 'licence' }] });
      const pod = objectOf(await registry.create('pods', 'default', gated, {}));
      assert.deepEqual(pod.status.conditions, [
        {
          ...{
            type: 'PodScheduled',
            status: 'False',
            reason: 'SchedulingGated',
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
          message: 'Scheduling is blocked due to non-empty scheduling gates',
        },
      ]);
      await rejects(registry.bind(binding('n1'), {}), 'Conflict', /has scheduling gates: licence$/);
    });

    it('does not bind what is absent or going away', async () => {
      const { registry } = await aRegistry();
      await rejects(registry.bind(binding('n1'), {}), 'NotFound');
      await registry.create('pods', 'default', podDraft({ name: 'web', finalizers: ['example.com/hold'] }), {});
      await registry.delete('pods', 'default/web', {});
      await rejects(registry.bind(binding('n1'), {}), 'Conflict', /being deleted/);
    });

    it('lets one of many win', async () => {
      const { registry } = await aRegistry();
      await registry.create('pods', 'default', podDraft(), {});
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) => registry.bind(binding(`n${i}`), {})),
      );
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    });
  });
});
