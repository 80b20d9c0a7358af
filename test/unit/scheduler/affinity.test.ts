import assert from 'node:assert/strict';
import type {
  Affinity,
  Labels,
  Node,
  Pod,
  PodAffinityTerm,
  TopologySpreadConstraint,
} from '../../../lib/api/objects.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';

/** Three machines in two zones: n1 and n2 in a, n3 in b. */
const machines: readonly Node[] = [
  ['n1', 'a', '4'],
  ['n2', 'a', '16'],
  ['n3', 'b', '8'],
].map(([name = '', zone = '', cores = '']) => aNode({ name, labels: { zone, cores, host: name } }));

const clusterOf = (
  pods: readonly Pod[],
  nodes = machines,
  namespaces: Readonly<Record<string, Labels>> = {},
): Cluster => {
  const cluster = new Cluster();
  for (const [name, labels] of Object.entries(namespaces)) cluster.tallies.setNamespace(name, labels);
  for (const node of nodes) cluster.setNode(node);
  for (const pod of pods) cluster.setPod(pod);
  return cluster;
};
/** Where it goes; or why nowhere, without the words that every refusal begins with. */
const outcome = (pod: Pod, cluster: Cluster): string => {
  const { placements, refusals } = schedule([pod], cluster, { start: 0, sample: 100 });
  return placements[0]?.nodeName ?? refusals[0]?.message.replace(/^.*available: /, '') ?? '';
};
const pod = (options: PodOptions & { affinity?: Affinity; spread?: readonly TopologySpreadConstraint[] } = {}): Pod => {
  const { affinity, spread, ...rest } = options;
  return aPod({
    ...rest,
    spec: {
      ...(affinity === undefined ? {} : { affinity }),
      ...(spread === undefined ? {} : { topologySpreadConstraints: spread }),
    },
  });
};
const on = (nodeName: string, options: Parameters<typeof pod>[0] = {}): Pod =>
  pod({ name: `on-${nodeName}`, nodeName, labels: { app: 'db' }, ...options });

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
type Requirement = {
  key: string;
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  values?: string[];
};
const needs = (...terms: readonly Requirement[][]): Affinity => ({
  nodeAffinity: { [required]: { nodeSelectorTerms: terms.map((matchExpressions) => ({ matchExpressions })) } },
});
const named = (operator: 'In' | 'NotIn', name: string): Affinity => ({
  nodeAffinity: {
    [required]: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator, values: [name] }] }] },
  },
});
const db: PodAffinityTerm = { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'db' } } };
const near = (...terms: readonly PodAffinityTerm[]): Affinity => ({ podAffinity: { [required]: terms } });
const apart = (...terms: readonly PodAffinityTerm[]): Affinity => ({ podAntiAffinity: { [required]: terms } });
const evenly = (change: Partial<TopologySpreadConstraint> = {}): TopologySpreadConstraint => ({
  maxSkew: 1,
  topologyKey: 'zone',
  whenUnsatisfiable: 'DoNotSchedule',
  labelSelector: { matchLabels: { app: 'web' } },
  ...change,
});
const web = { app: 'web' };

interface Row {
  readonly it: string;
  readonly there?: readonly Pod[];
  readonly nodes?: readonly Node[];
  readonly namespaces?: Readonly<Record<string, Labels>>;
  readonly pod: Pod;
  readonly want: string;
}
const table = (rows: readonly Row[]): void => {
  for (const row of rows)
    it(row.it, () => assert.equal(outcome(row.pod, clusterOf(row.there ?? [], row.nodes, row.namespaces)), row.want));
};

describe('scheduler/affinity to nodes', () => {
  table([
    { it: 'In', pod: pod({ affinity: needs([{ key: 'zone', operator: 'In', values: ['b', 'c'] }]) }), want: 'n3' },
    { it: 'NotIn', pod: pod({ affinity: needs([{ key: 'zone', operator: 'NotIn', values: ['a'] }]) }), want: 'n3' },
    { it: 'Gt', pod: pod({ affinity: needs([{ key: 'cores', operator: 'Gt', values: ['8'] }]) }), want: 'n2' },
    { it: 'Lt', pod: pod({ affinity: needs([{ key: 'cores', operator: 'Lt', values: ['8'] }]) }), want: 'n1' },
    {
      it: 'Exists',
      pod: pod({ affinity: needs([{ key: 'gpu', operator: 'Exists' }]) }),
      want: '3 not matching the node affinity.',
    },
    { it: 'DoesNotExist', pod: pod({ affinity: needs([{ key: 'gpu', operator: 'DoesNotExist' }]) }), want: 'n1' },
    {
      it: 'takes all of a term',
      pod: pod({
        affinity: needs([
          { key: 'zone', operator: 'In', values: ['a'] },
          { key: 'cores', operator: 'Gt', values: ['8'] },
        ]),
      }),
      want: 'n2',
    },
    {
      it: 'takes one of the terms',
      pod: pod({
        affinity: needs([{ key: 'gpu', operator: 'Exists' }], [{ key: 'zone', operator: 'In', values: ['b'] }]),
      }),
      want: 'n3',
    },
    { it: 'by name', pod: pod({ affinity: named('In', 'n2') }), want: 'n2' },
    {
      it: 'by name, one that is not there',
      pod: pod({ affinity: named('In', 'n9') }),
      want: '3 not matching the node affinity.',
    },
    {
      it: 'and the node selector',
      pod: pod({ affinity: named('NotIn', 'n3'), nodeSelector: { zone: 'b' } }),
      want: '2 not matching the node selector, 1 not matching the node affinity.',
    },
    {
      it: 'rather takes what it likes, wherever that is',
      pod: pod({
        affinity: {
          nodeAffinity: {
            [preferred]: [
              { weight: 1, preference: { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] } },
              { weight: 2, preference: { matchExpressions: [{ key: 'cores', operator: 'In', values: ['8'] }] } },
            ],
          },
        },
      }),
      want: 'n3',
    },
  ]);

  it('finds what it likes on the last of many nodes', () => {
    const nodes = Array.from({ length: 500 }, (_, i) => aNode({ name: `m${i}`, labels: { ssd: String(i === 499) } }));
    const likes = pod({
      affinity: {
        nodeAffinity: {
          [preferred]: [
            { weight: 1, preference: { matchExpressions: [{ key: 'ssd', operator: 'In', values: ['true'] }] } },
          ],
        },
      },
    });
    const { placements } = schedule([likes], clusterOf([], nodes), { start: 0, sample: 64 });
    assert.equal(placements[0]?.nodeName, 'm499');
  });
});

describe('scheduler/affinity to pods', () => {
  table([
    { it: 'goes where such a pod is', there: [on('n3')], pod: pod({ affinity: near(db) }), want: 'n3' },
    {
      it: 'goes nowhere where none is',
      pod: pod({ affinity: near(db) }),
      want: '3 not matching the pod affinity rules.',
    },
    { it: 'may be the first of its kind', pod: pod({ labels: { app: 'db' }, affinity: near(db) }), want: 'n1' },
    {
      it: 'is not the first where others are',
      there: [on('n3')],
      pod: pod({ labels: { app: 'db' }, affinity: near(db) }),
      want: 'n3',
    },
    {
      it: 'looks in its own namespace',
      there: [on('n3', { namespace: 'other' })],
      pod: pod({ affinity: near(db) }),
      want: '3 not matching the pod affinity rules.',
    },
    {
      it: 'looks in the namespaces that it names',
      there: [on('n3', { namespace: 'other' })],
      pod: pod({ affinity: near({ ...db, namespaces: ['other'] }) }),
      want: 'n3',
    },
    {
      it: 'looks in namespaces with a label',
      there: [on('n1', { namespace: 'other' }), on('n3', { namespace: 'mine' })],
      namespaces: { mine: { team: 'us' }, other: {} },
      pod: pod({ affinity: near({ ...db, namespaceSelector: { matchLabels: { team: 'us' } } }) }),
      want: 'n3',
    },
    {
      it: 'looks in all namespaces',
      there: [on('n3', { namespace: 'other' })],
      pod: pod({ affinity: near({ ...db, namespaceSelector: {} }) }),
      want: 'n3',
    },
    {
      it: 'stays away',
      there: [on('n1')],
      pod: pod({ affinity: apart(db) }),
      want: 'n3',
    },
    {
      it: 'stays away from a pod on its way out, too',
      there: [on('n3', { deleted: true }), on('n1', { name: 'other' })],
      pod: pod({ affinity: apart(db) }),
      want: '3 not matching the pod anti-affinity rules.',
    },
    {
      it: 'is kept away by those that are there',
      there: [on('n1', { affinity: apart({ ...db, labelSelector: { matchLabels: web } }) })],
      pod: pod({ labels: web }),
      want: 'n3',
    },
    {
      it: 'is told so',
      nodes: machines.slice(0, 2),
      there: [on('n1', { affinity: apart({ ...db, labelSelector: { matchLabels: web } }) })],
      pod: pod({ labels: web }),
      want: '2 not matching the anti-affinity rules of pods there.',
    },
    {
      it: 'takes the value of its own label',
      there: [on('n1', { labels: { app: 'db', v: '1' } }), on('n3', { labels: { app: 'db', v: '2' } })],
      pod: pod({ labels: { v: '2' }, affinity: near({ ...db, matchLabelKeys: ['v'] }) }),
      want: 'n3',
    },
    {
      it: 'or any other than its own',
      there: [on('n1', { labels: { app: 'db', v: '1' } }), on('n3', { labels: { app: 'db', v: '2' } })],
      pod: pod({ labels: { v: '2' }, affinity: apart({ ...db, mismatchLabelKeys: ['v'] }) }),
      want: 'n3',
    },
    {
      it: 'matches no pod without a selector',
      there: [on('n1')],
      pod: pod({ affinity: apart({ topologyKey: 'zone' }) }),
      want: 'n2',
    },
    {
      it: 'rather goes near what it likes',
      there: [on('n3')],
      pod: pod({ affinity: { podAffinity: { [preferred]: [{ weight: 5, podAffinityTerm: db }] } } }),
      want: 'n3',
    },
    {
      it: 'rather stays away from what it does not like',
      there: [on('n1'), on('n3', { labels: {} })],
      pod: pod({ affinity: { podAntiAffinity: { [preferred]: [{ weight: 5, podAffinityTerm: db }] } } }),
      want: 'n3',
    },
    {
      it: 'is liked by those that are there',
      there: [
        on('n3', {
          affinity: {
            podAffinity: {
              [preferred]: [{ weight: 5, podAffinityTerm: { ...db, labelSelector: { matchLabels: web } } }],
            },
          },
        }),
      ],
      pod: pod({ labels: web }),
      want: 'n3',
    },
  ]);

  it('places each of a batch apart from those before it, and says why the rest wait', () => {
    const replicas = Array.from({ length: 4 }, (_, i) =>
      pod({ name: `r${i}`, labels: { app: 'db' }, affinity: apart({ ...db, topologyKey: 'host' }) }),
    );
    const { placements, refusals } = schedule(replicas, clusterOf([]), { start: 0, sample: 100 });
    assert.deepEqual(placements.map(({ nodeName }) => nodeName).sort(), ['n1', 'n2', 'n3']);
    assert.deepEqual(
      refusals.map(({ message }) => message),
      [
        '0/3 nodes are available: 3 not matching the anti-affinity rules of pods there, 3 not matching the pod anti-affinity rules.',
      ],
    );
  });

  it('follows pods and nodes as they change', () => {
    const cluster = clusterOf([on('n3')]);
    const asks = pod({ affinity: near(db) });
    assert.equal(outcome(asks, cluster), 'n3');
    cluster.setPod(on('n3', { labels: { app: 'cache' } }));
    assert.match(outcome(asks, cluster), /pod affinity/);
    cluster.setPod(on('n1'));
    assert.equal(outcome(asks, cluster), 'n2', 'as near, and emptier');
    cluster.setNode(aNode({ name: 'n1', labels: { zone: 'b', host: 'n1' } }));
    cluster.setNode(aNode({ name: 'n1', labels: { zone: 'b', host: 'n1' }, unschedulable: true }));
    assert.equal(outcome(asks, cluster), 'n3');
    cluster.removeNode('n1');
    assert.match(outcome(asks, cluster), /pod affinity/);
  });
});

describe('scheduler/spreading', () => {
  const three = [on('n1', { labels: web }), on('n2', { labels: web }), on('n3', { labels: web })];
  table([
    { it: 'goes where fewer are', there: three, pod: pod({ labels: web, spread: [evenly()] }), want: 'n3' },
    {
      it: 'counts none that is on its way out',
      there: [on('n1', { labels: web, deleted: true }), on('n3', { labels: web })],
      pod: pod({ labels: web, spread: [evenly()] }),
      want: 'n2',
    },
    {
      it: 'waits where it would be too many',
      nodes: machines.map((node) =>
        node.metadata.name === 'n3' ? aNode({ name: 'n3', labels: { zone: 'b' }, unschedulable: true }) : node,
      ),
      there: [on('n1', { labels: web })],
      pod: pod({ labels: web, spread: [evenly()] }),
      want: '2 not matching the topology spread constraint on zone, 1 unschedulable.',
    },
    {
      it: 'leaves out what its taints policy tells it to',
      nodes: machines.map((node) =>
        node.metadata.name === 'n3' ? aNode({ name: 'n3', labels: { zone: 'b' }, unschedulable: true }) : node,
      ),
      there: [on('n1', { labels: web })],
      pod: pod({ labels: web, spread: [evenly({ nodeTaintsPolicy: 'Honor' })] }),
      want: 'n2',
    },
    {
      it: 'leaves out nodes that its affinity does not allow',
      there: [on('n1', { labels: web })],
      pod: pod({ labels: web, nodeSelector: { zone: 'a' }, spread: [evenly()] }),
      want: 'n2',
    },
    {
      it: 'counts them where its policy tells it to',
      there: [on('n1', { labels: web })],
      pod: pod({ labels: web, nodeSelector: { zone: 'a' }, spread: [evenly({ nodeAffinityPolicy: 'Ignore' })] }),
      want: '2 not matching the topology spread constraint on zone, 1 not matching the node selector.',
    },
    {
      it: 'wants as many domains as it says',
      there: [on('n1', { labels: web }), on('n3', { labels: web })],
      pod: pod({ labels: web, spread: [evenly({ minDomains: 3 })] }),
      want: '3 not matching the topology spread constraint on zone.',
    },
    {
      it: 'says which label is missing',
      nodes: [aNode({ name: 'n1' })],
      pod: pod({ labels: web, spread: [evenly()] }),
      want: '1 without the label zone, over which the pod is to be spread.',
    },
    {
      it: 'spreads each version by itself',
      there: [on('n3', { labels: { ...web, v: '1' } })],
      pod: pod({
        labels: { ...web, v: '2' },
        spread: [evenly({ matchLabelKeys: ['v'] }), evenly({ topologyKey: 'host' })],
      }),
      want: 'n1',
    },
    {
      it: 'rather goes where fewer are, if it need not',
      there: [on('n1', { labels: web }), on('n3', { labels: {}, cpu: '3', memory: '7Gi' })],
      pod: pod({ labels: web, spread: [evenly({ whenUnsatisfiable: 'ScheduleAnyway' })] }),
      want: 'n3',
    },
  ]);

  it('spreads a batch over zones and machines', () => {
    const replicas = Array.from({ length: 40 }, (_, i) =>
      pod({ name: `r${i}`, labels: web, spread: [evenly(), evenly({ topologyKey: 'host' })] }),
    );
    const nodes = Array.from({ length: 20 }, (_, i) =>
      aNode({ name: `m${i}`, labels: { zone: `z${i % 4}`, host: `m${i}` } }),
    );
    const { placements } = schedule(replicas, clusterOf([], nodes), { start: 0, sample: 4 });
    const counts = new Map<string, number>();
    for (const { nodeName } of placements) counts.set(nodeName, (counts.get(nodeName) ?? 0) + 1);
    assert.deepEqual(
      [...counts.values()],
      Array.from({ length: 20 }, () => 2),
    );
  });
});
