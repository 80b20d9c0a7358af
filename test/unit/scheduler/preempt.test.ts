import assert from 'node:assert/strict';
import fc from 'fast-check';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { needsOf } from '../../../lib/api/pods.ts';
import { milliOf } from '../../../lib/api/quantity.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { preempt, wordsOf, type BudgetsOf, type Preemption } from '../../../services/scheduler/preempt.ts';
import { spread } from '../../../lib/placing/profile.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const none: BudgetsOf = () => [];

interface PriorityOptions extends PodOptions {
  readonly priority?: number;
}
const pod = ({ priority = 0, ...options }: PriorityOptions): Pod => {
  const made = aPod(options);
  return { ...made, spec: { ...made.spec, ...options.spec, priority } };
};

function clusterOf(nodes: readonly Node[], pods: readonly Pod[]): Cluster {
  const cluster = new Cluster();
  for (const node of nodes) cluster.setNode(node);
  for (const each of pods) cluster.setPod(each);
  return cluster;
}

interface More {
  readonly budgetsOf?: BudgetsOf;
  readonly ending?: ReadonlySet<string>;
}
const preemptIn = (cluster: Cluster, who: Pod, more: More = {}): Preemption | string | undefined =>
  preempt(cluster.ask(who), cluster, {
    ...{ profile: spread, budgetsOf: none, ending: new Set<string>(), candidates: 64, start: 0 },
    ...more,
  });
/** Node, victims. */
function chosen(cluster: Cluster, who: Pod, more?: More): readonly string[] {
  const result = preemptIn(cluster, who, more);
  assert.ok(typeof result === 'object', typeof result === 'string' ? result : 'nothing is done');
  return [result.nodeName, ...result.victims.map(({ pod: { metadata } }) => metadata.name).sort()];
}
const on = (nodeName: string, name: string, priority: number, options: PriorityOptions = {}): Pod =>
  pod({ name, nodeName, cpu: '1', priority, ...options });

describe('scheduler preempt', () => {
  const two = [aNode({ name: 'n1', cpu: '2' }), aNode({ name: 'n2', cpu: '2' })];
  const high = pod({ name: 'high', cpu: '1', priority: 100 });

  it('ends where the highest priority is lowest, then their sum, then their number', () => {
    const at = (n1: readonly number[], n2: readonly number[]): Cluster =>
      clusterOf(two, [
        ...n1.map((priority, i) => on('n1', `a${i}`, priority)),
        ...n2.map((priority, i) => on('n2', `b${i}`, priority)),
      ]);
    const large = pod({ name: 'large', cpu: '2', priority: 100 });
    assert.deepEqual(chosen(at([5, 9], [7, 7]), large), ['n2', 'b0', 'b1']);
    assert.deepEqual(chosen(at([7, 6], [7, 5]), large), ['n2', 'b0', 'b1']);
    assert.deepEqual(chosen(at([5, 1], [3, 2]), high), ['n1', 'a1']);
    const whole = clusterOf(two, [on('n1', 'a0', 5), on('n1', 'a1', 5), on('n2', 'b0', 5, { cpu: '2' })]);
    assert.deepEqual(chosen(whole, large), ['n2', 'b0']);
  });

  it('ends the younger of equals, and on one node spares the older', () => {
    const since = (startTime: string): PriorityOptions => ({ status: { startTime } });
    const old = since('2026-01-01T00:00:00Z');
    const young = since('2026-01-02T00:00:00Z');
    const cluster = clusterOf(two, [
      ...[on('n1', 'a0', 5, old), on('n1', 'a1', 5, old)],
      ...[on('n2', 'b0', 5, young), on('n2', 'b1', 5, young)],
    ]);
    assert.equal(chosen(cluster, high)[0], 'n2');
    assert.deepEqual(chosen(clusterOf(two.slice(0, 1), [on('n1', 'x', 5, young), on('n1', 'y', 5, old)]), high), [
      ...['n1', 'x'],
    ]);
  });

  it('ends nobody of equal or higher priority, and says why none would do', () => {
    assert.equal(preemptIn(clusterOf(two, [on('n1', 'a', 100), on('n2', 'b', 101)]), high), undefined);
    const cordoned = aNode({ name: 'n3', unschedulable: true });
    const mixed = [on('n1', 'a', 100), on('n1', 'c', 100), on('n2', 'b', 1), on('n2', 'd', 100), on('n3', 'e', 1)];
    assert.equal(
      preemptIn(clusterOf([...two, cordoned], mixed), pod({ name: 'large', cpu: '2', priority: 100 })),
      'room can be made on 0/3 nodes: 1 where ending pods would not help, 1 without pods of lower priority, ' +
        '1 where all those of lower priority would not be enough',
    );
    const meek = pod({ name: 'meek', cpu: '2', priority: 100, spec: { preemptionPolicy: 'Never' } });
    assert.equal(preemptIn(clusterOf(two, mixed), meek), 'its preemptionPolicy is Never');
  });

  it('counts every rule of placing: ports, anti-affinity of either side, spreading', () => {
    const port = { ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' as const }] };
    const full = [on('n1', 'a', 5, port), on('n1', 'b', 1), on('n2', 'c', 100), on('n2', 'd', 100)];
    assert.deepEqual(chosen(clusterOf(two, full), pod({ name: 'p', cpu: '1', priority: 9, ...port })), ['n1', 'a']);
    const away = {
      affinity: {
        podAntiAffinity: {
          [required]: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'x' } } }],
        },
      },
    };
    const shy = [on('n1', 'a', 5, { spec: away }), on('n1', 'b', 1), on('n2', 'c', 100), on('n2', 'd', 100)];
    assert.deepEqual(chosen(clusterOf(two, shy), pod({ name: 'p', labels: { app: 'x' }, cpu: '1', priority: 9 })), [
      ...['n1', 'a'],
    ]);
    const near = {
      affinity: {
        podAffinity: {
          [required]: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'y' } } }],
        },
      },
    };
    const friend = [on('n1', 'a', 5, { labels: { app: 'y' } }), on('n1', 'b', 5), on('n2', 'c', 5), on('n2', 'd', 5)];
    const needsFriend = pod({ name: 'p', cpu: '2', priority: 9, spec: near });
    const futile = preemptIn(clusterOf(two, friend), needsFriend);
    assert.ok(typeof futile === 'string');
    assert.match(futile, /^room can be made on 0\/2 nodes/);
  });

  it('keeps disruption budgets where it can, and names the one that it breaks where it cannot', () => {
    const guarded: BudgetsOf = ({ metadata }) =>
      metadata.labels?.['app'] === 'db' ? [{ key: 'default/db', allowed: 0 }] : [];
    const db = { labels: { app: 'db' } };
    const pods = [on('n1', 'a', 1, db), on('n1', 'b', 1, db), on('n2', 'c', 50), on('n2', 'd', 50)];
    assert.deepEqual(chosen(clusterOf(two, pods), high, { budgetsOf: guarded }), ['n2', 'd']);
    const [one] = two;
    const beside = clusterOf(one === undefined ? [] : [one], [on('n1', 'a', 1, db), on('n1', 'b', 50)]);
    assert.deepEqual(chosen(beside, high, { budgetsOf: guarded }), ['n1', 'b'], 'spares the guarded one first');
    const only = preemptIn(
      clusterOf(two, [on('n1', 'a', 1, { ...db, cpu: '2' }), on('n2', 'c', 100), on('n2', 'd', 100)]),
      high,
      {
        budgetsOf: guarded,
      },
    );
    assert.ok(typeof only === 'object');
    assert.equal(wordsOf(only), 'room is made on n1 by ending default/a, against the disruption budget default/db');
    const allowsOne: BudgetsOf = () => [{ key: 'default/all', allowed: 1 }];
    const both = preemptIn(
      clusterOf(two.slice(0, 1), [on('n1', 'a', 1), on('n1', 'b', 1)]),
      pod({ name: 'p', cpu: '2', priority: 9 }),
      {
        budgetsOf: allowsOne,
      },
    );
    assert.ok(typeof both === 'object');
    const told = both.victims.map(({ breaks, asksBudget }) => `${breaks ?? 'allowed'} ${asksBudget}`);
    assert.deepEqual(told.sort(), ['allowed true', 'default/all false']);
  });

  it('waits for those that go already instead of ending more', () => {
    const going = on('n2', 'going', 5, { deleted: true });
    const pods = [on('n1', 'a', 1), on('n1', 'b', 1), going, on('n2', 'c', 50)];
    const waits = preemptIn(clusterOf(two, pods), high);
    assert.ok(typeof waits === 'object');
    assert.equal(wordsOf(waits), 'room is kept on n2, waiting for default/going to end');
    const told = clusterOf(two, [on('n1', 'a', 1), on('n1', 'b', 1), on('n2', 'd', 5), on('n2', 'c', 50)]);
    assert.deepEqual(chosen(told, high, { ending: new Set(['default/d']) }), ['n2']);
  });

  describe('within a batch', () => {
    const preemption = { budgetsOf: none, ending: new Set<string>(), candidates: 64 };
    it('makes room for each once, and keeps it from those that come later', () => {
      const pods = [on('n1', 'a', 1), on('n1', 'b', 1), on('n2', 'c', 1), on('n2', 'd', 1)];
      const cluster = clusterOf(two, pods);
      const many = Array.from({ length: 5 }, (_, i) => pod({ name: `h${i}`, cpu: '1', priority: 10 }));
      const low = pod({ name: 'low', cpu: '1', priority: 0 });
      const { placements, refusals } = schedule([...many, low], cluster, { start: 0, sample: 64, preemption });
      assert.deepEqual(placements, []);
      const ended = refusals.flatMap(({ preemption: each }) => each?.victims.map(({ key }) => key) ?? []);
      assert.deepEqual(ended.sort(), ['default/a', 'default/b', 'default/c', 'default/d']);
      assert.match(refusals[4]?.message ?? '', /insufficient cpu\. preemption: room can be made on 0\/2 nodes/);
      assert.equal(refusals[5]?.message, '0/2 nodes are available: 2 insufficient cpu.');
      assert.deepEqual(
        cluster.nodes.map(({ used }) => used.cpuMilli),
        [2000, 2000],
        'the cluster is as it was',
      );
    });

    it('gives kept room to the one it is kept for, and to those of higher priority', () => {
      const nominated = pod({ name: 'n', cpu: '1', priority: 10, status: { nominatedNodeName: 'n1' } });
      const cluster = clusterOf(two, [on('n1', 'a', 50), on('n2', 'c', 50), on('n2', 'd', 50), nominated]);
      const place = (who: Pod): string | undefined =>
        schedule([who], cluster, { start: 0, sample: 64, preemption }).placements[0]?.nodeName;
      assert.equal(place(pod({ name: 'same', cpu: '1', priority: 10 })), undefined);
      assert.equal(place(pod({ name: 'lower', cpu: '1', priority: 1 })), undefined);
      assert.equal(place(nominated), 'n1');
      assert.equal(place(pod({ name: 'higher', cpu: '1', priority: 11 })), 'n1');
      cluster.removePod('default/n');
      assert.equal(place(pod({ name: 'lower', cpu: '1', priority: 1 })), 'n1');
    });
  });

  // ---- Against a plain oracle --------------------------------------------------------------------

  interface World {
    readonly nodes: readonly Node[];
    readonly pods: readonly Pod[];
    readonly who: Pod;
  }
  const apart = (app: string): NonNullable<Pod['spec']['affinity']> => ({
    podAntiAffinity: {
      [required]: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } }],
    },
  });
  const aKind = fc.record({
    cpu: fc.integer({ min: 1, max: 4 }),
    priority: fc.integer({ min: -2, max: 4 }),
    app: fc.constantFrom('x', 'y'),
    hates: fc.constantFrom(undefined, undefined, undefined, 'x', 'y'),
  });
  type KindOf = typeof aKind extends fc.Arbitrary<infer T> ? T : never;
  const made = (name: string, { cpu, priority, app, hates }: KindOf, nodeName?: string): Pod =>
    pod({
      ...{ name, priority, cpu: String(cpu), labels: { app } },
      ...(nodeName !== undefined && { nodeName }),
      spec: hates === undefined ? {} : { affinity: apart(hates) },
    });
  const aWorld: fc.Arbitrary<World> = fc
    .record({
      nodes: fc.array(
        fc.record({ cpu: fc.integer({ min: 1, max: 8 }), pods: fc.integer({ min: 1, max: 5 }), cordoned: fc.nat(9) }),
        {
          ...{ minLength: 1, maxLength: 3 },
        },
      ),
      pods: fc.array(fc.record({ kind: aKind, node: fc.nat(2) }), { maxLength: 12 }),
      who: aKind,
    })
    .map(({ nodes, pods, who }) => ({
      nodes: nodes.map(({ cpu, pods: most, cordoned }, i) =>
        aNode({ name: `n${i}`, cpu: String(cpu), pods: String(most), unschedulable: cordoned === 0 }),
      ),
      pods: pods
        .filter((each, i) => pods.slice(0, i).filter(({ node }) => node === each.node).length < 6)
        .map(({ kind, node }, i) => made(`p${i}`, kind, `n${node % nodes.length}`)),
      who: made('who', who),
    }));
  const hates = ({ spec }: Pod): string | undefined =>
    spec.affinity?.podAntiAffinity?.[required]?.[0]?.labelSelector?.matchLabels?.['app'];
  const appOf = ({ metadata }: Pod): string | undefined => metadata.labels?.['app'];
  const mayJoin = (who: Pod, node: Node, there: readonly Pod[]): boolean =>
    node.spec.unschedulable !== true &&
    there.length + 1 <= Number(node.status.allocatable?.['pods']) &&
    [...there, who].reduce((sum, { spec }) => sum + needsOf(spec).cpuMilli, 0) <=
      milliOf(node.status.allocatable?.['cpu'] ?? 0) &&
    there.every((other) => hates(who) !== appOf(other) && hates(other) !== appOf(who));
  const priority = ({ spec }: Pod): number => spec.priority ?? 0;
  const there = ({ pods }: World, node: string): readonly Pod[] => pods.filter(({ spec }) => spec.nodeName === node);
  const subsets = <T>(list: readonly T[]): readonly (readonly T[])[] =>
    list.reduce<(readonly T[])[]>((all, each) => [...all, ...all.map((set) => [...set, each])], [[]]);

  it('property: lower priorities alone, never in vain, nobody who could be spared, at the lowest price there is', () => {
    fc.assert(
      fc.property(aWorld, (world) => {
        const { nodes, pods, who } = world;
        const cluster = clusterOf(nodes, pods);
        if (schedule([who], cluster, { start: 0, sample: 64 }).placements.length > 0) return;
        const before = JSON.stringify(cluster.nodes);
        const result = preemptIn(cluster, who);
        assert.equal(JSON.stringify(cluster.nodes), before, 'the cluster is as it was');
        // Every way there is, by brute force: which pods of lower priority on which node.
        const ways = nodes.flatMap((node) => {
          const all = there(world, node.metadata.name);
          const lower = all.filter((each) => priority(each) < priority(who));
          return subsets(lower)
            .filter((victims) =>
              mayJoin(
                who,
                node,
                all.filter((each) => !victims.includes(each)),
              ),
            )
            .map((victims) => Math.max(...victims.map(priority)));
        });
        if (typeof result !== 'object') return assert.deepEqual(ways, []);
        const node = nodes.find(({ metadata }) => metadata.name === result.nodeName);
        assert.ok(node !== undefined);
        const victims = new Set(result.victims.map(({ key }) => key));
        const left = there(world, node.metadata.name).filter((each) => !victims.has(keyOf(each)));
        for (const { pod: victim } of result.victims) {
          assert.ok(priority(victim) < priority(who));
          assert.equal(victim.spec.nodeName, result.nodeName);
          assert.ok(!mayJoin(who, node, [...left, victim]), `${victim.metadata.name} could have been spared`);
        }
        assert.ok(mayJoin(who, node, left), 'it fits afterwards');
        assert.equal(Math.max(...result.victims.map(({ pod: victim }) => priority(victim))), Math.min(...ways));
      }),
      { numRuns: 500 },
    );
  });

  it('property: when the victims are gone the pod is placed where its room was made, with all that others were given', () => {
    const preemption = { budgetsOf: none, ending: new Set<string>(), candidates: 64 };
    fc.assert(
      fc.property(aWorld, fc.array(aKind, { minLength: 1, maxLength: 4 }), ({ nodes, pods }, kinds) => {
        const cluster = clusterOf(nodes, pods);
        const batch = kinds.map((kind, i) => made(`w${i}`, kind)).sort((a, b) => priority(b) - priority(a));
        const { placements, refusals } = schedule(batch, cluster, { start: 0, sample: 64, preemption });
        for (const { ask, nodeName } of placements) cluster.setPod({ ...ask.pod, spec: { ...ask.pod.spec, nodeName } });
        const first = refusals.find(({ preemption: each }) => each !== undefined);
        if (first?.preemption === undefined) return;
        for (const { key } of first.preemption.victims) cluster.removePod(key);
        const { nodeName } = first.preemption;
        const told = { ...first.pod, status: { ...first.pod.status, nominatedNodeName: nodeName } };
        cluster.setPod(told);
        const again = schedule([told], cluster, { start: 0, sample: 64, preemption });
        const isTurnedAway = placements.some(
          ({ ask }) => hates(ask.pod) === appOf(told) || hates(told) === appOf(ask.pod),
        );
        assert.ok(again.placements[0]?.nodeName === nodeName || isTurnedAway);
        for (const { metadata, status } of nodes) {
          const used = cluster.node(metadata.name)?.used.cpuMilli ?? 0;
          const before = there({ nodes, pods, who: told }, metadata.name).reduce(
            (sum, { spec }) => sum + needsOf(spec).cpuMilli,
            0,
          );
          assert.ok(used <= Math.max(before, milliOf(status.allocatable?.['cpu'] ?? 0)), 'over-committed');
        }
      }),
      { numRuns: 500 },
    );
  });
});
