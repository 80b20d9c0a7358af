import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Node, Pod, Toleration } from '../../../lib/api/objects.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod, aService } from '../../support/builders.ts';

const clusterOf = (nodes: readonly Node[], pods: readonly Pod[] = []): Cluster => {
  const cluster = new Cluster();
  for (const node of nodes) cluster.setNode(node);
  for (const pod of pods) cluster.setPod(pod);
  return cluster;
};
const options = { start: 0, sample: 100 };
const nodesOf = (pods: readonly Pod[], cluster: Cluster): string[] =>
  schedule(pods, cluster, options).placements.map(({ nodeName }) => nodeName);

const taint = { key: 'gpu', value: 'only', effect: 'NoSchedule' } as const;
const shortOfMemory = { key: 'node.kubernetes.io/memory-pressure', effect: 'NoSchedule' } as const;
const toleration: Toleration = { key: 'gpu', operator: 'Equal', value: 'only', effect: 'NoSchedule' };
const withHostPort = (name: string, ip?: string, nodeName?: string): Pod =>
  aPod({
    name,
    ...(nodeName === undefined ? {} : { nodeName }),
    ports: [{ containerPort: 80, hostPort: 8080, protocol: 'TCP', ...(ip === undefined ? {} : { hostIP: ip }) }],
  });

describe('scheduler/schedule', () => {
  const rows: { it: string; node?: Node; there?: Pod; pod: Pod; want: string }[] = [
    { it: 'takes a node that is ready', pod: aPod(), want: 'n1' },
    { it: 'refuses one that is not ready', node: aNode({ ready: false }), pod: aPod(), want: '1 not ready' },
    { it: 'refuses one nobody has heard of', node: aNode({ ready: 'Unknown' }), pod: aPod(), want: '1 not ready' },
    { it: 'refuses a cordoned one', node: aNode({ unschedulable: true }), pod: aPod(), want: '1 unschedulable' },
    {
      it: 'lets a pod that tolerates the cordon through',
      node: aNode({ unschedulable: true }),
      pod: aPod({ tolerations: [{ operator: 'Exists' }] }),
      want: 'n1',
    },
    { it: 'fills cpu to the last thousandth', pod: aPod({ cpu: '4000m' }), want: 'n1' },
    { it: 'but not over it', pod: aPod({ cpu: '4001m' }), want: '1 insufficient cpu' },
    {
      it: 'counts disk that is asked for',
      node: aNode({ disk: '10Gi' }),
      there: aPod({ name: 'old', nodeName: 'n1', disk: '6Gi' }),
      pod: aPod({ disk: '5Gi' }),
      want: '1 insufficient ephemeral-storage',
    },
    { it: 'asks for no disk where none is wanted', node: aNode({ disk: '0' }), pod: aPod(), want: 'n1' },
    {
      it: 'lets a pod that asks for nothing take what others have reserved',
      there: aPod({ name: 'old', nodeName: 'n1', cpu: '4', memory: '8Gi' }),
      pod: aPod({ status: { qosClass: 'BestEffort' } }),
      want: 'n1',
    },
    {
      it: 'counts what nodes declare, to the last piece',
      node: aNode({ others: { 'example.com/gpu': '2' } }),
      there: aPod({ name: 'old', nodeName: 'n1', others: { 'example.com/gpu': '1' } }),
      pod: aPod({ others: { 'example.com/gpu': '1' } }),
      want: 'n1',
    },
    {
      it: 'and says what is missing',
      node: aNode({ others: { 'example.com/gpu': '2' } }),
      there: aPod({ name: 'old', nodeName: 'n1', others: { 'example.com/gpu': '1' } }),
      pod: aPod({ others: { 'example.com/gpu': '2' } }),
      want: '1 insufficient example.com/gpu',
    },
    {
      it: 'refuses a node that has nothing of the kind',
      pod: aPod({ others: { 'example.com/gpu': '1' } }),
      want: '1 insufficient example.com/gpu',
    },
    {
      it: 'sends no pod without requests to a node that is short of memory',
      node: aNode({ taints: [shortOfMemory] }),
      pod: aPod({ status: { qosClass: 'BestEffort' } }),
      want: '1 with untolerated taint {node.kubernetes.io/memory-pressure: NoSchedule}',
    },
    {
      it: 'but one that says what it needs',
      node: aNode({ taints: [shortOfMemory] }),
      pod: aPod({ memory: '1Gi', status: { qosClass: 'Burstable' } }),
      want: 'n1',
    },
    {
      it: 'counts what is there already',
      there: aPod({ name: 'old', nodeName: 'n1', memory: '8Gi' }),
      pod: aPod({ memory: '1' }),
      want: '1 insufficient memory',
    },
    {
      it: 'does not count what has ended',
      there: aPod({ name: 'old', nodeName: 'n1', memory: '8Gi', phase: 'Succeeded' }),
      pod: aPod({ memory: '1' }),
      want: 'n1',
    },
    {
      it: 'counts what is on its way out, until it is gone',
      there: aPod({ name: 'old', nodeName: 'n1', memory: '8Gi', deleted: true }),
      pod: aPod({ memory: '1' }),
      want: '1 insufficient memory',
    },
    {
      it: 'counts pods',
      node: aNode({ pods: '1' }),
      there: aPod({ name: 'old', nodeName: 'n1' }),
      pod: aPod(),
      want: '1 too many pods',
    },
    {
      it: 'names everything that a node lacks',
      pod: aPod({ cpu: '5', memory: '9Gi' }),
      want: '1 insufficient cpu, 1 insufficient memory',
    },
    {
      it: 'refuses an untolerated taint',
      node: aNode({ taints: [taint] }),
      pod: aPod(),
      want: '1 with untolerated taint {gpu=only: NoSchedule}',
    },
    {
      it: 'refuses NoExecute too',
      node: aNode({ taints: [{ key: 'k', effect: 'NoExecute' }] }),
      pod: aPod(),
      want: '1 with untolerated taint {k: NoExecute}',
    },
    {
      it: 'takes a tolerated one',
      node: aNode({ taints: [taint] }),
      pod: aPod({ tolerations: [toleration] }),
      want: 'n1',
    },
    {
      it: 'takes an avoided one when there is no other',
      node: aNode({ taints: [{ ...taint, effect: 'PreferNoSchedule' }] }),
      pod: aPod(),
      want: 'n1',
    },
    {
      it: 'wants the labels of the node selector',
      pod: aPod({ nodeSelector: { disk: 'ssd' } }),
      want: '1 not matching the node selector',
    },
    {
      it: 'and is content with them',
      node: aNode({ labels: { disk: 'ssd' } }),
      pod: aPod({ nodeSelector: { disk: 'ssd' } }),
      want: 'n1',
    },
    {
      it: 'gives a host port once',
      there: withHostPort('old', undefined, 'n1'),
      pod: withHostPort('new'),
      want: '1 with the host port taken',
    },
    {
      it: 'but on two addresses twice',
      there: withHostPort('old', '192.0.2.1', 'n1'),
      pod: withHostPort('new', '192.0.2.2'),
      want: 'n1',
    },
  ];
  for (const row of rows) {
    it(row.it, () => {
      const cluster = clusterOf([row.node ?? aNode()], row.there === undefined ? [] : [row.there]);
      const { placements, refusals } = schedule([row.pod], cluster, options);
      const got = placements[0]?.nodeName ?? refusals[0]?.message;
      assert.equal(got, row.want === 'n1' ? 'n1' : `0/1 nodes are available: ${row.want}.`);
    });
  }

  it('counts the reasons, the most frequent first', () => {
    const nodes = [aNode({ name: 'a' }), aNode({ name: 'b' }), aNode({ name: 'c', ready: false, memory: '64Gi' })];
    const { refusals } = schedule([aPod({ memory: '32Gi' })], clusterOf(nodes), options);
    assert.equal(refusals[0]?.message, '0/3 nodes are available: 2 insufficient memory, 1 not ready.');
  });

  it('says so when there is no node', () => {
    const { refusals } = schedule([aPod()], clusterOf([]), options);
    assert.equal(refusals[0]?.message, '0/0 nodes are available: no node has joined the cluster.');
  });

  it('prefers the emptier node', () => {
    const cluster = clusterOf(
      [aNode({ name: 'a' }), aNode({ name: 'b' })],
      [aPod({ name: 'x', nodeName: 'a', cpu: '1' })],
    );
    assert.deepEqual(nodesOf([aPod({ name: 'y' })], cluster), ['b']);
  });

  it('prefers a fuller node to one more of the same set', () => {
    const cluster = clusterOf(
      [aNode({ name: 'a' }), aNode({ name: 'b' })],
      [aPod({ name: 'x', nodeName: 'a', ownerUid: 'rc' }), aPod({ name: 'y', nodeName: 'b', cpu: '3', memory: '6Gi' })],
    );
    assert.deepEqual(nodesOf([aPod({ name: 'z', ownerUid: 'rc' })], cluster), ['b']);
  });

  it('spreads over zones before nodes', () => {
    const zone = (z: string) => ({ 'topology.kubernetes.io/zone': z });
    const cluster = clusterOf([
      aNode({ name: 'a1', labels: zone('a') }),
      aNode({ name: 'a2', labels: zone('a') }),
      aNode({ name: 'b1', labels: zone('b') }),
      aNode({ name: 'c1', labels: zone('c') }),
    ]);
    const placed = nodesOf(
      [1, 2, 3].map((i) => aPod({ name: `p${i}`, ownerUid: 'rc' })),
      cluster,
    );
    assert.deepEqual(placed.map((name) => name[0]).sort(), ['a', 'b', 'c']);
  });

  it('spreads the pods behind one Service, also when the Service comes later', () => {
    const cluster = clusterOf(
      [aNode({ name: 'a' }), aNode({ name: 'b' })],
      [aPod({ name: 'x', nodeName: 'a', labels: { app: 'web' } })],
    );
    cluster.setService(aService());
    cluster.setPod(aPod({ name: 'y', nodeName: 'b', cpu: '2' }));
    assert.deepEqual(nodesOf([aPod({ name: 'z', labels: { app: 'web' } })], cluster), ['b']);
  });

  it('avoids a node that asks to be avoided, however crowded the others', () => {
    const cluster = clusterOf([
      aNode({ name: 'a', taints: [{ ...taint, effect: 'PreferNoSchedule' }] }),
      aNode({ name: 'b' }),
    ]);
    assert.deepEqual(
      nodesOf(
        [1, 2, 3].map((i) => aPod({ name: `p${i}`, ownerUid: 'rc' })),
        cluster,
      ),
      ['b', 'b', 'b'],
    );
  });

  const holding = (name: string, image: string, sizeBytes: number): Node => {
    const node = aNode({ name });
    return { ...node, status: { ...node.status, images: [{ names: [image, `${image}@sha256:ab`], sizeBytes }] } };
  };
  const gib = 2 ** 30;
  const wantsImage = aPod({ name: 'new', image: 'docker.io/library/web:1' });

  it('prefers the node that has the image, under whatever spelling', () => {
    const nodes = [aNode({ name: 'a' }), holding('b', 'web:1', gib / 4), holding('c', 'web:2', gib)];
    assert.deepEqual(nodesOf([wantsImage], clusterOf(nodes)), ['b']);
  });

  it('weighs what must be pulled against load: a large image is worth a fuller node, a small one is not', () => {
    const busy = aPod({ name: 'old', nodeName: 'b', cpu: '2', memory: '4Gi' });
    const at = (bytes: number): readonly string[] =>
      nodesOf([wantsImage], clusterOf([aNode({ name: 'a' }), holding('b', 'web:1', bytes)], [busy]));
    assert.deepEqual(at(gib), ['b']);
    assert.deepEqual(at(gib / 100), ['a']);
  });

  it('spreads a set of pods over the nodes, also those that do not have its image', () => {
    const nodes = [aNode({ name: 'a' }), holding('b', 'web:1', 4 * gib)];
    const pods = [1, 2, 3, 4].map((i) => aPod({ name: `p${i}`, ownerUid: 'rc', image: 'web:1' }));
    assert.deepEqual(nodesOf(pods, clusterOf(nodes)).toSorted(), ['a', 'a', 'b', 'b']);
  });

  // ---- Properties ------------------------------------------------------------------------------

  const size = fc.constantFrom('0', '250m', '500m', '1', '2', '3');
  const arbitraryNode = fc.record({
    ready: fc.constantFrom(true, true, true, false),
    unschedulable: fc.constantFrom(false, false, true),
    cpu: fc.constantFrom('1', '2', '4'),
    memory: fc.constantFrom('1Gi', '4Gi'),
    pods: fc.constantFrom('1', '3', '110'),
    labels: fc.constantFrom({}, { disk: 'ssd' }),
    taints: fc.constantFrom([], [taint]),
  });
  const arbitraryPod = fc.record({
    cpu: size,
    memory: fc.constantFrom('0', '256Mi', '1Gi', '3Gi'),
    ownerUid: fc.constantFrom('rc1', 'rc2'),
    nodeSelector: fc.constantFrom({}, {}, { disk: 'ssd' }),
    tolerations: fc.constantFrom([], [toleration]),
    hostPort: fc.constantFrom(0, 0, 0, 8080),
  });
  const arbitraryRound = fc.record({
    nodes: fc
      .array(arbitraryNode, { maxLength: 6 })
      .map((all) => all.map((node, i) => aNode({ name: `n${i}`, ...node }))),
    pods: fc.array(arbitraryPod, { maxLength: 25 }).map((all) =>
      all.map(({ hostPort, ...pod }, i) => {
        const ports = hostPort === 0 ? {} : { ports: [{ containerPort: 80, hostPort, protocol: 'TCP' as const }] };
        return aPod({ name: `p${i}`, ...pod, ...ports });
      }),
    ),
    start: fc.nat(50),
    sample: fc.constantFrom(1, 2, 100),
  });

  /** Said without the scheduler's own data: would this node, with these pods, take that pod? */
  const wouldTake = (node: Node, there: readonly Pod[], pod: Pod): boolean => {
    const cpu = { '250m': 250, '500m': 500 } as Record<string, number>;
    const milli = (text: string): number => cpu[text] ?? Number(text) * 1000;
    const mib = (text: string): number => (text.endsWith('Gi') ? parseInt(text) * 1024 : parseInt(text));
    const asked = (each: Pod, name: string): string =>
      String(each.spec.containers[0]?.resources.requests?.[name] ?? '0');
    const all = [...there, pod];
    const allocatable = node.status.allocatable ?? {};
    const port = (each: Pod) => each.spec.containers[0]?.ports?.[0]?.hostPort;
    return (
      node.status.conditions?.[0]?.status === 'True' &&
      node.spec.unschedulable !== true &&
      all.length <= Number(allocatable['pods']) &&
      all.reduce((sum, each) => sum + milli(asked(each, 'cpu')), 0) <= milli(String(allocatable['cpu'])) &&
      all.reduce((sum, each) => sum + mib(asked(each, 'memory')), 0) <= mib(String(allocatable['memory'])) &&
      (pod.spec.nodeSelector?.['disk'] === undefined || node.metadata.labels?.['disk'] === 'ssd') &&
      ((node.spec.taints ?? []).length === 0 || (pod.spec.tolerations ?? []).length > 0) &&
      (port(pod) === undefined || !there.some((each) => port(each) === port(pod)))
    );
  };

  it('breaks no rule of any node, and refuses only what no node would take', () => {
    fc.assert(
      fc.property(arbitraryRound, ({ nodes, pods, start, sample }) => {
        const cluster = clusterOf(nodes);
        const result = schedule(pods, cluster, { start, sample });
        assert.equal(result.placements.length + result.refusals.length, pods.length);
        const chosen = new Map(result.placements.map(({ ask, nodeName }) => [ask.key, nodeName]));
        const there = new Map<string, Pod[]>(nodes.map((node) => [node.metadata.name, []]));
        for (const pod of pods) {
          const nodeName = chosen.get(`default/${pod.metadata.name}`);
          const room = nodes.filter((node) => wouldTake(node, there.get(node.metadata.name) ?? [], pod));
          if (nodeName === undefined) assert.deepEqual(room, [], `${pod.metadata.name} was refused`);
          else {
            assert.ok(
              room.some((node) => node.metadata.name === nodeName),
              `${pod.metadata.name} on ${nodeName}`,
            );
            there.get(nodeName)?.push(pod);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('answers the same when asked the same, and leaves the cluster as it was', () => {
    fc.assert(
      fc.property(arbitraryRound, ({ nodes, pods, start, sample }) => {
        const cluster = clusterOf(nodes);
        const text = (): string =>
          JSON.stringify(schedule(pods, cluster, { start, sample }), (key, value: unknown) =>
            key === 'ask' ? undefined : value,
          );
        assert.equal(text(), text());
      }),
    );
  });

  it('spreads one set over equal nodes with a difference of at most one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 60 }),
        fc.nat(9),
        (nodeCount, podCount, start) => {
          const nodes = Array.from({ length: nodeCount }, (_, i) => aNode({ name: `n${i}` }));
          const others = Array.from({ length: nodeCount }, (_, i) =>
            aPod({ name: `o${i}`, nodeName: `n${i % 2}`, cpu: '300m' }),
          );
          const pods = Array.from({ length: podCount }, (_, i) => aPod({ name: `p${i}`, ownerUid: 'rc', cpu: '10m' }));
          const { placements } = schedule(pods, clusterOf(nodes, others), { start, sample: 64 });
          const counts = nodes.map(
            (node) => placements.filter(({ nodeName }) => nodeName === node.metadata.name).length,
          );
          assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(' '));
        },
      ),
    );
  });
});
