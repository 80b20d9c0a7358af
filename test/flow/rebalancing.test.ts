import assert from 'node:assert/strict';
import { leavingAnnotation } from '../../lib/api/leaving.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { movingSinceAnnotation, rebalanceAnnotation } from '../../lib/api/rebalancing.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const labels = { app: 'web' };

describe('flow: evening out', function () {
  this.timeout(180_000);
  let cluster: FlowCluster;
  afterEach(() => cluster.stop());

  const web = (): Promise<readonly Pod[]> => cluster.list('pods', 'app=web');
  const serving = async (): Promise<number> => (await web()).filter((pod) => isActive(pod) && isReady(pod)).length;
  const perNode = async (): Promise<Readonly<Record<string, number>>> => {
    const counts: Record<string, number> = {};
    for (const { metadata } of await cluster.list('nodes')) counts[metadata.name] = 0;
    for (const { spec } of (await web()).filter(isActive))
      if (spec.nodeName !== undefined) counts[spec.nodeName] = (counts[spec.nodeName] ?? 0) + 1;
    return counts;
  };
  const skew = async (): Promise<number> => {
    const counts = Object.values(await perNode());
    return Math.max(...counts) - Math.min(...counts);
  };
  const serve = async (replicas: number, said: string | undefined, spec: object = {}): Promise<void> => {
    const annotations = said === undefined ? {} : { [rebalanceAnnotation]: said };
    await cluster.client.create('replicationcontrollers', {
      metadata: { name: 'web', namespace: 'default', annotations },
      spec: {
        replicas,
        selector: labels,
        template: {
          metadata: { labels },
          spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'web:1' }], ...spec },
        },
      },
    });
    await cluster.until('the pods to serve', async () => (await serving()) === replicas);
  };
  const said = async (reason: string): Promise<readonly string[]> =>
    (await cluster.list('events')).filter((event) => event.reason === reason).map(({ message }) => message ?? '');
  const marked = async (): Promise<readonly Pod[]> =>
    (await web()).filter(({ metadata }) => metadata.annotations?.[movingSinceAnnotation] !== undefined);

  /** With lost messages the scheduler may hear of a node half a minute late. */
  const buses = [
    { on: 'a bus', dropEvery: 0, limitMs: 60_000 },
    { on: 'a lossy bus', dropEvery: 7, limitMs: 300_000 },
  ];
  for (const { on, dropEvery, limitMs } of buses)
    it(`on ${on} moves pods to a node that joins, one at a time, replacements first, then rests; leaders die on the way`, async () => {
      cluster = await FlowCluster.start({ nodes: 3, dropEvery });
      await serve(12, 'true');
      await cluster.client.create('poddisruptionbudgets', {
        metadata: { name: 'web', namespace: 'default' },
        spec: { selector: { matchLabels: labels }, minAvailable: 12 },
      });
      const isEven = async (): Promise<boolean> => (await web()).length === 12 && (await skew()) === 0;
      const isAtRest = async (): Promise<boolean> => (await isEven()) && (await marked()).length === 0;
      await cluster.until('the pods to be even at first', isAtRest, limitMs);
      cluster.startAgent('node-4');
      await cluster.until('the node to be there', async () => (await cluster.list('nodes')).length === 4);
      let kills = 0;
      const step = async (): Promise<boolean> => {
        assert.ok((await serving()) >= 12, 'fewer than wanted');
        const moving = await marked();
        assert.ok(moving.length <= 1, 'more than one pod moves');
        if (moving.some((pod) => isActive(pod)) && kills < 2) {
          kills += 1;
          await cluster.restart('rebalancer');
        }
        return isAtRest();
      };
      await cluster.until('the pods to be even', step, limitMs);
      assert.equal(kills, 2);
      assert.deepEqual(await perNode(), { 'node-1': 3, 'node-2': 3, 'node-3': 3, 'node-4': 3 });
      const before = (await web()).map(({ metadata }) => metadata.uid).sort();
      await cluster.clock.advance(30_000);
      assert.deepEqual((await web()).map(({ metadata }) => metadata.uid).sort(), before, 'nothing moves any more');
      const told = (await said('Rebalanced')).filter((text) => text.includes('to node-4'));
      assert.ok(told.length > 0);
      for (const text of told) assert.match(text, /^Moved web-\w+ from node-[123] to node-4, where web-\w+ serves$/);
    });

  it('moves nothing of those that do not ask, and what it began goes on no more when its owner says so', async () => {
    cluster = await FlowCluster.start({ nodes: 2 });
    await serve(6, undefined);
    cluster.startAgent('node-3');
    await cluster.clock.advance(20_000);
    assert.deepEqual(await perNode(), { 'node-1': 3, 'node-2': 3, 'node-3': 0 });
    const ask = (value: string | null) =>
      cluster.client.patch('replicationcontrollers', 'default/web', {
        metadata: { annotations: { [rebalanceAnnotation]: value } },
      });
    await ask('true');
    await cluster.until('a move', async () => (await marked()).length > 0);
    await ask('false');
    await cluster.until('it to be taken back', async () => {
      const pods = await web();
      return pods.length === 6 && pods.every(({ metadata }) => metadata.annotations?.[leavingAnnotation] === undefined);
    });
    assert.equal(await serving(), 6);
    await assert.rejects(ask('maybe'), /troupe.dev\/rebalance.*Unsupported value/);
  });
});
