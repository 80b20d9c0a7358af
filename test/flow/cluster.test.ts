import assert from 'node:assert/strict';
import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { hasReason } from '../../lib/base/errors.ts';
import { FlowCluster, loopNames } from '../support/flow-cluster.ts';

/** Small and seeded, so that a run that fails can be run again. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const web = (replicas: number): never =>
  ({
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'app',
              image: 'example/web:1',
              ports: [{ containerPort: 80 }],
              resources: { requests: { cpu: '100m' } },
            },
          ],
        },
      },
    },
  }) as never;
const service: never = {
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
} as never;

/** More seeds: TROUPE_FLOW_SEEDS=50. */
const seeds = Array.from({ length: Number(process.env['TROUPE_FLOW_SEEDS'] ?? 5) }, (_, i) => i + 1);

/** All loops in one process on one clock, agents and all: what design calls the flow of one object. */
describe('flow/cluster', function () {
  this.timeout(60_000);
  let cluster: FlowCluster;
  afterEach(() => cluster?.stop());

  const active = async (): Promise<readonly Pod[]> => (await cluster.list('pods')).filter(isActive);
  const serving = async (): Promise<readonly string[]> =>
    ((await cluster.client.get('endpoints', 'default/web'))?.subsets ?? [])
      .flatMap((subset) => (subset.addresses ?? []).map(({ ip }) => ip))
      .toSorted();
  /** N pods, ready, bound, with addresses of their own that are just those of the Endpoints; nobody restarted for nothing. */
  const settled = async (replicas: number): Promise<boolean> => {
    const pods = await active();
    const addresses = pods.map((pod) => pod.status.podIP ?? '').toSorted();
    return (
      pods.length === replicas &&
      pods.every(isReady) &&
      new Set(addresses).size === replicas &&
      (await serving()).join() === addresses.join()
    );
  };
  const apply = async (replicas: number): Promise<void> => {
    await cluster.client.create('services', service);
    await cluster.client.create('replicationcontrollers', web(replicas));
  };

  it('takes one manifest from apply to traffic, spread over the nodes', async () => {
    cluster = await FlowCluster.start({ nodes: 3 });
    await apply(3);
    const tookMs = await cluster.until('three pods to serve', () => settled(3));
    assert.ok(tookMs < 3_000, `it took ${tookMs} ms of the cluster's time`);
    assert.equal(new Set((await active()).map((pod) => pod.spec.nodeName)).size, 3);
    await cluster.until('its status to say so', async () => {
      const rc = await cluster.client.get('replicationcontrollers', 'default/web');
      return rc?.status.readyReplicas === 3 && rc.status.availableReplicas === 3;
    });
  });

  it('starts a dead container again in place and keeps it out of the Endpoints meanwhile', async () => {
    cluster = await FlowCluster.start({ nodes: 1 });
    await apply(2);
    await cluster.until('two pods to serve', () => settled(2));
    const [victim] = await active();
    const id = victim?.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    cluster.engineOf('node-1').crash(id, 3);
    await cluster.until('the container to be back', async () => {
      const pod = await cluster.client.get('pods', victim === undefined ? '' : keyOf(victim));
      return pod !== undefined && isReady(pod) && pod.status.containerStatuses?.[0]?.restartCount === 1;
    });
    await cluster.until('both to serve', () => settled(2));
    assert.deepEqual((await active()).map(keyOf).toSorted(), (await active()).map(keyOf).toSorted());
  });

  it('replaces a deleted pod, scales up and down, and rests', async () => {
    cluster = await FlowCluster.start({ nodes: 2 });
    await apply(3);
    await cluster.until('three pods to serve', () => settled(3));
    const [victim] = await active();
    assert.ok(victim);
    await cluster.client.delete('pods', keyOf(victim));
    await cluster.until(
      'a replacement to serve',
      async () => (await settled(3)) && !(await active()).some((pod) => pod.metadata.uid === victim.metadata.uid),
    );
    await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas: 7 } });
    await cluster.until('seven to serve', () => settled(7));
    await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas: 1 } });
    await cluster.until('one to serve', () => settled(1));
    await cluster.until('the others to be gone', async () => (await cluster.list('pods')).length === 1);
  });

  it('rests while the wall clock jumps an hour forward, and back, and a day back: nothing is restarted, moved or unready', async () => {
    cluster = await FlowCluster.start({ nodes: 3 });
    await apply(3);
    await cluster.until('three pods to serve', () => settled(3));
    const seen = async () => ({
      pods: (await active()).map(({ metadata: { name, resourceVersion } }) => `${name} ${resourceVersion}`).toSorted(),
      addresses: await serving(),
      nodes: (await cluster.list('nodes')).map(({ metadata, spec }) => [metadata.name, spec.taints ?? []]),
    });
    await cluster.clock.advance(5_000);
    const before = await seen();
    const hourMs = 3_600_000;
    for (const jumpMs of [hourMs, -hourMs, -24 * hourMs]) {
      cluster.clock.jump(jumpMs);
      await cluster.clock.advance(60_000);
      assert.deepEqual(await seen(), before, `after a jump of ${jumpMs / hourMs} h`);
    }
  });

  it('lets a pod whose labels change go, and makes another', async () => {
    cluster = await FlowCluster.start({ nodes: 1 });
    await apply(2);
    await cluster.until('two pods to serve', () => settled(2));
    const [patient] = await active();
    assert.ok(patient);
    await cluster.client.patch('pods', keyOf(patient), { metadata: { labels: { app: null } } });
    await cluster.until(
      'a replacement to serve beside it',
      async () => (await active()).length === 3 && (await serving()).length === 2,
    );
    const apart = await cluster.client.get('pods', keyOf(patient));
    assert.equal(apart?.status.phase, 'Running');
    assert.deepEqual(apart.metadata.ownerReferences ?? [], []);
    assert.ok(!(await serving()).includes(patient.status.podIP ?? ''));
  });

  for (const seed of seeds) {
    it(`makes no pod too many when the store is lost under running loops, seed ${seed}`, async () => {
      cluster = await FlowCluster.start({ nodes: 0 });
      const random = seededRandom(seed);
      await cluster.client.create('replicationcontrollers', web(300));
      await cluster.until('300 pods', async () => (await active()).length === 300);
      await cluster.wipe();
      if (random() < 0.5) await cluster.clock.advance(random() * 3_000);
      await cluster.client.create('replicationcontrollers', web(120));
      let most = 0;
      await cluster.until('120 pods', async () => {
        const { length } = await active();
        most = Math.max(most, length);
        return length >= 120;
      });
      await cluster.clock.advance(5_000);
      assert.equal((await active()).length, 120);
      assert.ok(most <= 120, `there were ${most} pods for a moment`);
      assert.equal((await cluster.list('pods')).length, 120, 'pods were made and ended again');
    });
  }

  it('works without the bus and goes on with it', async () => {
    cluster = await FlowCluster.start({ nodes: 2 });
    cluster.breakBus();
    await apply(3);
    const tookMs = await cluster.until('three pods to serve without the bus', () => settled(3));
    assert.ok(tookMs < 10_000, `it took ${tookMs} ms`);
    cluster.mendBus();
    await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas: 5 } });
    await cluster.until('five with it', () => settled(5));
  });

  for (const seed of seeds) {
    it(`reaches the same state with every third message lost and loops killed at random (seed ${seed})`, async () => {
      // Four nodes: of three, which beat in turn, every third loss would be the same node's heartbeat for ever.
      const nodes = ['node-1', 'node-2', 'node-3', 'node-4'];
      cluster = await FlowCluster.start({ nodes: nodes.length, dropEvery: 3 });
      const random = seededRandom(seed);
      const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
      const mortal = [...loopNames, ...nodes];
      await apply(3);
      let replicas = 3;
      for (let round = 0; round < 12; round++) {
        await cluster.clock.advance(Math.floor(random() * 400));
        await cluster.restart(pick(mortal));
        if (round % 3 === 1) {
          replicas = 1 + Math.floor(random() * 6);
          await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas } });
        }
        if (round % 4 === 2) {
          const pods = await active();
          // Its controller may have been faster.
          if (pods.length > 0)
            await cluster.client.delete('pods', keyOf(pick(pods))).catch((error: unknown) => {
              if (!hasReason(error, 'NotFound')) throw error;
            });
        }
      }
      await cluster.until(`${replicas} pods to serve`, () => settled(replicas), 120_000);
      // At rest nothing moves any more, and each engine runs just what the API says.
      const before = (await active())
        .map((pod) => `${pod.metadata.uid} ${pod.status.containerStatuses?.[0]?.restartCount}`)
        .toSorted();
      await cluster.clock.advance(60_000);
      assert.ok(await settled(replicas));
      assert.deepEqual(
        (await active())
          .map((pod) => `${pod.metadata.uid} ${pod.status.containerStatuses?.[0]?.restartCount}`)
          .toSorted(),
        before,
      );
      const running = (await Promise.all(nodes.map((node) => cluster.engineOf(node).list())))
        .flat()
        .filter(({ state }) => state === 'running');
      assert.equal(running.length, 2 * replicas, 'one sandbox and one container a pod');
    });
  }

  it('empties a namespace that is deleted', async () => {
    cluster = await FlowCluster.start({ nodes: 1 });
    await cluster.client.create('namespaces', { metadata: { name: 'shop' } });
    const inShop = (object: object): never => ({ ...object, metadata: { name: 'web', namespace: 'shop' } }) as never;
    await cluster.client.create('services', inShop(service));
    await cluster.client.create('replicationcontrollers', inShop(web(2)));
    await cluster.until('two pods to run', async () => (await cluster.list('pods')).filter(isReady).length === 2);
    await cluster.client.delete('namespaces', 'shop');
    await cluster.until(
      'the namespace to be gone',
      async () => (await cluster.client.get('namespaces', 'shop')) === undefined,
    );
    assert.deepEqual(await cluster.list('pods'), []);
    assert.deepEqual(await cluster.list('services'), []);
  });
});
