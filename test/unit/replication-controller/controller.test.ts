import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Pod, ReplicaSet, ReplicationController } from '../../../lib/api/objects.ts';
import { controllerOf, isActive } from '../../../lib/api/pods.ts';
import { podIndexes, ReplicationManager } from '../../../services/replication-controller/controller.ts';
import { wakeOnChanges } from '../../../services/replication-controller/wake.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { anRc, aPod } from '../../support/builders.ts';
import { aReplicaSet } from '../../support/workload-builders.ts';
import { until } from '../../support/until.ts';

describe('replication-controller on the real registry', () => {
  let api: ApiInProcess;
  let stopLoop: () => Promise<void>;

  const startLoop = (): void => {
    const rcs = api.view('replicationcontrollers');
    const pods = api.view('pods', { indexes: podIndexes });
    stopLoop = api.run({
      controller: new ReplicationManager({
        ...api,
        client: api.client,
        resource: 'replicationcontrollers',
        owners: rcs,
        pods,
        limits: { burst: 500, statusIntervalMs: 20 },
      }),
      keys: () => rcs.list().map(keyOf),
      wake: (queue) => wakeOnChanges(queue, 'ReplicationController', rcs, pods),
    });
  };
  beforeEach(async () => {
    api = await ApiInProcess.start();
    startLoop();
  });
  afterEach(() => api.stop());

  const pods = async (): Promise<readonly Pod[]> => (await api.client.list('pods', { namespace: 'default' })).items;
  const active = async (): Promise<readonly Pod[]> => (await pods()).filter(isActive);
  const rc = async (name = 'web'): Promise<ReplicationController> => {
    const found = await api.client.get('replicationcontrollers', `default/${name}`);
    assert.ok(found);
    return found;
  };
  const has = (count: number): Promise<unknown> =>
    until(async () => (await active()).length === count && (await rc()).status.replicas === count, {
      what: `${count} pods`,
    });
  const create = (replicas: number): Promise<unknown> =>
    api.put('replicationcontrollers', anRc({ replicas, selector: { app: 'web' } }));
  const scale = async (replicas: number): Promise<unknown> =>
    api.client.patch('replicationcontrollers', 'default/web', { spec: { replicas } });

  it('makes, replaces, scales up and down, and says so', async () => {
    await create(3);
    await has(3);
    assert.ok((await pods()).every(({ metadata }) => metadata.name.startsWith('web-')));
    const [first] = await pods();
    assert.ok(first);
    await api.client.delete('pods', keyOf(first));
    await until(
      async () => (await active()).length === 3 && !(await active()).some((pod) => keyOf(pod) === keyOf(first)),
      { what: 'a replacement' },
    );
    await scale(5);
    await has(5);
    await scale(0);
    await has(0);
    assert.ok(api.told.some((line) => line.startsWith('Normal SuccessfulCreate web: Created')));
    assert.ok(api.told.some((line) => line.startsWith('Normal SuccessfulDelete web: Deleted')));
  });

  it('makes exactly as many as asked for, also many, and none twice', async () => {
    await create(600);
    await has(600);
    await until(async () => (await rc()).status.observedGeneration === 1, { what: 'the status' });
    assert.equal((await pods()).length, 600);
  });

  it('adopts pods that belong to nobody, and gives up one whose label is taken away', async () => {
    const { metadata, spec } = aPod({ name: 'lonely', labels: { app: 'web' } });
    await api.client.create('pods', {
      metadata: { name: metadata.name, namespace: 'default', labels: { app: 'web' } },
      spec,
    });
    await create(2);
    await has(2);
    const mine = (await rc()).metadata.uid;
    const lonely = (): Promise<Pod | undefined> => api.client.get('pods', 'default/lonely');
    assert.equal(controllerOf((await lonely()) as Pod)?.uid, mine);
    await api.client.patch('pods', 'default/lonely', { metadata: { labels: { app: null } } });
    await until(async () => (await pods()).length === 3, { what: 'a replacement for the quarantined pod' });
    await until(async () => controllerOf((await lonely()) as Pod) === undefined, { what: 'the release' });
    assert.equal(isActive((await lonely()) as Pod), true, 'quarantined, alive');
  });

  it('counts ready and available pods', async () => {
    await create(2);
    await has(2);
    for (const pod of await pods()) {
      await api.client.bindMany([
        { metadata: { name: pod.metadata.name, namespace: 'default' }, target: { name: 'n1' } },
      ]);
      const bound = (await api.client.get('pods', keyOf(pod))) as Pod;
      const ready = { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' } as const;
      await api.client.updateStatus('pods', {
        ...bound,
        status: { ...bound.status, phase: 'Running', conditions: [ready] },
      });
    }
    await until(async () => (await rc()).status.availableReplicas === 2 && (await rc()).status.readyReplicas === 2, {
      what: 'two available',
    });
  });

  it('replaces a pod that failed', async () => {
    await create(1);
    await has(1);
    const [pod] = await pods();
    assert.ok(pod);
    await api.client.updateStatus('pods', { ...pod, status: { ...pod.status, phase: 'Failed' } });
    await until(async () => (await active()).length === 1 && (await pods()).length === 2, { what: 'a replacement' });
  });

  it('waits longer each time where pods fail as soon as they are made, says why, and goes on', async () => {
    await create(1);
    const fail = async (): Promise<void> => {
      await until(async () => (await active()).length === 1, { what: 'a pod to fail' });
      const [pod] = await active();
      assert.ok(pod);
      const status = { ...pod.status, phase: 'Failed' as const, reason: 'SysctlForbidden', message: 'not here' };
      await api.client.updateStatus('pods', { ...pod, status });
    };
    await fail();
    await fail(); // the first one was replaced at once
    await until(
      () => api.told.some((line) => line.startsWith('Warning BackOff web: pods fail as soon as they are made')),
      {
        what: 'a word about it',
      },
    );
    assert.ok(api.told.some((line) => line.endsWith('SysctlForbidden: not here')));
    await until(async () => (await active()).length === 1, { what: 'the next' });
  });

  it('does not make pods twice after a crash between making them and hearing of them', async () => {
    await create(4);
    await has(4);
    await stopLoop();
    const names = (await pods()).map(({ metadata }) => metadata.name).sort();
    startLoop();
    await api.client.patch('replicationcontrollers', 'default/web', { metadata: { labels: { touched: 'yes' } } });
    await until(() => api.told.length > 0, { what: 'something told' });
    assert.deepEqual((await pods()).map(({ metadata }) => metadata.name).sort(), names);
  });

  it('says why it cannot make pods', async () => {
    const broken = anRc({ replicas: 1, selector: { app: 'web' } });
    const refuse = api.client.createMany.bind(api.client);
    api.client.createMany = async (resource, drafts) =>
      drafts.map(() => ({ ok: false, reason: 'Forbidden', message: `no ${resource} for you` }));
    await api.put('replicationcontrollers', broken);
    await until(async () => (await rc()).status.conditions?.[0]?.message === 'no pods for you', {
      what: 'the condition',
    });
    assert.ok(api.told.some((line) => line.includes('FailedCreate web: Error creating: no pods for you')));
    api.client.createMany = refuse;
    await has(1);
    await until(async () => (await rc()).status.conditions === undefined, { what: 'the condition gone' });
  });

  it('keeps the count of ReplicaSets, whose selector may have expressions', async () => {
    const sets = api.view('replicasets');
    const ofPods = api.view('pods', { indexes: podIndexes });
    api.run({
      controller: new ReplicationManager({
        ...api,
        client: api.client,
        resource: 'replicasets',
        owners: sets,
        pods: ofPods,
        limits: { burst: 500, statusIntervalMs: 20 },
      }),
      keys: () => sets.list().map(keyOf),
      wake: (queue) => wakeOnChanges(queue, 'ReplicaSet', sets, ofPods),
    });
    const { spec } = aPod();
    await api.client.create('pods', {
      metadata: { name: 'lonely', namespace: 'default', labels: { tier: 'front' } },
      spec,
    });
    const matchExpressions = [
      { key: 'tier', operator: 'In' as const, values: ['front', 'middle'] },
      { key: 'canary', operator: 'DoesNotExist' as const },
    ];
    await api.put(
      'replicasets',
      aReplicaSet({ replicas: 3, selector: { matchExpressions }, labels: { tier: 'front' } }),
    );
    const set = async (): Promise<ReplicaSet> => (await api.client.get('replicasets', 'default/web')) as ReplicaSet;
    await until(async () => (await set()).status.replicas === 3, { what: 'three replicas' });
    assert.equal((await active()).length, 3);
    assert.ok((await active()).some(({ metadata }) => metadata.name === 'lonely'));
    for (const pod of await pods()) {
      const { kind, apiVersion, uid } = controllerOf(pod) ?? {};
      assert.deepEqual([kind, apiVersion, uid], ['ReplicaSet', 'apps/v1', (await set()).metadata.uid]);
    }
    // Another label takes a pod out of the set: it lives on, and is replaced.
    await api.client.patch('pods', 'default/lonely', { metadata: { labels: { canary: 'yes' } } });
    await until(async () => (await pods()).length === 4, { what: 'a replacement' });
    const lonely = (): Promise<Pod | undefined> => api.client.get('pods', 'default/lonely');
    await until(async () => controllerOf((await lonely()) as Pod) === undefined, { what: 'the release' });
    // Taken back, it makes one too many, of which the cheapest to lose goes.
    await api.client.patch('pods', 'default/lonely', { metadata: { labels: { canary: null } } });
    await until(async () => (await active()).length === 3, { what: 'three again' });
    await api.client.patch('replicasets', 'default/web', { spec: { replicas: 1 } }, { subresource: 'scale' });
    await until(async () => (await active()).length === 1 && (await set()).status.replicas === 1, { what: 'one' });
  });

  it('warns of overlapping selectors', async () => {
    await create(1);
    await has(1);
    await api.put('replicationcontrollers', anRc({ name: 'twin', replicas: 1, selector: { app: 'web' } }));
    await until(() => api.told.some((line) => line.startsWith('Warning SelectorOverlap twin')), { what: 'a warning' });
    await until(async () => (await active()).length === 2, { what: 'each its own pod' });
  });
});
