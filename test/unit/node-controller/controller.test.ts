import assert from 'node:assert/strict';
import { MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { heartbeatSubject } from '../../../lib/bus/subjects.ts';
import { rfc3339Micro } from '../../../lib/base/clock.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { isDeleting, isReady } from '../../../lib/api/pods.ts';
import { poolOf } from '../../../services/node-controller/config.ts';
import { allDown, isWrong, readDown } from '../../../lib/bus/traffic-facts.ts';
import { tellLost } from '../../../services/node-controller/tell-lost.ts';
import { NodeController, podIndexes } from '../../../services/node-controller/controller.ts';
import { Ear } from '../../../services/node-controller/liveness.ts';
import { keysOf, listenToNodes, wakeNodes } from '../../../services/node-controller/wiring.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

const cluster = 'test';
const unreachable = 'node.kubernetes.io/unreachable';

describe('node-controller on the real registry', () => {
  let api: ApiInProcess;
  let bus: MemoryBus;
  let beating: Map<string, NodeJS.Timeout>;

  beforeEach(async () => {
    api = await ApiInProcess.start();
    bus = new MemoryBus();
    beating = new Map();
    const { clock, signal } = api;
    const ear = new Ear({ silenceMs: 600, settleMs: 900, leaseMs: 40_000 }, 1_000, clock.monotonic());
    const [nodes, pods] = [api.view('nodes'), api.view('pods', { indexes: podIndexes })];
    const leases = api.view('leases', { namespace: 'kube-node-lease' });
    const sources = { nodes, pods, leases, bus, cluster, clock, ear, signal };
    const cidrs = poolOf('10.244.0.0/22', 24);
    const limits = { pauseEvictionAbove: 0.55, forceAfterMs: 100 };
    const controller = new NodeController({
      ...api,
      client: api.client,
      nodes,
      pods,
      ear,
      cidrs,
      limits,
      missingForMs: 500,
      tellLost: tellLost(bus, cluster, clock),
    });
    listenToNodes(sources);
    api.run({ controller, keys: () => keysOf(sources), wake: (queue) => wakeNodes(queue, controller, sources) });
  });
  afterEach(async () => {
    for (const timer of beating.values()) clearInterval(timer);
    await api.stop();
    await bus.close();
  });

  const beat = (name: string): void => {
    const publish = (): void =>
      bus.publish({ subject: heartbeatSubject(cluster, name), headers: {}, data: new Uint8Array() });
    publish();
    beating.set(name, setInterval(publish, 100));
  };
  const fallSilent = (name: string): void => clearInterval(beating.get(name));
  const addNode = async (name: string): Promise<void> => {
    const node = aNode({ name });
    const stored = await api.put('nodes', node);
    await api.client.updateStatus('nodes', { ...stored, status: node.status });
  };
  const addPod = async (name: string, nodeName: string, options: PodOptions = {}): Promise<void> => {
    const pod = aPod({ name, nodeName, ip: '10.244.0.9', ...options });
    const stored = await api.put('pods', pod);
    await api.client.updateStatus('pods', { ...stored, status: pod.status });
  };
  const node = async (name: string): Promise<Node> =>
    (await api.client.get('nodes', name)) ?? assert.fail(`no node ${name}`);
  const pod = (name: string): Promise<Pod | undefined> => api.client.get('pods', `default/${name}`);
  const isMarked = async (name: string): Promise<boolean> => {
    const { spec, status } = await node(name);
    return status.conditions?.[0]?.status === 'Unknown' && spec.taints?.some(({ key }) => key === unreachable) === true;
  };
  const tolerating = (tolerationSeconds: number): PodOptions => ({
    tolerations: [{ key: unreachable, operator: 'Exists', effect: 'NoExecute', tolerationSeconds }],
  });

  it('gives each node its own pod CIDR, and says when there is none left', async () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      await addNode(name);
      beat(name);
    }
    const blocks = async (): Promise<(string | undefined)[]> =>
      (await api.client.list('nodes')).items.map(({ spec }) => spec.podCIDR);
    await until(async () => (await blocks()).every((block) => block !== undefined), { what: 'four blocks' });
    assert.equal(new Set(await blocks()).size, 4);
    await addNode('e');
    await until(async () => (await node('e')).spec.podCIDR === undefined, { what: 'no fifth' });
    await api.client.delete('nodes', 'a');
    await api.client.patch('nodes', 'e', { metadata: { labels: { try: 'again' } } });
    await until(async () => (await node('e')).spec.podCIDR !== undefined, { what: 'the freed block' });
  });

  it('marks a silent node, withdraws and evicts its pods, and takes the mark off when it returns', async () => {
    for (const name of ['a', 'b', 'c']) {
      await addNode(name);
      beat(name);
    }
    await addPod('stays', 'a', tolerating(600));
    await addPod('moves', 'a', tolerating(1));
    await addPod('elsewhere', 'b');
    await until(async () => (await node('a')).spec.podCIDR !== undefined, { what: 'registration' });
    const told: string[] = [];
    const ear = bus.subscribe(
      allDown(cluster),
      (message) => {
        const fact = readDown(message);
        if (!isWrong(fact)) told.push(...fact.pods.map(({ uid, ip }) => `${fact.node}/${uid} ${ip}`));
      },
      () => undefined,
    );
    const uidOf = async (name: string): Promise<string> => (await pod(name))?.metadata.uid ?? '';
    const lost = [`a/${await uidOf('stays')} 10.244.0.9`, `a/${await uidOf('moves')} 10.244.0.9`].sort();
    fallSilent('a');
    await until(() => isMarked('a'), { what: 'the mark' });
    await until(
      async () => [await pod('stays'), await pod('moves')].every((each) => each !== undefined && !isReady(each)),
      { what: 'withdrawal' },
    );
    assert.deepEqual([...new Set(told)].sort(), lost, 'everybody is told at once who answers no more');
    ear.close();
    await until(async () => isDeleting((await pod('moves')) as Pod), { what: 'eviction' });
    assert.equal(isDeleting((await pod('stays')) as Pod), false);
    assert.equal(isReady((await pod('elsewhere')) as Pod), true);
    beat('a');
    await until(async () => (await node('a')).spec.taints === undefined, { what: 'the mark gone' });
    assert.deepEqual([await isMarked('b'), await isMarked('c')], [false, false]);
  });

  it('removes for good what nobody is left to end', async () => {
    for (const name of ['a', 'b', 'c']) {
      await addNode(name);
      beat(name);
    }
    await addPod('p', 'a', { ...tolerating(0), spec: { terminationGracePeriodSeconds: 1 } });
    await until(async () => (await node('a')).spec.podCIDR !== undefined, { what: 'registration' });
    fallSilent('a');
    await until(async () => (await pod('p')) === undefined, { what: 'the pod gone' });
  });

  it('keeps a node that has lost the bus and renews its Lease instead', async () => {
    await addNode('a');
    await addNode('b');
    beat('b');
    const lease = async (): Promise<void> => {
      const spec = { holderIdentity: 'a', leaseDurationSeconds: 5, renewTime: rfc3339Micro(Date.now()) };
      const held = await api.client.get('leases', 'kube-node-lease/a');
      if (held === undefined)
        await api.client.create('leases', { metadata: { name: 'a', namespace: 'kube-node-lease' }, spec });
      else await api.client.update('leases', { ...held, spec });
    };
    await lease();
    const renewing = setInterval(() => void lease(), 200);
    const startMs = performance.now();
    try {
      await until(() => performance.now() - startMs > 2_500, { what: 'several silences' });
      assert.equal(await isMarked('a'), false);
    } finally {
      clearInterval(renewing);
    }
  });

  it('marks nobody while the bus is away, nor when it has just come back', async () => {
    for (const name of ['a', 'b']) {
      await addNode(name);
      beat(name);
    }
    await until(async () => (await node('a')).spec.podCIDR !== undefined, { what: 'registration' });
    bus.disconnect();
    for (const name of ['a', 'b']) fallSilent(name);
    const startMs = performance.now();
    await until(() => performance.now() - startMs > 1_500, { what: 'two silences' });
    bus.reconnect();
    for (const name of ['a', 'b']) beat(name);
    await until(() => performance.now() - startMs > 2_500, { what: 'another silence' });
    assert.deepEqual([await isMarked('a'), await isMarked('b')], [false, false]);
  });

  it('removes pods of a node that does not exist', async () => {
    await addPod('stray', 'nowhere');
    await until(async () => (await pod('stray')) === undefined, { what: 'the stray gone' });
  });
});
