import assert from 'node:assert/strict';
import type { Node, Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const mib = 2 ** 20;

/** A node that runs short, seen by all loops together. */
describe('flow/eviction', function () {
  this.timeout(60_000);
  let cluster: FlowCluster;
  afterEach(() => cluster?.stop());

  const active = async (): Promise<readonly Pod[]> => (await cluster.list('pods')).filter(isActive);
  const readyOn = async (node: string): Promise<readonly string[]> =>
    (await active()).filter((pod) => isReady(pod) && pod.spec.nodeName === node).map(({ metadata }) => metadata.name);
  const node = async (name: string): Promise<Node> => {
    const found = await cluster.client.get('nodes', name);
    assert.ok(found);
    return found;
  };
  const taints = async (name: string): Promise<readonly string[]> =>
    ((await node(name)).spec.taints ?? []).map(({ key }) => key);

  for (const dropEvery of [0, 3])
    it(`moves one pod at a time off a node short of memory, and gives it back its place after${dropEvery === 0 ? '' : ', also over a lossy bus'}`, async () => {
      cluster = await FlowCluster.start({ nodes: 2, dropEvery });
      await cluster.client.create('replicationcontrollers', {
        metadata: { name: 'web', namespace: 'default' },
        spec: {
          replicas: 4,
          template: {
            metadata: { labels: { app: 'web' } },
            spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'example/web:1' }] },
          },
        },
      });
      await cluster.until('four pods are ready', async () => (await active()).filter(isReady).length === 4);
      const [one, two] = [await readyOn('node-1'), await readyOn('node-2')];
      const [short, other] = one.length >= two.length ? ['node-1', 'node-2'] : ['node-2', 'node-1'];
      const before = await readyOn(short);
      const [greedy = ''] = before;
      const there = (await readyOn(other)).length;
      const figures = cluster.figuresOf(short);
      for (const name of before) figures.used.set(name, name === greedy ? 300 * mib : 10 * mib);
      figures.rooms = { 'memory.available': { available: 50 * mib, capacity: 1024 * mib } };
      await cluster.until(
        'the greedy pod is over',
        async () => (await cluster.client.get('pods', `default/${greedy}`))?.status.phase === 'Failed',
      );
      figures.rooms = { 'memory.available': { available: 350 * mib, capacity: 1024 * mib } };
      await cluster.until(
        'the node is kept free of new pods',
        async () => (await taints(short)).join() === 'node.kubernetes.io/memory-pressure',
      );
      await cluster.until(
        'another pod is in its place, elsewhere',
        async () => (await readyOn(other)).length === there + 1,
      );
      assert.deepEqual((await readyOn(short)).toSorted(), before.filter((name) => name !== greedy).toSorted());
      const failed = (await cluster.list('pods')).filter(({ status }) => status.phase === 'Failed');
      assert.ok(failed.some(({ metadata }) => metadata.name === greedy));
      for (const { status } of failed) assert.equal(status.reason, 'Evicted');
      assert.ok(failed.length <= 3, `${failed.length} pods failed`);

      await cluster.until('the pressure is over', async () => (await taints(short)).length === 0);
      // The scheduler may hear of it later than the controller makes pods: one more after another, until it has.
      let replicas = 4;
      await cluster.until('the node takes pods again', async () => {
        if ((await readyOn(short)).length >= before.length) return true;
        if ((await active()).filter(isReady).length < replicas) return false;
        await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas: ++replicas } });
        return false;
      });
      assert.ok(replicas <= 12, `${replicas} pods had to be asked for`);
    });
});
