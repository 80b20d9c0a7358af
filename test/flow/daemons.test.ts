import assert from 'node:assert/strict';
import type { DaemonSet, Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

for (const dropEvery of [0, 3])
  describe(`flow: daemons${dropEvery === 0 ? '' : ', with every third message lost'}`, function () {
    this.timeout(60_000);
    let cluster: FlowCluster;
    beforeEach(async () => {
      cluster = await FlowCluster.start({ nodes: 3, dropEvery });
    });
    afterEach(() => cluster.stop());

    /** An agent that misses the word of a deletion finds out with its next look at the position, within 36 s; and so it may be pod by pod. */
    const limitMs = dropEvery === 0 ? 60_000 : 300_000;
    const until = (what: string, check: () => Promise<boolean>): Promise<number> => cluster.until(what, check, limitMs);
    const pods = async (): Promise<readonly Pod[]> => (await cluster.list('pods', 'app=agent')).filter(isActive);
    const set = async (): Promise<DaemonSet> => (await cluster.client.get('daemonsets', 'default/agent')) as DaemonSet;
    const change = async (patch: object): Promise<void> => {
      await cluster.client.patch('daemonsets', 'default/agent', { spec: patch });
    };
    const image = (name: string): object => ({ template: { spec: { containers: [{ name: 'app', image: name }] } } });
    const create = (): Promise<unknown> =>
      cluster.client.create('daemonsets', {
        metadata: { name: 'agent', namespace: 'default' },
        spec: {
          selector: { matchLabels: { app: 'agent' } },
          template: {
            metadata: { labels: { app: 'agent' } },
            spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'agent:1' }] },
          },
        },
      });
    /** One ready pod of that image on each of these nodes, and the status says so. */
    const runs = (name: string, nodes: readonly string[]) => async (): Promise<boolean> => {
      const [there, { status, metadata }] = [await pods(), await set()];
      const at = there.map(({ spec }) => spec.nodeName ?? '').sort();
      return (
        JSON.stringify(at) === JSON.stringify(nodes) &&
        there.every((pod) => isReady(pod) && pod.spec.containers[0]?.image === name) &&
        status.observedGeneration === metadata.generation &&
        status.numberAvailable === nodes.length &&
        status.updatedNumberScheduled === nodes.length
      );
    };
    const all = ['node-1', 'node-2', 'node-3'];

    it('keeps a pod on each node, while nodes come, are closed and go', async () => {
      await create();
      await until('a pod on each node', runs('agent:1', all));
      cluster.startAgent('node-4');
      await until('a pod on the node that joined', runs('agent:1', [...all, 'node-4']));
      await cluster.client.patch('nodes', 'node-2', { spec: { unschedulable: true } });
      const [first] = (await pods()).filter(({ spec }) => spec.nodeName === 'node-2');
      await cluster.client.delete('pods', `default/${first?.metadata.name ?? ''}`);
      await until('a new pod on a cordoned node', async () => {
        const now = (await pods()).find(({ spec }) => spec.nodeName === 'node-2');
        return now !== undefined && isReady(now) && now.metadata.uid !== first?.metadata.uid;
      });
      await cluster.client.patch('nodes', 'node-3', { spec: { taints: [{ key: 'gpu', effect: 'NoExecute' }] } });
      await until('none where it is driven out', runs('agent:1', ['node-1', 'node-2', 'node-4']));
      await change({ template: { spec: { nodeSelector: { 'kubernetes.io/hostname': 'node-1' } } } });
      await until('one node by its label', runs('agent:1', ['node-1']));
    });

    it('rolls one node at a time, although loops and agents die on the way, and back', async () => {
      await create();
      await until('a pod on each node', runs('agent:1', all));
      const victims = [
        'daemonset-controller',
        'node-1',
        'scheduler',
        'daemonset-controller',
        'node-3',
        'node-controller',
      ];
      let turn = 0;
      let fewest = 3;
      const watched = (check: () => Promise<boolean>) => async (): Promise<boolean> => {
        if (++turn % 30 === 0) await cluster.restart(victims[Math.floor(turn / 30) % victims.length] ?? 'scheduler');
        const there = await pods();
        const at = there.map(({ spec }) => spec.nodeName ?? '');
        assert.equal(new Set(at).size, at.length, 'two on one node');
        fewest = Math.min(fewest, there.filter(isReady).length);
        return check();
      };
      await change(image('agent:2'));
      await until('the new template everywhere', watched(runs('agent:2', all)));
      assert.ok(fewest >= 2, `one at a time, but ${fewest} were left`);
      await change(image('agent:1'));
      await until('back', watched(runs('agent:1', all)));
      assert.deepEqual(
        (await cluster.list('controllerrevisions')).map(({ revision }) => revision).sort(),
        [2, 3],
        'the first template came back under a new number',
      );
    });

    it('stays with a node that is lost, does not wait for it, and brings it on when it is back', async () => {
      await create();
      await until('a pod on each node', runs('agent:1', all));
      await cluster.kill('node-2');
      await until(
        'the loss',
        async () =>
          (await cluster.client.get('nodes', 'node-2'))?.spec.taints?.some(({ effect }) => effect === 'NoExecute') ===
          true,
      );
      await change(image('agent:2'));
      await until('the others', async () => (await set()).status.updatedNumberScheduled === 2);
      const [lost] = (await pods()).filter(({ spec }) => spec.nodeName === 'node-2');
      assert.equal(lost?.spec.containers[0]?.image, 'agent:1');
      cluster.startAgent('node-2');
      await until('all of them', runs('agent:2', all));
    });

    it('goes with all that it has', async () => {
      await create();
      await until('a pod on each node', runs('agent:1', all));
      await cluster.client.delete('daemonsets', 'default/agent', { propagationPolicy: 'Background' });
      await until('nothing left', async () => {
        const left = [...(await cluster.list('pods')), ...(await cluster.list('controllerrevisions'))];
        return left.length === 0;
      });
    });
  });
