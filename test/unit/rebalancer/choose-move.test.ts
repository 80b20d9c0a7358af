import assert from 'node:assert/strict';
import fc from 'fast-check';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { chooseNode } from '../../../lib/placing/choose.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { sceneOf } from '../../../lib/placing/scene.ts';
import { chooseMove, countsOf, type Move, type Steady } from '../../../services/rebalancer/choose-move.ts';
import { aNode, aPod, type NodeOptions, type PodOptions } from '../../support/builders.ts';

const hostname = 'kubernetes.io/hostname';
const zone = 'topology.kubernetes.io/zone';
const node = (name: string, options: NodeOptions = {}) =>
  aNode({ cpu: '8', ...options, name, labels: { [hostname]: name, ...options.labels } });

function painted(nodes: readonly ReturnType<typeof node>[], pods: readonly Pod[]): Cluster {
  const cluster = new Cluster();
  for (const each of nodes) cluster.setNode(each);
  for (const pod of pods) cluster.setPod(pod);
  return cluster;
}

const webOn = (nodes: readonly string[], options: PodOptions = {}): readonly Pod[] =>
  nodes.map((nodeName, i) =>
    aPod({ name: `web-${i}`, labels: { app: 'web' }, ownerUid: 'rc', cpu: '1', ...options, nodeName }),
  );
const setOf = (pods: readonly Pod[], uid = 'rc'): Steady => ({ uid, key: `default/${uid}`, pods, movable: pods });
const next = (cluster: Cluster, ...sets: Steady[]): Move | undefined =>
  chooseMove(sets, cluster, { most: 50, turn: 0 });

describe('rebalancer: the next move', function () {
  this.timeout(120_000);
  const spreadOver = (topologyKey: string, maxSkew = 1): PodOptions['spec'] => ({
    topologySpreadConstraints: [
      { topologyKey, maxSkew, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } } },
    ],
  });
  const cases: readonly {
    readonly it: string;
    readonly nodes: readonly ReturnType<typeof node>[];
    readonly pods: readonly Pod[];
    readonly want: readonly [from: string, to: string] | undefined;
  }[] = [
    {
      it: 'goes from where two more are',
      nodes: [node('a'), node('b')],
      pods: webOn(['a', 'a']),
      want: ['a', 'b'],
    },
    {
      it: 'is none where one more is',
      nodes: [node('a'), node('b')],
      pods: webOn(['a', 'a', 'b']),
      want: undefined,
    },
    {
      it: 'goes from the fullest to the emptiest',
      nodes: ['a', 'b', 'c'].map((name) => node(name)),
      pods: webOn(['a', 'a', 'a', 'b', 'b', 'b', 'b', 'c']),
      want: ['b', 'c'],
    },
    {
      it: 'is none to a node that is not ready, cordoned or tainted',
      nodes: [
        node('a'),
        node('b', { ready: false }),
        node('c', { unschedulable: true }),
        node('d', { taints: [{ key: 'x', effect: 'NoSchedule' }] }),
      ],
      pods: webOn(['a', 'a', 'a']),
      want: undefined,
    },
    {
      it: 'is none to a node without room for one more',
      nodes: [node('a'), node('b', { cpu: '500m' })],
      pods: webOn(['a', 'a', 'a']),
      want: undefined,
    },
    {
      it: 'goes from a node that is cordoned',
      nodes: [node('a', { unschedulable: true }), node('b')],
      pods: webOn(['a', 'a']),
      want: ['a', 'b'],
    },
    {
      it: 'is none where the pod wishes to stay together',
      nodes: [node('a'), node('b')],
      pods: webOn(['a', 'a', 'a'], {
        spec: {
          affinity: {
            podAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                {
                  weight: 1,
                  podAffinityTerm: { topologyKey: hostname, labelSelector: { matchLabels: { app: 'web' } } },
                },
              ],
            },
          },
        },
      }),
      want: undefined,
    },
    {
      it: 'is none that would make zones less even',
      nodes: [
        node('a', { labels: { [zone]: 'x' } }),
        ...['b', 'c'].map((name) => node(name, { labels: { [zone]: 'y' } })),
      ],
      pods: webOn(['a', 'a', 'b', 'c']),
      want: undefined,
    },
    {
      it: 'is none that would break a rule as soon as the pod is gone',
      nodes: [
        node('a', { labels: { [zone]: 'x' } }),
        node('b', { labels: { [zone]: 'x' }, unschedulable: true }),
        node('c', { labels: { [zone]: 'y' } }),
      ],
      pods: webOn(['a', 'a', 'c'], { spec: spreadOver(zone) ?? {} }),
      want: undefined,
    },
  ];
  for (const { it: what, nodes, pods, want } of cases)
    it(what, () => {
      const move = next(painted(nodes, pods), setOf(pods));
      assert.deepEqual(move && [move.from, move.to], want);
    });

  it('is that of the set with most to gain, and of others in turn where there are too many to try', () => {
    const mild = webOn(['a', 'a'], { ownerUid: 'mild' });
    const bad = ['a', 'a', 'a'].map((nodeName, i) => aPod({ name: `bad-${i}`, ownerUid: 'bad', nodeName }));
    const cluster = painted([node('a'), node('b')], [...mild, ...bad]);
    assert.equal(next(cluster, setOf(mild, 'mild'), setOf(bad, 'bad'))?.set.uid, 'bad');
    const stuck: Steady = { ...setOf(bad, 'bad'), movable: [] };
    const moves = [0, 1].map((turn) => chooseMove([setOf(mild, 'mild'), stuck], cluster, { most: 1, turn }));
    assert.deepEqual(
      moves.map((move) => move?.set.uid),
      [undefined, 'mild'],
    );
  });

  interface World {
    readonly nodes: readonly ReturnType<typeof node>[];
    readonly pods: readonly Pod[];
  }
  const worlds: fc.Arbitrary<World> = fc
    .record({
      nodes: fc.array(
        fc.record({
          zone: fc.constantFrom('x', 'y', 'z', undefined),
          cpu: fc.integer({ min: 1, max: 8 }),
          ready: fc.boolean(),
          tainted: fc.boolean(),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      sets: fc.array(
        fc.record({
          on: fc.array(fc.nat(5), { maxLength: 8 }),
          rule: fc.constantFrom<PodOptions['spec']>(undefined, {}, spreadOver(hostname), spreadOver(zone, 2)),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map(({ nodes, sets }) => ({
      nodes: nodes.map(({ zone: at, cpu, ready, tainted }, i) =>
        node(`n${i}`, {
          ...{ cpu: String(cpu), ready: ready || i === 0 },
          labels: at === undefined ? {} : { [zone]: at },
          taints: tainted ? [{ key: 'x', effect: 'NoSchedule' }] : [],
        }),
      ),
      pods: sets.flatMap(({ on, rule = {} }, s) =>
        on.map((at, i) =>
          aPod({
            ...{ name: `set${s}-${i}`, labels: { app: s === 0 ? 'web' : 'other' }, ownerUid: `set${s}` },
            ...{ cpu: '1', nodeName: `n${at % nodes.length}`, spec: rule },
          }),
        ),
      ),
    }));
  const squares = (pods: readonly Pod[], valueOf: (nodeName: string) => string): number => {
    const counts = new Map<string, number>();
    for (const { spec } of pods) {
      const value = valueOf(spec.nodeName ?? '');
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    return [...counts.values()].reduce((sum, count) => sum + count ** 2, 0);
  };

  it('in random clusters lowers one number each time, so that moves end; each goes where the scheduler places one, and fits there', () => {
    fc.assert(
      fc.property(worlds, ({ nodes, pods }) => {
        const cluster = painted(nodes, pods);
        const zoneOf = (name: string): string => cluster.node(name)?.zone ?? '';
        let all = pods;
        const ofSet = (uid: string): readonly Pod[] =>
          all.filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid);
        const sets = (): readonly Steady[] => ['set0', 'set1', 'set2'].map((uid) => setOf(ofSet(uid), uid));
        const height = (uid: string): number => squares(ofSet(uid), (name) => name) + squares(ofSet(uid), zoneOf);
        for (let moves = 0; ; moves++) {
          assert.ok(moves <= 200, 'moves do not end');
          const before = JSON.stringify(cluster.nodes.map(({ name, used }) => [name, used]));
          const move = next(cluster, ...sets());
          assert.equal(
            JSON.stringify(cluster.nodes.map(({ name, used }) => [name, used])),
            before,
            'it changed the picture',
          );
          if (move === undefined) return;
          const { pod, to, set } = move;
          const from = height(set.uid);
          const { nodeName: _, ...spec } = pod.spec;
          const anew: Pod = { ...pod, metadata: { ...pod.metadata, name: `m${moves}`, uid: `m${moves}` }, spec };
          const ask = cluster.ask(anew);
          const choice = chooseNode(ask, sceneOf(ask, cluster), cluster, { start: 0, sample: 64 });
          assert.equal(choice.node?.name, to, 'the scheduler places it elsewhere');
          cluster.setPod({ ...anew, spec: { ...spec, nodeName: to } });
          cluster.removePod(keyOf(pod));
          all = [...all.filter((each) => each !== pod), { ...anew, spec: { ...spec, nodeName: to } }];
          assert.ok(height(set.uid) < from, 'no more even than before');
          const there = cluster.node(to);
          assert.ok(there !== undefined && there.used.cpuMilli <= there.capacity.cpuMilli, 'over-committed');
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('leaves no node with two more than another that would take one, where pods have no rules of their own', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { minLength: 1, maxLength: 15 }), fc.integer({ min: 2, max: 5 }), (on, size) => {
        let pods = webOn(on.map((at) => `n${at % size}`));
        const nodes = Array.from({ length: size }, (_, i) => node(`n${i}`, { cpu: '99' }));
        const cluster = painted(nodes, pods);
        for (let move = next(cluster, setOf(pods)); move !== undefined; move = next(cluster, setOf(pods))) {
          const { pod, to } = move;
          const moved = { ...pod, spec: { ...pod.spec, nodeName: to } };
          cluster.removePod(keyOf(pod));
          cluster.setPod(moved);
          pods = pods.map((each) => (each === pod ? moved : each));
        }
        const counts = nodes.map(({ metadata }) => countsOf(pods).get(metadata.name) ?? 0);
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join());
      }),
      { numRuns: 300 },
    );
  });
});
