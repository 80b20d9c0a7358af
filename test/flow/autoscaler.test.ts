import assert from 'node:assert/strict';
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerSpec,
  ReplicationController,
} from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { MemoryBus } from '../../lib/bus/memory-bus.ts';
import { serveTraffic } from '../../lib/bus/traffic-figures.ts';
import { tellWanted } from '../../lib/bus/wanted.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const nodes = ['node-1', 'node-2'];
const config = {
  autoscaler: { intervalMs: 500, rateWindowMs: 1_500, askTimeoutMs: 400 },
};
/**
 * In steps of 25 ms. A new leader begins 2 s after the death of the one before, when its lease is over, and goes down no sooner than a
 * window of 4 s later.
 */
const killEvery = 400;
/** Two pods more within two seconds, any number less after four seconds in which no more were wanted. */
const behavior: HorizontalPodAutoscalerSpec['behavior'] = {
  scaleUp: { policies: [{ type: 'Pods', value: 2, periodSeconds: 2 }], stabilizationWindowSeconds: 0 },
  scaleDown: { policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }], stabilizationWindowSeconds: 4 },
};

for (const dropEvery of [0, 3])
  describe(`flow: autoscaling${dropEvery === 0 ? '' : ', with every third message lost'}`, function () {
    this.timeout(120_000);
    let cluster: FlowCluster;
    /** Requests per second that come to each node, and how many have come. */
    let load = 0;
    /** Connections that are open at each node, or wait there. */
    let active = 0;
    let stop: AbortController;
    beforeEach(async () => {
      cluster = await FlowCluster.start({ nodes: nodes.length, dropEvery, config });
      stop = new AbortController();
      load = active = 0;
      let [total, atMs] = [0, cluster.clock.monotonic()];
      const served = (): number => {
        const nowMs = cluster.clock.monotonic();
        total += (load * (nowMs - atMs)) / 1000;
        atMs = nowMs;
        return total;
      };
      setLoad = (next) => {
        served();
        load = next;
      };
      for (const node of nodes) {
        const bus = new MemoryBus(cluster.broker);
        bus.dropEvery(dropEvery);
        const at = { cluster: 'flow', node, instance: `${node}-1`, signal: stop.signal };
        serveTraffic(bus, at, (services) =>
          [...services].map((service) => ({ service, requests: served(), connections: 0, active })),
        );
      }
      await cluster.client.create('services', {
        metadata: { name: 'web', namespace: 'default' },
        spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
      });
      await cluster.client.create('replicationcontrollers', {
        metadata: { name: 'web', namespace: 'default' },
        spec: {
          replicas: 1,
          selector: { app: 'web' },
          template: {
            metadata: { labels: { app: 'web' } },
            spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'app', image: 'web:1' }] },
          },
        },
      });
    });
    afterEach(async () => {
      stop.abort();
      await cluster.stop();
    });
    let setLoad: (perSecond: number) => void;

    const web = async (): Promise<ReplicationController> =>
      (await cluster.client.get('replicationcontrollers', 'default/web')) as ReplicationController;
    const autoscaler = async (): Promise<HorizontalPodAutoscaler> =>
      (await cluster.client.get('horizontalpodautoscalers', 'default/web')) as HorizontalPodAutoscaler;
    const create = (name = 'web', bounds: object = {}): Promise<unknown> =>
      cluster.client.create('horizontalpodautoscalers', {
        metadata: { name, namespace: 'default' },
        spec: {
          scaleTargetRef: { apiVersion: 'v1', kind: 'ReplicationController', name: 'web' },
          minReplicas: 1,
          maxReplicas: 8,
          ...bounds,
          behavior,
          metrics: [
            {
              type: 'Object',
              object: {
                describedObject: { apiVersion: 'v1', kind: 'Service', name: 'web' },
                metric: { name: 'requests-per-second' },
                target: { type: 'AverageValue', averageValue: '20' },
              },
            },
          ],
        } as never,
      });

    /** Turns the clock until the count is so, looking at each step of it; now and then something dies. */
    const counts: { readonly atMs: number; readonly count: number }[] = [];
    async function follow(what: string, count: number, victims: readonly string[]): Promise<void> {
      let turn = 0;
      await cluster.until(
        what,
        async () => {
          if (++turn % killEvery === 0 && victims.length > 0)
            await cluster.restart(victims[(turn / killEvery) % victims.length] ?? '');
          const { replicas } = (await web()).spec;
          const atMs = cluster.clock.monotonic();
          if (counts.at(-1)?.count !== replicas) counts.push({ atMs, count: replicas });
          return replicas === count;
        },
        240_000,
      );
    }

    it('goes up by its policies and down after its window, once each, although the autoscaler dies on the way', async () => {
      counts.length = 0;
      await create();
      setLoad(0);
      const victims = ['autoscaler', 'replication-controller'];
      await follow('one pod', 1, []);
      setLoad(58); // of each of two nodes: 116 in all, which is more than five pods of 20 take, and fewer than six
      await follow('six pods', 6, victims);
      const up = [...counts];
      for (const { atMs, count } of up) {
        const before = up.filter((each) => each.atMs <= atMs - 2_000).at(-1)?.count ?? 1;
        assert.ok(count <= before + 2, `${JSON.stringify(up)}`);
      }
      await cluster.until('six pods run', async () => ((await web()).status.readyReplicas ?? 0) === 6, 120_000);
      const idleMs = cluster.clock.monotonic();
      setLoad(0);
      await follow('one pod', 1, victims);
      const down = counts.slice(up.length);
      assert.ok((down[0]?.atMs ?? 0) - idleMs >= 3_500, JSON.stringify(down));
      const steps = counts.map(({ count }, i) => Math.sign(count - (counts[i - 1]?.count ?? count))).filter(Boolean);
      assert.deepEqual(
        steps.toSorted((a, b) => b - a),
        steps,
        `up and then down: ${JSON.stringify(counts)}`,
      );
      await cluster.until('the status', async () => (await autoscaler()).status.desiredReplicas === 1);
      const { status } = await autoscaler();
      assert.equal(conditionOf(status, 'ScalingActive')?.status, 'True');
      assert.ok(status.lastScaleTime !== undefined);
    });

    it('wakes what is at zero on the word of a proxy, leaves it alone while it is in use, and goes to zero a window later', async () => {
      const bus = new MemoryBus(cluster.broker);
      bus.dropEvery(dropEvery);
      await create('web', { minReplicas: 0 });
      const victims = ['autoscaler'];
      await follow('no pod', 0, []);
      counts.length = 0;
      const sleptMs = cluster.clock.monotonic();
      let turn = 0;
      // Nobody wants it: it stays where it is, whoever dies.
      await cluster.until('it sleeps for a while', async () => {
        if (++turn === 100) await cluster.restart('autoscaler');
        assert.equal((await web()).spec.replicas, 0);
        return cluster.clock.monotonic() - sleptMs > 5_000;
      });
      active = 1;
      let saidAtMs = -Infinity;
      const say = (): void => {
        if (cluster.clock.monotonic() - saidAtMs < 1_000) return;
        saidAtMs = cluster.clock.monotonic();
        tellWanted(bus, { cluster: 'flow', services: ['default/web'] });
      };
      await cluster.until('it wakes', async () => {
        say();
        return (await web()).spec.replicas === 1;
      });
      await cluster.until('a pod is ready', async () => {
        say();
        return ((await web()).status.readyReplicas ?? 0) === 1;
      });
      // The connection stays open and says nothing: longer than any window.
      const usedMs = cluster.clock.monotonic();
      await cluster.until(
        'it is in use for a while',
        async () => {
          assert.equal((await web()).spec.replicas, 1);
          return cluster.clock.monotonic() - usedMs > 9_000;
        },
        60_000,
      );
      active = 0;
      const idleMs = cluster.clock.monotonic();
      await follow('no pod', 0, victims);
      assert.ok(cluster.clock.monotonic() - idleMs >= 3_000, 'not before the window is over');
      assert.ok(counts.every(({ count }) => count <= 1));
    });

    it('two of one target do nothing, and say so, until one goes', async () => {
      await create();
      await create('other');
      setLoad(60);
      const reason = async (name: string): Promise<string | undefined> =>
        conditionOf(
          (await cluster.client.get('horizontalpodautoscalers', `default/${name}`))?.status ?? {},
          'ScalingActive',
        )?.reason;
      await cluster.until('both say so', async () =>
        (await Promise.all([reason('web'), reason('other')])).every((each) => each === 'AmbiguousSelector'),
      );
      assert.equal((await web()).spec.replicas, 1);
      await cluster.client.delete('horizontalpodautoscalers', 'default/other');
      await cluster.until('it scales', async () => (await web()).spec.replicas > 1, 120_000);
    });

    it('scales an object of a kind that users defined, and not down while one of its metrics is not known', async () => {
      await cluster.client.create('customresourcedefinitions', {
        metadata: { name: 'rings.example.com' },
        spec: {
          group: 'example.com',
          scope: 'Namespaced',
          names: { plural: 'rings', kind: 'Ring', singular: 'ring', listKind: 'RingList' },
          versions: [
            {
              ...{ name: 'v1', served: true, storage: true },
              subresources: {
                status: {},
                scale: {
                  specReplicasPath: '.spec.size',
                  statusReplicasPath: '.status.size',
                  labelSelectorPath: '.status.selector',
                },
              },
              schema: {
                openAPIV3Schema: {
                  type: 'object',
                  properties: {
                    spec: { type: 'object', properties: { size: { type: 'integer' } } },
                    status: {
                      type: 'object',
                      properties: { size: { type: 'integer' }, selector: { type: 'string' } },
                    },
                  },
                },
              },
            },
          ],
        },
      } as never);
      await cluster.until(
        'rings are served',
        async () => (await cluster.client.list('rings.example.com').catch(() => undefined)) !== undefined,
      );
      const ring = await cluster.client.create('rings.example.com', {
        ...{ apiVersion: 'example.com/v1', kind: 'Ring', metadata: { name: 'one', namespace: 'default' } },
        spec: { size: 2 },
      });
      await cluster.client.updateStatus('rings.example.com', { ...ring, status: { size: 2, selector: 'app=ring' } });
      const size = async (): Promise<unknown> =>
        ((await cluster.client.get('rings.example.com', 'default/one'))?.['spec'] as { size?: number }).size;
      const requests = {
        type: 'Object',
        object: {
          describedObject: { apiVersion: 'v1', kind: 'Service', name: 'web' },
          metric: { name: 'requests-per-second' },
          target: { type: 'AverageValue', averageValue: '20' },
        },
      };
      // Usage is asked of the API's service for it, which is not there in one process.
      const unknown = {
        type: 'Resource',
        resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } },
      };
      await cluster.client.create('horizontalpodautoscalers', {
        metadata: { name: 'ring', namespace: 'default' },
        spec: {
          scaleTargetRef: { apiVersion: 'example.com/v1', kind: 'Ring', name: 'one' },
          ...{ minReplicas: 1, maxReplicas: 4, behavior, metrics: [requests, unknown] },
        } as never,
      });
      setLoad(25); // 50 in all, which is more than two rings of 20 take
      await cluster.until('it grows', async () => (await size()) === 3, 60_000);
      setLoad(0);
      const active = async () =>
        conditionOf(
          (await cluster.client.get('horizontalpodautoscalers', 'default/ring'))?.status ?? {},
          'ScalingActive',
        );
      await cluster.until(
        'it says why not',
        async () => (await active())?.reason === 'FailedGetResourceMetric',
        60_000,
      );
      assert.match((await active())?.message ?? '', /1 of 2 metrics: resource memory: /);
      assert.equal(await size(), 3);
    });
  });
