import assert from 'node:assert/strict';
import { ApiError } from '../../../lib/base/errors.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import { disksFolderAnnotation, selectedNodeAnnotation } from '../../../lib/api/storage.ts';
import { pack } from '../../../lib/placing/profile.ts';
import { podIndexes, Scheduler, type Parts as SchedulerParts } from '../../../services/scheduler/scheduler.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod, type NodeOptions, type PodOptions } from '../../support/builders.ts';
import { aClaim, aClass, aVolume, refOf } from '../../support/storage-builders.ts';
import { until } from '../../support/until.ts';

const limits = { schedulerName: 'default-scheduler', batch: 500, inFlight: 4, sample: 64, bindForMs: 5_000 };

/** A scheduler's own: each has what it has heard. */
const viewsOf = (api: ApiInProcess) => ({
  nodes: api.view('nodes'),
  pods: api.view('pods', { indexes: podIndexes }),
  services: api.view('services'),
  budgets: api.view('poddisruptionbudgets'),
  namespaces: api.view('namespaces'),
  claims: api.view('persistentvolumeclaims'),
  volumes: api.view('persistentvolumes'),
  classes: api.view('storageclasses'),
});

describe('scheduler on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    api.runFree(new Scheduler({ ...api, ...viewsOf(api), client: api.client, limits }));
  });
  afterEach(() => api.stop());

  const addNode = async (options: NodeOptions): Promise<Node> => {
    const node = aNode(options);
    const stored = await api.put('nodes', node);
    return api.client.updateStatus('nodes', { ...stored, status: node.status });
  };
  const addPod = (options: PodOptions): Promise<Pod> => api.put('pods', aPod(options));
  const nodeOf = async (name: string): Promise<string | undefined> =>
    (await api.client.get('pods', `default/${name}`))?.spec.nodeName;
  const why = async (name: string): Promise<string | undefined> => {
    const pod = await api.client.get('pods', `default/${name}`);
    return pod && conditionOf(pod.status, 'PodScheduled')?.message;
  };

  it('places a pod that waited for another one near it, and one that waited for a label', async () => {
    const required = 'requiredDuringSchedulingIgnoredDuringExecution';
    const near = { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'db' } } };
    await addNode({ name: 'n1', labels: { zone: 'a' } });
    await addNode({ name: 'n2', labels: { zone: 'b' } });
    await addPod({ name: 'web', spec: { affinity: { podAffinity: { [required]: [near] } } } });
    const wishes = { nodeSelectorTerms: [{ matchExpressions: [{ key: 'gpu', operator: 'Exists' as const }] }] };
    await addPod({ name: 'sums', spec: { affinity: { nodeAffinity: { [required]: wishes } } } });
    await until(async () => (await why('web')) === '0/2 nodes are available: 2 not matching the pod affinity rules.', {
      what: 'the refusal',
    });
    await until(async () => (await why('sums')) === '0/2 nodes are available: 2 not matching the node affinity.', {
      what: 'the other refusal',
    });
    await addPod({ name: 'db', labels: { app: 'db' }, nodeSelector: { zone: 'b' } });
    await until(async () => (await nodeOf('web')) === 'n2', { what: 'the pod to go to the one it waited for' });
    await api.client.patch('nodes', 'n1', { metadata: { labels: { gpu: 'yes' } } });
    await until(async () => (await nodeOf('sums')) === 'n1', { what: 'the pod to go to the node with the label' });
  });

  it('places a pod that waited for a resource as soon as a node declares it, in a patch of its status', async () => {
    await addNode({ name: 'n1' });
    await addPod({ name: 'sums', others: { 'example.com/gpu': '2' } });
    await until(async () => (await why('sums')) === '0/1 nodes are available: 1 insufficient example.com/gpu.', {
      what: 'the refusal',
    });
    const gpus = { 'example.com/gpu': '4' };
    await api.client.patch('nodes', 'n1', { status: { capacity: gpus, allocatable: gpus } }, { subresource: 'status' });
    await until(async () => (await nodeOf('sums')) === 'n1', { what: 'the pod to go to the node' });
  });

  it('knows what its views had before it was made, as one whose module took its time to load', async () => {
    await addNode({ name: 'n1' });
    const views = viewsOf(api);
    const late = await addPod({ name: 'late', spec: { schedulerName: 'late' } });
    await until(() => views.nodes.get('n1') !== undefined && views.pods.get(keyOf(late)) !== undefined, {
      what: 'the views to be read',
    });
    api.runFree(new Scheduler({ ...api, ...views, client: api.client, limits: { ...limits, schedulerName: 'late' } }));
    await until(async () => (await nodeOf('late')) === 'n1', { what: 'the binding' });
  });

  it('leaves the pods of another name to a scheduler with another profile, and counts them', async () => {
    const own = { ...limits, schedulerName: 'packer' };
    api.runFree(new Scheduler({ ...api, ...viewsOf(api), client: api.client, limits: own, profile: pack }));
    for (const name of ['n1', 'n2', 'n3', 'n4']) await addNode({ name, cpu: '8' });
    const names = [1, 2, 3, 4].map((i) => `p${i}`);
    for (const name of names) await addPod({ name, cpu: '1', ownerUid: 'rc', spec: { schedulerName: 'packer' } });
    const nodes = async (): Promise<readonly (string | undefined)[]> => Promise.all(names.map(nodeOf));
    await until(async () => (await nodes()).every((node) => node !== undefined), { what: 'all to be bound' });
    assert.equal(new Set(await nodes()).size, 1, 'on one node');
    await addPod({ name: 'plain' });
    await until(async () => (await nodeOf('plain')) !== undefined, { what: 'the other to be bound' });
    assert.notEqual(await nodeOf('plain'), (await nodes())[0], 'it goes where less is');
  });

  it('places a pod with scheduling gates when the last of them is gone, where it was then told to go', async () => {
    await addNode({ name: 'n1' });
    await addNode({ name: 'n2', labels: { licence: 'yes' } });
    await addPod({ name: 'gated', spec: { schedulingGates: [{ name: 'a' }, { name: 'b' }] } });
    await addPod({ name: 'free' });
    await until(async () => (await nodeOf('free')) !== undefined, { what: 'the other to be bound' });
    const open = (schedulingGates: readonly object[]) =>
      api.client.patch('pods', 'default/gated', { spec: { schedulingGates } });
    await open([{ name: 'b' }]);
    await api.client.patch('pods', 'default/gated', { spec: { nodeSelector: { licence: 'yes' } } });
    assert.equal((await why('gated'))?.startsWith('Scheduling is blocked'), true);
    assert.equal(await nodeOf('gated'), undefined);
    await open([]);
    await until(async () => (await nodeOf('gated')) === 'n2', { what: 'the binding' });
  });

  it('has pods that ask for nothing wait for a node with memory to spare, and places them as soon as one says so', async () => {
    let say: Parameters<SchedulerParts['rooms'] & object>[0] = () => undefined;
    const rooms: SchedulerParts['rooms'] = (onRoom) => (say = onRoom);
    const own = { ...limits, schedulerName: 'measuring' };
    const scheduler = new Scheduler({ ...api, ...viewsOf(api), client: api.client, limits: own, rooms });
    api.runFree(scheduler);
    const left = (memorySpareBytes: number) => ({ memorySpareBytes, memoryBytes: 2 ** 33, cpuIdle: 1 });
    await addNode({ name: 'n1' });
    await addPod({ name: 'reserves', cpu: '1', spec: { schedulerName: 'measuring' } });
    await until(async () => (await nodeOf('reserves')) === 'n1', { what: 'the node to be known' });
    say('n1', left(0));
    await addPod({ name: 'modest', spec: { schedulerName: 'measuring' } });
    await until(async () => (await why('modest'))?.includes('1 without memory to spare') === true, {
      what: 'the reason',
    });
    say('n1', left(2 ** 30));
    await until(async () => (await nodeOf('modest')) === 'n1', { what: 'the binding' });
  });

  it('binds a pod and says so', async () => {
    await addNode({ name: 'n1' });
    await addPod({ name: 'a' });
    await until(async () => (await nodeOf('a')) === 'n1', { what: 'the binding' });
    await until(() => api.told.includes('Normal Scheduled a: Successfully assigned default/a to n1'), {
      what: 'the event',
    });
  });

  it('says why a pod fits nowhere, once, and places it as soon as a node comes', async () => {
    await addNode({ name: 'small', memory: '1Gi' });
    await addPod({ name: 'big', memory: '4Gi' });
    await until(async () => (await why('big')) === '0/1 nodes are available: 1 insufficient memory.', {
      what: 'the reason',
    });
    const pod = await api.client.get('pods', 'default/big');
    assert.equal(pod && conditionOf(pod.status, 'PodScheduled')?.reason, 'Unschedulable');
    await addNode({ name: 'large', memory: '8Gi' });
    await until(async () => (await nodeOf('big')) === 'large', { what: 'the binding' });
    assert.equal(api.told.filter((line) => line.startsWith('Warning FailedScheduling')).length, 1);
  });

  it('places a waiting pod when another makes room', async () => {
    await addNode({ name: 'n1', cpu: '1' });
    await addPod({ name: 'first', cpu: '1' });
    await until(async () => (await nodeOf('first')) === 'n1', { what: 'the first binding' });
    await addPod({ name: 'second', cpu: '1' });
    await until(async () => (await why('second'))?.includes('insufficient cpu') === true, { what: 'the refusal' });
    await api.client.delete('pods', 'default/first', { gracePeriodSeconds: 0 });
    await until(async () => (await nodeOf('second')) === 'n1', { what: 'the second binding' });
  });

  it('leaves the pods of other schedulers, and pods that go', async () => {
    await addPod({ name: 'other', spec: { schedulerName: 'another' } });
    await addPod({ name: 'going', finalizers: ['test.example/hold'] });
    await api.client.delete('pods', 'default/going');
    await addNode({ name: 'n1' });
    await addPod({ name: 'ours' });
    await until(async () => (await nodeOf('ours')) === 'n1', { what: 'the binding' });
    assert.deepEqual([await nodeOf('other'), await nodeOf('going')], [undefined, undefined]);
  });

  it('never fills a node beyond its capacity, with many pods at once', async () => {
    for (let i = 0; i < 5; i++) await addNode({ name: `n${i}`, cpu: '2', pods: '30' });
    await Promise.all(Array.from({ length: 120 }, (_, i) => addPod({ name: `p${i}`, cpu: '100m' })));
    const bound = async (): Promise<Pod[]> =>
      (await api.client.list('pods')).items.filter(({ spec }) => spec.nodeName !== undefined);
    await until(async () => (await bound()).length === 100, { what: 'a hundred bindings' });
    await until(
      async () =>
        (await api.client.list('pods')).items.filter(
          (pod) => conditionOf(pod.status, 'PodScheduled')?.reason === 'Unschedulable',
        ).length === 20,
      { what: 'twenty refusals' },
    );
    const counts = new Map<string, number>();
    for (const { spec } of await bound()) counts.set(spec.nodeName ?? '', (counts.get(spec.nodeName ?? '') ?? 0) + 1);
    assert.deepEqual([...counts.values()], [20, 20, 20, 20, 20]);
  });

  it('tries the same binding again while the API is away, and does not bind elsewhere', async () => {
    await addNode({ name: 'n1' });
    const bind = api.client.bindMany.bind(api.client);
    let calls = 0;
    api.client.bindMany = async (bindings) => {
      calls += 1;
      if (calls === 1) await bind(bindings); // done, but the answer is lost
      if (calls < 3) throw new ApiError('ServiceUnavailable', 'away');
      return bind(bindings);
    };
    await addPod({ name: 'a' });
    await until(async () => (await nodeOf('a')) === 'n1', { what: 'the binding' });
    await addPod({ name: 'b' });
    await until(async () => (await nodeOf('b')) === 'n1', { what: 'the next binding' });
  });

  it('never binds a pod twice where two schedulers of one name race', async () => {
    const bound = new Map<string, Set<string>>();
    const client: SchedulerParts['client'] = {
      updateStatusMany: api.client.updateStatusMany.bind(api.client),
      updateStatus: api.client.updateStatus.bind(api.client),
      update: api.client.update.bind(api.client),
      get: api.client.get.bind(api.client),
      evict: api.client.evict.bind(api.client),
      delete: api.client.delete.bind(api.client),
      async bindMany(bindings, call) {
        const outcomes = await api.client.bindMany(bindings, call);
        for (const outcome of outcomes) {
          if (!outcome.ok) continue;
          const { metadata, spec } = outcome.object;
          const nodes = bound.get(metadata.name) ?? new Set();
          bound.set(metadata.name, nodes.add(spec.nodeName ?? ''));
        }
        return outcomes;
      },
    };
    for (const sample of [1, 3]) {
      const own = { ...limits, schedulerName: 'racer', batch: 1 + sample * 7, sample };
      api.runFree(new Scheduler({ ...api, ...viewsOf(api), client, limits: own }));
    }
    for (let i = 0; i < 7; i++) await addNode({ name: `n${i}` });
    const names = Array.from({ length: 200 }, (_, i) => `r${i}`);
    await Promise.all(names.map((name) => addPod({ name, spec: { schedulerName: 'racer' } })));
    await until(async () => (await Promise.all(names.map(nodeOf))).every((node) => node !== undefined), {
      what: 'all to be bound',
    });
    for (const name of names) assert.deepEqual([...(bound.get(name) ?? [])], [await nodeOf(name)], name);
  });

  it('gives way to another scheduler that was faster', async () => {
    const bind = api.client.bindMany.bind(api.client);
    let raced = false;
    api.client.bindMany = async (bindings) => {
      if (!raced) {
        raced = true;
        await bind(bindings.map((binding) => ({ ...binding, target: { name: 'theirs' } })));
      }
      return bind(bindings);
    };
    await addNode({ name: 'n1', pods: '1' });
    await addPod({ name: 'a' });
    await until(async () => (await nodeOf('a')) === 'theirs', { what: 'their binding' });
    await addPod({ name: 'b' });
    await until(async () => (await nodeOf('b')) === 'n1', { what: 'the room is free again' });
  });

  describe('pods with claims', () => {
    const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }];
    const chosen = async (): Promise<string | undefined> =>
      (await api.client.get('persistentvolumeclaims', 'default/data'))?.metadata.annotations?.[selectedNodeAnnotation];
    const addDiskNode = async (name: string): Promise<Node> => {
      const labels = { 'kubernetes.io/hostname': name };
      return addNode({ name, labels, annotations: { [disksFolderAnnotation]: '/disks' } });
    };
    /** What the controller of volumes does once the node has made the disk. */
    const bindClaim = async (node: string): Promise<void> => {
      const claim = await api.client.patch('persistentvolumeclaims', 'default/data', { spec: { volumeName: 'disk' } });
      await api.put('persistentvolumes', aVolume({ node, className: 'local', claimRef: refOf(claim) }));
      await api.client.patch(
        'persistentvolumeclaims',
        'default/data',
        { status: { phase: 'Bound' } },
        { subresource: 'status' },
      );
    };

    it('tells the claim its node, holds the room, and binds the pod when the claim is bound', async () => {
      await addDiskNode('n1');
      await api.put('storageclasses', aClass());
      await api.put('persistentvolumeclaims', aClaim({ className: 'local' }));
      await addPod({ name: 'db', cpu: '3', spec: { volumes } });
      await until(async () => (await chosen()) === 'n1', { what: 'the choice' });
      await addPod({ name: 'greedy', cpu: '3' });
      await until(async () => (await why('greedy'))?.includes('insufficient cpu') === true, { what: 'the room held' });
      assert.equal(await nodeOf('db'), undefined);
      await bindClaim('n1');
      await until(async () => (await nodeOf('db')) === 'n1', { what: 'the binding' });
    });

    it('says that the claim is not there, and goes on when it comes', async () => {
      await addDiskNode('n1');
      await addPod({ name: 'db', spec: { volumes } });
      await until(async () => (await why('db'))?.includes('persistentvolumeclaim "data" not found') === true, {
        what: 'the refusal',
      });
      await api.put('storageclasses', aClass());
      await api.put('persistentvolumeclaims', aClaim({ className: 'local' }));
      await until(async () => (await chosen()) === 'n1', { what: 'the choice' });
    });

    it('chooses another node when the first is lost before the disk is made', async () => {
      const first = await addDiskNode('n1');
      await api.put('storageclasses', aClass());
      await api.put('persistentvolumeclaims', aClaim({ className: 'local' }));
      await addPod({ name: 'db', spec: { volumes } });
      await until(async () => (await chosen()) === 'n1', { what: 'the choice' });
      await addDiskNode('n2');
      await api.client.delete('nodes', first.metadata.name);
      await until(async () => (await chosen()) === 'n2', { what: 'the second choice' });
      await bindClaim('n2');
      await until(async () => (await nodeOf('db')) === 'n2', { what: 'the binding' });
    });

    it('forgets a pod that is deleted while its disk is made', async () => {
      await addDiskNode('n1');
      await api.put('storageclasses', aClass());
      await api.put('persistentvolumeclaims', aClaim({ className: 'local' }));
      await addPod({ name: 'db', cpu: '3', spec: { volumes } });
      await until(async () => (await chosen()) === 'n1', { what: 'the choice' });
      await api.client.delete('pods', 'default/db');
      await addPod({ name: 'next', cpu: '3' });
      await until(async () => (await nodeOf('next')) === 'n1', { what: 'the room is free' });
    });
  });

  it('takes a new pod of an old name for a new pod', async () => {
    const first = await addPod({ name: 'a' });
    await until(async () => (await why('a')) !== undefined, { what: 'the refusal' });
    await api.client.delete('pods', keyOf(first));
    await addPod({ name: 'a' });
    await addNode({ name: 'n1' });
    await until(async () => (await nodeOf('a')) === 'n1', { what: 'the binding' });
  });
});
