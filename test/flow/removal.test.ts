import assert from 'node:assert/strict';
import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isDeleting, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import type { FlowProxy } from '../support/flow-proxy.ts';

const metadata = { name: 'web', namespace: 'default' };
const web = (replicas: number): never =>
  ({
    metadata,
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'app', image: 'example/web:1', ports: [{ containerPort: 80 }] }] },
      },
    },
  }) as never;
const service = { metadata, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } } as never;
const nodes = ['node-1', 'node-2'] as const;

/** Acknowledged removal with all loops in one process (D1): nobody is stopped while anybody sends traffic there. */
describe('flow/removal', function () {
  this.timeout(60_000);
  let cluster: FlowCluster;
  let proxies: readonly FlowProxy[];
  afterEach(() => cluster?.stop());

  const pods = (): Promise<readonly Pod[]> => cluster.list('pods');
  const settled = async (replicas: number): Promise<boolean> => {
    const all = await pods();
    const addresses = all.map(({ status }) => status.podIP ?? '').sort();
    const complete = all.length === replicas && all.every((pod) => isReady(pod) && isActive(pod));
    return complete && proxies.every((proxy) => [...proxy.addresses()].sort().join() === addresses.join());
  };
  /** Addresses of pods whose program does not run any more, and who still sends there. */
  const sentIntoTheVoid = async (): Promise<readonly string[]> => {
    const running = new Set<string>();
    for (const node of nodes)
      for (const { labels, state } of await cluster.engineOf(node).list())
        if (labels['troupe.container'] === 'app' && state === 'running') running.add(labels['troupe.pod.uid'] ?? '');
    const dead = (await pods()).filter((pod) => isDeleting(pod) && !running.has(pod.metadata.uid));
    return dead.flatMap(({ metadata: { name }, status }) =>
      proxies.flatMap((proxy, i) => (proxy.addresses().has(status.podIP ?? '') ? [`proxy ${i} to ${name}`] : [])),
    );
  };
  const scale = async (replicas: number): Promise<void> => {
    await cluster.client.patch('replicationcontrollers', 'default/web', { spec: { replicas } });
  };
  const start = async (dropEvery: number): Promise<void> => {
    cluster = await FlowCluster.start({ nodes: nodes.length, dropEvery });
    proxies = nodes.map((node, i) => cluster.startProxy(node, 5 + 40 * i));
    await cluster.client.create('services', service);
    await cluster.client.create('replicationcontrollers', web(6));
    await cluster.until('six serve', () => settled(6));
  };
  /** Turns the clock until it is so; at no moment may anybody send to a pod that does not run any more. */
  const untilSettled = (replicas: number): Promise<number> =>
    cluster.until(`${replicas} serve`, async () => {
      assert.deepEqual(await sentIntoTheVoid(), []);
      return settled(replicas);
    });

  for (const dropEvery of [0, 3])
    it(`stops nobody who gets traffic${dropEvery === 0 ? '' : `, with every ${dropEvery}rd message lost`}`, async () => {
      await start(dropEvery);
      await scale(1);
      const tookMs = await untilSettled(1);
      // Nobody falls back on the bound of 5 s where no message is lost.
      if (dropEvery === 0) assert.ok(tookMs < 2_000, `${tookMs} ms`);
      await scale(6);
      await untilSettled(6);
      for (const { metadata: each } of await pods()) {
        await cluster.client.delete('pods', `default/${each.name}`);
        await untilSettled(6);
      }
    });

  it('stops nobody who gets traffic over the death of the one who confirms', async () => {
    await start(0);
    await scale(2);
    await cluster.clock.advance(10);
    await cluster.restart('endpoints-controller');
    await untilSettled(2);
  });

  for (const dropEvery of [0, 3])
    it(`sends nobody to a container that died, and everybody again once it is ready${dropEvery === 0 ? '' : ', with words lost'}`, async () => {
      await start(dropEvery);
      for (const pod of (await pods()).slice(0, 4)) {
        const ip = pod.status.podIP ?? '';
        const [, id = ''] = (pod.status.containerStatuses?.[0]?.containerID ?? '').split('://');
        const without = new Set<FlowProxy>();
        // The engine starts it again in the same moment: no status ever says that it was not ready.
        cluster.engineOf(pod.spec.nodeName ?? '').crash(id, 137);
        for (let ms = 0; ms < 400; ms += 5) {
          await cluster.clock.advance(5);
          for (const proxy of proxies) if (!proxy.addresses().has(ip)) without.add(proxy);
        }
        if (dropEvery === 0) {
          assert.equal(without.size, proxies.length, `${without.size} proxies took ${ip} out`);
          assert.ok(await settled(6), 'nobody waits until the word of the death is old');
        }
        await cluster.until('all serve', () => settled(6));
        const [endpoints] = (await cluster.list('endpoints')).filter(({ metadata: { name } }) => name === 'web');
        assert.equal(endpoints?.subsets?.[0]?.addresses?.length, 6);
      }
    });

  it('waits for a proxy that stands still, and goes on after the bound', async () => {
    await start(0);
    const [slow] = proxies;
    assert.ok(slow);
    slow.stands = true;
    await scale(5);
    const isStopping = async (): Promise<boolean> => (await pods()).some(isDeleting);
    await cluster.until('one has to go', isStopping);
    const waitedMs = await cluster.until('it is gone', async () => !(await isStopping()));
    assert.ok(waitedMs >= 4_500 && waitedMs < 7_000, `${waitedMs} ms`);
    slow.stands = false;
    await untilSettled(5);
  });
});
