import assert from 'node:assert/strict';
import type { PersistentVolume, Pod } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

/** A ReplicationController whose pods share one claim. */
const manifest = (replicas: number): object => ({
  metadata: { name: 'db', namespace: 'default' },
  spec: {
    replicas,
    template: {
      metadata: { labels: { app: 'db' } },
      spec: {
        containers: [{ name: 'db', image: 'db:1', volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
      },
    },
  },
});
const claim = {
  metadata: { name: 'data', namespace: 'default' },
  spec: { accessModes: ['ReadWriteOnce' as const], resources: { requests: { storage: '1Gi' } } },
};

for (const dropEvery of [0, 3])
  describe(`flow: disks that outlive pods${dropEvery === 0 ? '' : ', with every third message lost'}`, function () {
    this.timeout(60_000);
    let cluster: FlowCluster;
    beforeEach(async () => {
      cluster = await FlowCluster.start({ nodes: 3, dropEvery });
      await cluster.until('the default class', async () => (await cluster.list('storageclasses')).length === 1);
    });
    afterEach(() => cluster.stop());

    const ready = async (): Promise<readonly Pod[]> => (await cluster.list('pods')).filter(isReady);
    const volumes = (): Promise<readonly PersistentVolume[]> => cluster.list('persistentvolumes');
    const start = async (replicas: number): Promise<void> => {
      await cluster.client.create('replicationcontrollers', manifest(replicas) as never);
      await cluster.client.create('persistentvolumeclaims', claim); // in the wrong order on purpose
      await cluster.until('all pods ready', async () => (await ready()).length === replicas);
    };
    const stopAll = async (): Promise<void> => {
      await cluster.client.delete('replicationcontrollers', 'default/db', { propagationPolicy: 'Background' });
      await cluster.until('no pods', async () => (await cluster.list('pods')).length === 0);
    };

    it('runs pods that share a claim on the node of its disk, again and again, and removes the disk with the claim', async () => {
      await start(3);
      const [volume] = await volumes();
      const nodes = new Set((await ready()).map(({ spec }) => spec.nodeName));
      const [node = ''] = nodes;
      assert.equal(nodes.size, 1, 'all on one node');
      assert.equal(volume?.metadata.labels?.['troupe.dev/disk-node'], node);
      assert.deepEqual([...cluster.disksOf(node)], [volume?.metadata.name]);

      const [first] = await ready();
      await cluster.client.delete('pods', `default/${first?.metadata.name}`, { gracePeriodSeconds: 0 });
      const isBack = async (): Promise<boolean> =>
        (await ready()).filter(({ metadata }) => metadata.uid !== first?.metadata.uid).length === 3;
      await cluster.until('another in its place', isBack);
      assert.deepEqual(new Set((await ready()).map(({ spec }) => spec.nodeName)), nodes, 'where the disk is');

      await cluster.client.delete('persistentvolumeclaims', 'default/data');
      await cluster.clock.advance(1_000);
      assert.equal((await volumes()).length, 1, 'in use');
      await stopAll();
      await cluster.until('the volume gone', async () => (await volumes()).length === 0);
      assert.deepEqual([...cluster.disksOf(node)], []);
    });

    it('gets there although every loop dies on the way', async () => {
      await cluster.client.create('replicationcontrollers', manifest(1) as never);
      await cluster.client.create('persistentvolumeclaims', claim);
      for (const name of ['scheduler', 'persistent-volume-controller', 'node-1', 'node-2', 'node-3']) {
        await cluster.restart(name);
        await cluster.clock.advance(25);
      }
      await cluster.until('the pod ready', async () => (await ready()).length === 1);
      assert.equal((await volumes()).length, 1);
      const made = ['node-1', 'node-2', 'node-3'].flatMap((node) => [...cluster.disksOf(node)]);
      assert.deepEqual(made, [(await volumes())[0]?.metadata.name]);
    });
  });
