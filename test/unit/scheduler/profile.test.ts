import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { leaseOf } from '../../../services/scheduler/config.ts';
import { pack } from '../../../lib/placing/profile.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod } from '../../support/builders.ts';

const clusterOf = (nodes: readonly Node[], pods: readonly Pod[] = []): Cluster => {
  const cluster = new Cluster();
  for (const node of nodes) cluster.setNode(node);
  for (const pod of pods) cluster.setPod(pod);
  return cluster;
};
const packed = (pods: readonly Pod[], cluster: Cluster, start = 0): string[] =>
  schedule(pods, cluster, { start, sample: 100, profile: pack }).placements.map(({ nodeName }) => nodeName);

describe('scheduler/profile pack', () => {
  it('fills the fullest node that will do', () => {
    const nodes = ['a', 'b', 'c'].map((name) => aNode({ name }));
    const there = [
      aPod({ name: 'x', nodeName: 'b', cpu: '2' }),
      aPod({ name: 'y', nodeName: 'c', cpu: '3500m', memory: '4Gi' }),
    ];
    assert.deepEqual(packed([aPod({ cpu: '500m' })], clusterOf(nodes, there), 2), ['c']);
    assert.deepEqual(packed([aPod({ cpu: '1' })], clusterOf(nodes, there)), ['b']);
    assert.deepEqual(packed([aPod({ cpu: '3' })], clusterOf(nodes, there)), ['a']);
  });

  it('keeps the pods of one controller together where they fit; what they wish still counts more', () => {
    const nodes = ['a', 'b'].map((name) => aNode({ name }));
    const set = (count: number, spec: Partial<Pod['spec']> = {}): Pod[] =>
      Array.from({ length: count }, (_, i) =>
        aPod({ name: `p${i}`, ownerUid: 'rc', labels: { app: 'web' }, cpu: '1', spec }),
      );
    assert.deepEqual(packed(set(5), clusterOf(nodes)), ['a', 'a', 'a', 'a', 'b']);
    const podAffinityTerm = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } };
    const apart = {
      affinity: {
        podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm }] },
      },
    };
    assert.deepEqual(packed(set(2, apart), clusterOf(nodes)).toSorted(), ['a', 'b']);
  });

  it('takes as few of equal nodes as equal pods need, wherever the last search ended', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(40), fc.nat(10), (nodeCount, podCount, start) => {
        const nodes = Array.from({ length: nodeCount }, (_, i) => aNode({ name: `n${i}`, cpu: '4' }));
        const pods = Array.from({ length: podCount }, (_, i) => aPod({ name: `p${i}`, ownerUid: 'rc', cpu: '1' }));
        const used = new Set(packed(pods, clusterOf(nodes), start));
        assert.equal(used.size, Math.min(nodeCount, Math.ceil(podCount / 4)));
      }),
      { numRuns: 100 },
    );
  });

  it('begins an idle one of equal nodes only for what no other takes', () => {
    const size = fc.constantFrom(500, 1000, 2000, 3000);
    fc.assert(
      fc.property(fc.array(size, { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), (sizes, count) => {
        const nodes = Array.from({ length: count }, (_, i) => aNode({ name: `n${i}`, cpu: '4' }));
        const pods = sizes.map((milli, i) => aPod({ name: `p${i}`, cpu: `${milli}m` }));
        const left = new Map<string, number>();
        const { placements } = schedule(pods, clusterOf(nodes), { start: 3, sample: 100, profile: pack });
        for (const { ask, nodeName } of placements) {
          const asked = ask.needs.cpuMilli;
          if (!left.has(nodeName)) for (const room of left.values()) assert.ok(room < asked, ask.key);
          left.set(nodeName, (left.get(nodeName) ?? 4000) - asked);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('scheduler/config', () => {
  it('has one Lease for each name of a scheduler', () => {
    assert.equal(leaseOf({ schedulerName: 'default-scheduler' }), 'scheduler');
    assert.equal(leaseOf({ schedulerName: 'packer' }), 'scheduler.packer');
  });
});
