import assert from 'node:assert/strict';
import type { Pod } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import { podIndexes, Scheduler, type Parts } from '../../../services/scheduler/scheduler.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';
import { aBudget } from '../../support/disruption-builders.ts';
import { until } from '../../support/until.ts';

const limits = { schedulerName: 'default-scheduler', batch: 500, inFlight: 4, sample: 64, bindForMs: 5_000 };

const viewsOf = (api: ApiInProcess) => ({
  nodes: api.view('nodes'),
  pods: api.view('pods', { indexes: podIndexes }),
  services: api.view('services'),
  namespaces: api.view('namespaces'),
  budgets: api.view('poddisruptionbudgets'),
  claims: api.view('persistentvolumeclaims'),
  volumes: api.view('persistentvolumes'),
  classes: api.view('storageclasses'),
});

describe('scheduler preemption on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
  });
  afterEach(() => api.stop());

  const aScheduler = (more: Partial<Parts> = {}): Scheduler =>
    new Scheduler({ ...api, ...viewsOf(api), client: api.client, limits, ...more });
  const addNode = async (name: string, cpu: string): Promise<void> => {
    const node = aNode({ name, cpu });
    const stored = await api.put('nodes', node);
    await api.client.updateStatus('nodes', { ...stored, status: node.status });
  };
  const classes = { high: 1000, mid: 500, low: 1 };
  const addClasses = async (): Promise<void> => {
    for (const [name, value] of Object.entries(classes))
      await api.client.create('priorityclasses', { metadata: { name }, value });
  };
  const addPod = (name: string, priorityClassName: keyof typeof classes, options: PodOptions = {}): Promise<Pod> =>
    api.put('pods', aPod({ name, cpu: '1', ...options, spec: { priorityClassName, ...options.spec } }));
  const find = (name: string): Promise<Pod | undefined> => api.client.get('pods', `default/${name}`);
  const nodeOf = async (name: string): Promise<string | undefined> => (await find(name))?.spec.nodeName;
  const isGoing = async (name: string): Promise<boolean> =>
    (await find(name))?.metadata.deletionTimestamp !== undefined;
  /** As the agent of its node does in the end. */
  const finish = (name: string): Promise<Pod> =>
    api.client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
  const bound = async (...names: readonly string[]): Promise<void> => {
    for (const name of names)
      await until(async () => (await nodeOf(name)) !== undefined, { what: `${name} to have its node` });
  };
  const refused = async (name: string): Promise<string> => {
    const text = async (): Promise<string | undefined> => {
      const pod = await find(name);
      return pod && conditionOf(pod.status, 'PodScheduled')?.message;
    };
    await until(async () => (await text()) !== undefined, { what: `${name} to be refused` });
    return (await text()) ?? '';
  };

  it('ends one pod gracefully, says so on all sides, and keeps the room until the other is there', async () => {
    api.runFree(aScheduler());
    await addClasses();
    await addNode('n1', '2');
    await addPod('a', 'low');
    await addPod('b', 'mid');
    await bound('a', 'b');
    await addPod('high', 'high');
    await until(() => isGoing('a'), { what: 'the victim to go' });
    const [victim, high] = [await find('a'), await find('high')];
    assert.equal(victim?.metadata.deletionGracePeriodSeconds, 30);
    const target = victim === undefined ? undefined : conditionOf(victim.status, 'DisruptionTarget');
    assert.deepEqual(
      [target?.status, target?.reason, target?.message],
      ['True', 'PreemptionByScheduler', 'room is made on n1 for default/high of priority 1000'],
    );
    assert.equal(high?.status.nominatedNodeName, 'n1');
    assert.equal(
      await refused('high'),
      '0/1 nodes are available: 1 insufficient cpu. preemption: room is made on n1 by ending default/a.',
    );
    await until(() => api.told.includes('Normal Preempted a: Preempted by default/high (priority 1000) on node n1'), {
      what: 'the event',
    });
    await addPod('later', 'mid');
    assert.match(
      await refused('later'),
      /insufficient cpu\. preemption: room can be made on 0\/1 nodes: 1 where all those/,
    );
    await finish('a');
    await until(async () => (await nodeOf('high')) === 'n1', { what: 'the pod to take its room' });
    assert.deepEqual([await nodeOf('later'), await isGoing('b')], [undefined, false]);
  });

  it('says why it ends nobody', async () => {
    api.runFree(aScheduler());
    await addClasses();
    await addNode('n1', '1');
    await addPod('a', 'mid');
    await bound('a');
    await addPod('meek', 'high', { spec: { preemptionPolicy: 'Never' } });
    assert.equal(
      await refused('meek'),
      '0/1 nodes are available: 1 insufficient cpu. preemption: its preemptionPolicy is Never.',
    );
    await addPod('large', 'high', { cpu: '4' });
    assert.equal(
      await refused('large'),
      '0/1 nodes are available: 1 insufficient cpu. preemption: room can be made on 0/1 nodes: ' +
        '1 where all those of lower priority would not be enough.',
    );
    assert.equal(await isGoing('a'), false);
  });

  it('takes what a budget allows off it, goes where a budget allows it, and else breaks it and says so', async () => {
    await addClasses();
    for (const [node, name] of [
      ['n1', 'db'],
      ['n2', 'web'],
    ] as const) {
      await addNode(node, '1');
      await addPod(name, 'low', { labels: { app: name } });
      await api.client.bindMany([{ metadata: { name, namespace: 'default' }, target: { name: node } }]);
      const pod = await find(name);
      assert.ok(pod !== undefined);
      await api.client.updateStatus('pods', {
        ...pod,
        status: { ...pod.status, phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
      });
      const counts = { observedGeneration: 1, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 };
      const budget = await api.put(
        'poddisruptionbudgets',
        aBudget({ name, spec: { selector: { matchLabels: { app: name } } } }),
      );
      const status = { ...counts, disruptionsAllowed: name === 'web' ? 1 : 0 };
      await api.client.updateStatus('poddisruptionbudgets', { ...budget, status });
    }
    api.runFree(aScheduler());
    await addPod('first', 'high');
    await until(() => isGoing('web'), { what: 'the pod to go whose budget allows it' });
    assert.equal((await api.client.get('poddisruptionbudgets', 'default/web'))?.status.disruptionsAllowed, 0);
    assert.equal(await isGoing('db'), false);
    await addPod('second', 'high');
    await until(() => isGoing('db'), { what: 'the other to go' });
    assert.match(await refused('second'), /ending default\/db, against the disruption budget default\/db\.$/);
    await until(
      () => api.told.some((line) => /^Normal Preempted db: .*against its disruption budget default\/db$/.test(line)),
      {
        what: 'the event to name the budget',
      },
    );
  });

  it('looks for another way when a budget refuses at the last moment', async () => {
    let refusals = 0;
    const { client } = api;
    const evict = client.evict.bind(client);
    client.evict = async (key, options, call) => {
      if (refusals++ === 0)
        await client.patch(
          'poddisruptionbudgets',
          'default/web',
          { status: { disruptionsAllowed: 0 } },
          { subresource: 'status' },
        );
      return evict(key, options, call);
    };
    await addClasses();
    await addNode('n1', '1');
    await addPod('web', 'low', { labels: { app: 'web' } });
    await client.bindMany([{ metadata: { name: 'web', namespace: 'default' }, target: { name: 'n1' } }]);
    await client.patch(
      'pods',
      'default/web',
      { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
      { subresource: 'status' },
    );
    const budget = await api.put('poddisruptionbudgets', aBudget());
    await client.updateStatus('poddisruptionbudgets', {
      ...budget,
      status: { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 },
    });
    api.runFree(aScheduler());
    await addPod('high', 'high');
    await until(() => isGoing('web'), { what: 'the pod to be ended, against its budget', timeoutMs: 15_000 });
    assert.match(await refused('high'), /against the disruption budget default\/web\.$/);
  });

  it('is taken up by another process where the first died between nomination and end', async () => {
    await addClasses();
    await addNode('n1', '1');
    const dead = new AbortController();
    const dies = new Promise<never>((_, reject) => {
      dead.signal.addEventListener('abort', () => {
        reject(new Error('killed'));
      });
    });
    dies.catch(() => undefined);
    const dying: Parts['client'] = {
      updateStatusMany: api.client.updateStatusMany.bind(api.client),
      update: api.client.update.bind(api.client),
      get: api.client.get.bind(api.client),
      bindMany: api.client.bindMany.bind(api.client),
      updateStatus: () => dies,
      evict: () => dies,
      delete: () => dies,
    };
    const views = viewsOf(api);
    const first = new Scheduler({ ...api, ...views, client: dying, limits });
    await Promise.all(Object.values(views).map((view) => view.whenSynced));
    const ran = first.run(dead.signal);
    await addPod('a', 'low');
    await bound('a');
    await addPod('high', 'high');
    await until(async () => (await find('high'))?.status.nominatedNodeName === 'n1', { what: 'the nomination' });
    assert.equal(await isGoing('a'), false);
    dead.abort();
    await ran;
    api.runFree(aScheduler());
    await until(() => isGoing('a'), { what: 'the second process to go on' });
    await addPod('later', 'mid');
    await finish('a');
    await until(async () => (await nodeOf('high')) === 'n1', { what: 'the pod to take its room' });
    assert.equal(await nodeOf('later'), undefined);
  });

  it('serves two schedulers side by side that make room on the same nodes', async () => {
    await addClasses();
    for (const name of ['n1', 'n2', 'n3']) await addNode(name, '2');
    for (const name of ['one', 'two']) api.runFree(aScheduler({ limits: { ...limits, schedulerName: name } }));
    const atOnce: PodOptions['spec'] = { terminationGracePeriodSeconds: 0 };
    const low = Array.from({ length: 6 }, (_, i) => `low-${i}`);
    for (const name of low) await addPod(name, 'low', { spec: { ...atOnce, schedulerName: 'one' } });
    await bound(...low);
    const high = Array.from({ length: 6 }, (_, i) => `high-${i}`);
    await Promise.all(
      high.map((name, i) => addPod(name, 'high', { spec: { ...atOnce, schedulerName: i % 2 === 0 ? 'one' : 'two' } })),
    );
    await until(async () => (await Promise.all(high.map(nodeOf))).every((node) => node !== undefined), {
      what: 'all to have their nodes',
      timeoutMs: 30_000,
    });
  });
});
