import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { DaemonSet, Node, Pod } from '../../../lib/api/objects.ts';
import { controllerOf, isActive } from '../../../lib/api/pods.ts';
import { FollowedConfig } from '../../../lib/rollout/followed-config.ts';
import { newObjectFollower } from '../../../lib/view/follow.ts';
import { DaemonSetController } from '../../../services/daemonset-controller/controller.ts';
import { ownerIndexes, wakeOnChanges } from '../../../services/daemonset-controller/wake.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode } from '../../support/builders.ts';
import { aDaemonSet } from '../../support/daemon-builders.ts';
import { until } from '../../support/until.ts';

describe('daemonset-controller on the real registry', () => {
  let api: ApiInProcess;
  let stopLoop: () => Promise<void>;

  const startLoop = (): void => {
    const sets = api.view('daemonsets');
    const views = {
      sets,
      revisions: api.view('controllerrevisions', { indexes: ownerIndexes }),
      nodes: api.view('nodes'),
      pods: api.view('pods', { indexes: ownerIndexes }),
    };
    const { client, clock, log, signal } = api;
    const config = new FollowedConfig(
      newObjectFollower({ client, clock, log, signal, bus: undefined, cluster: 'test' }),
    );
    stopLoop = api.run({
      controller: new DaemonSetController({ ...api, client: api.client, ...views, config, burst: 500 }),
      keys: () => sets.list().map(keyOf),
      wake: (queue) => {
        config.wake((key) => {
          queue.add(key);
        });
        wakeOnChanges(queue, views);
      },
    });
  };
  beforeEach(async () => {
    api = await ApiInProcess.start();
    for (const name of ['n1', 'n2', 'n3']) await join(name);
    startLoop();
  });
  afterEach(() => api.stop());

  const join = async (name: string): Promise<void> => {
    const node = await api.put('nodes', aNode({ name }));
    await api.client.updateStatus('nodes', { ...node, status: aNode({ name }).status });
  };
  const change = async (name: string, with_: (node: Node) => Node): Promise<void> => {
    const node = await api.client.get('nodes', name);
    assert.ok(node);
    await api.client.update('nodes', with_(node));
  };
  const set = async (): Promise<DaemonSet> => {
    const found = await api.client.get('daemonsets', 'default/agent');
    assert.ok(found);
    return found;
  };
  const pods = async (): Promise<readonly Pod[]> =>
    (await api.client.list('pods', { namespace: 'default' })).items.filter(isActive);
  /** The node that a pod is for: the scheduler, which is not here, is the one to bind it. */
  const nodeOf = ({ spec }: Pod): string =>
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchFields?.[0]
      ?.values?.[0] ?? '';
  const owned = async (): Promise<readonly Pod[]> => {
    const { uid } = (await set()).metadata;
    return (await pods()).filter((pod) => controllerOf(pod)?.uid === uid && pod.metadata.labels?.['app'] === 'agent');
  };
  const areOn = (...nodes: readonly string[]): Promise<unknown> =>
    until(async () => (await pods()).map(nodeOf).toSorted().join() === nodes.join(), {
      what: `pods on ${nodes.join()}`,
    });
  const bindAll = async (): Promise<void> => {
    for (const pod of await pods()) {
      if (pod.spec.nodeName !== undefined) continue;
      const { name, namespace = '' } = pod.metadata;
      await api.client.bindMany([{ metadata: { name, namespace }, target: { kind: 'Node', name: nodeOf(pod) } }]);
    }
  };
  const makeReady = async (): Promise<void> => {
    await bindAll();
    for (const pod of await pods())
      await api.client.updateStatus('pods', {
        ...pod,
        status: { ...pod.status, phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
      });
  };
  /** There is no agent to end what is deleted. */
  const endAll = async (): Promise<void> => {
    for (const pod of (await api.client.list('pods', { namespace: 'default' })).items)
      if (!isActive(pod)) await api.client.delete('pods', keyOf(pod), { gracePeriodSeconds: 0 });
  };
  const revisions = async (): Promise<readonly number[]> =>
    (await api.client.list('controllerrevisions', { namespace: 'default' })).items
      .map(({ revision }) => revision)
      .sort();

  it('makes one pod for each node, keeps what it was made of, and says so', async () => {
    await api.put('daemonsets', aDaemonSet());
    await areOn('n1', 'n2', 'n3');
    assert.deepEqual(await revisions(), [1]);
    const { uid } = (await set()).metadata;
    assert.ok((await pods()).every((pod) => controllerOf(pod)?.uid === uid));
    await makeReady();
    await until(async () => (await set()).status.numberReady === 3, { what: 'three are ready' });
    const { status } = await set();
    assert.deepEqual([status.desiredNumberScheduled, status.updatedNumberScheduled], [3, 3]);
    assert.ok(api.told.some((text) => text.startsWith('Normal SuccessfulCreate agent: Created')));
  });

  it('follows nodes that come, no longer fit, and go', async () => {
    const nodeSelector = { disk: 'ssd' };
    await change('n1', (node) => ({
      ...node,
      metadata: { ...node.metadata, labels: { ...node.metadata.labels, disk: 'ssd' } },
    }));
    await api.put('daemonsets', aDaemonSet({ template: { nodeSelector } }));
    await areOn('n1');
    await change('n2', (node) => ({
      ...node,
      metadata: { ...node.metadata, labels: { ...node.metadata.labels, disk: 'ssd' } },
    }));
    await areOn('n1', 'n2');
    await change('n1', (node) => ({ ...node, metadata: { ...node.metadata, labels: {} } }));
    await areOn('n2');
    await join('n4');
    await change('n4', (node) => ({ ...node, metadata: { ...node.metadata, labels: { disk: 'ssd' } } }));
    await areOn('n2', 'n4');
  });

  it('replaces what is gone, adopts what fits and has no owner, and lets go of what fits no more', async () => {
    await api.put('daemonsets', aDaemonSet());
    await areOn('n1', 'n2', 'n3');
    await makeReady();
    const [first, second] = await pods();
    assert.ok(first && second);
    await api.client.delete('pods', keyOf(first), { gracePeriodSeconds: 0 });
    await areOn('n1', 'n2', 'n3');
    await api.client.patch('pods', keyOf(second), { metadata: { labels: { app: 'other' } } });
    await until(async () => (await pods()).length === 4 && (await owned()).length === 3, { what: 'another beside it' });
    const released = await api.client.get('pods', keyOf(second));
    assert.equal(released && controllerOf(released), undefined);
  });

  it('replaces pods that are let go of again and again, whatever their names', async () => {
    await api.put('daemonsets', aDaemonSet());
    for (let round = 1; round <= 3; round++) {
      await until(async () => (await owned()).length === 3, { what: `round ${round}` });
      const { uid = '' } = (await owned()).find((pod) => nodeOf(pod) === 'n2')?.metadata ?? {};
      for (const pod of await owned())
        if (pod.metadata.uid === uid)
          await api.client.patch('pods', keyOf(pod), { metadata: { labels: { app: 'other' } } });
    }
    await until(async () => (await owned()).length === 3 && (await pods()).length === 6, { what: 'three beside' });
  });

  it('goes on from where another left off, with no pod twice', async () => {
    await api.put('daemonsets', aDaemonSet());
    await areOn('n1', 'n2', 'n3');
    await stopLoop();
    await api.client.patch('daemonsets', 'default/agent', {
      spec: {
        template: { spec: { containers: [{ ...aDaemonSet().spec.template.spec.containers[0], image: 'agent:2' }] } },
      },
    });
    startLoop();
    await until(
      async () => {
        await makeReady();
        await endAll();
        return (await pods()).every(({ spec }) => spec.containers[0]?.image === 'agent:2');
      },
      { what: 'all of them new', timeoutMs: 30_000 },
    );
    await areOn('n1', 'n2', 'n3');
    assert.deepEqual(await revisions(), [1, 2]);
  });

  it('says why it cannot make pods', async () => {
    await api.put('resourcequotas', {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'none', namespace: 'default' },
      spec: { hard: { pods: '0' } },
      status: {},
    } as never);
    await api.put('daemonsets', aDaemonSet());
    await until(() => api.told.some((text) => /Warning FailedCreate agent: Error creating: .*quota/.test(text)), {
      what: 'the quota is named',
    });
    assert.deepEqual(await pods(), []);
  });
});
