import assert from 'node:assert/strict';
import { ApiError } from '../../../lib/base/errors.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import { disksFolderAnnotation, selectedNodeAnnotation } from '../../../lib/api/storage.ts';
import { podIndexes, Scheduler } from '../../../services/scheduler/scheduler.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import {
  aClaim,
  aClass,
  aNode,
  aPod,
  aVolume,
  refOf,
  type NodeOptions,
  type PodOptions,
} from '../../support/builders.ts';
import { until } from '../../support/until.ts';

const limits = { schedulerName: 'default-scheduler', batch: 500, inFlight: 4, sample: 64, bindForMs: 5_000 };

describe('scheduler on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    const views = {
      nodes: api.view('nodes'),
      pods: api.view('pods', { indexes: podIndexes }),
      services: api.view('services'),
      claims: api.view('persistentvolumeclaims'),
      volumes: api.view('persistentvolumes'),
      classes: api.view('storageclasses'),
    };
    api.runFree(new Scheduler({ ...api, ...views, client: api.client, limits }));
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
