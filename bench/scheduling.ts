import { Cluster } from '../lib/placing/cluster.ts';
import { scheduleGangs } from '../services/scheduler/gang.ts';
import { pack, spread, type Profile } from '../lib/placing/profile.ts';
import { gangAnnotation, gangSizeAnnotation } from '../lib/api/gangs.ts';
import { aNode, aPod, type PodOptions } from '../test/support/builders.ts';
import type { Pod } from '../lib/api/objects.ts';
import type { BenchRow } from './row.ts';

const podsPerNode = 30;
const owners = 100;
const batch = 500;

type Rules = Pick<Pod['spec'], 'affinity' | 'topologySpreadConstraints'>;
/** What a set of pods says of where they may be, by the set's name. */
const plain = (): Rules => ({});
const spreadEvenly = (app: string): Rules => ({
  topologySpreadConstraints: [
    { key: 'topology.kubernetes.io/zone', skew: 1 },
    { key: 'kubernetes.io/hostname', skew: 1 },
  ].map(({ key, skew }) => ({
    maxSkew: skew,
    topologyKey: key,
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: { app } },
  })),
});
const apartAndNear = (app: string): Rules => ({
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } },
      ],
    },
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: 'topology.kubernetes.io/zone', labelSelector: { matchLabels: { app } } },
      ],
    },
  },
});

const pod = (name: string, i: number, options: PodOptions): Pod =>
  aPod({
    ...options,
    name,
    ownerUid: `rc-${i % owners}`,
    labels: { app: `a${i % owners}` },
    cpu: '10m',
    memory: '20Mi',
  });

interface How {
  readonly profile?: Profile;
  /** Pods come in gangs of so many. */
  readonly gangSize?: number;
  readonly podsMax?: number;
}
const measured = 10_000;
const gangFields = (i: number, size: number | undefined): Pick<PodOptions, 'annotations'> =>
  size === undefined
    ? {}
    : { annotations: { [gangAnnotation]: `gang-${Math.floor(i / size)}`, [gangSizeAnnotation]: String(size) } };

/**
 * The decision alone, without API: pods placed a second, in batches, on nodes that hold 30 pods each in three zones. Of pods that must
 * be apart by machine there are at most as many as machines.
 */
function placing(nodeCount: number, what = '', rulesOf: (app: string) => Rules = plain, how: How = {}): BenchRow {
  const { profile = spread, gangSize, podsMax = 1000 } = how;
  return {
    name: `scheduling decision, ${nodeCount} nodes${what}`,
    unit: 'pods/s',
    better: 'higher',
    goal: 20_000,
    run: async () => {
      const cluster = new Cluster();
      for (let i = 0; i < nodeCount; i++) {
        const labels = { 'topology.kubernetes.io/zone': `z${i % 3}`, 'kubernetes.io/hostname': `n${i}` };
        cluster.setNode(aNode({ name: `n${i}`, labels, cpu: '64', memory: '256Gi', pods: String(podsMax) }));
      }
      for (let i = 0; i < nodeCount * podsPerNode; i++) {
        cluster.setPod(pod(`old${i}`, i, { nodeName: `n${i % nodeCount}` }));
      }
      const pending = Array.from({ length: measured }, (_, i) =>
        pod(`new${i}`, i, { spec: rulesOf(`a${i % owners}`), ...gangFields(i, gangSize) }),
      );
      let start = 0;
      let slowestMs = 0;
      const beganMs = performance.now();
      for (let i = 0; i < measured; i += batch) {
        const batchMs = performance.now();
        const result = scheduleGangs(pending.slice(i, i + batch), cluster, {
          start,
          sample: 64,
          profile,
          placedOf: () => 0,
        });
        for (const { ask, nodeName } of result.placements) cluster.assume(ask, nodeName);
        if (result.refusals.length > 0) throw new Error(`refused: ${result.refusals[0]?.message}`);
        start = result.start;
        slowestMs = Math.max(slowestMs, performance.now() - batchMs);
      }
      const seconds = (performance.now() - beganMs) / 1000;
      return { value: measured / seconds, extra: { 'slowest batch of 500 (ms)': slowestMs } };
    },
  };
}

export const rows: BenchRow[] = [
  placing(100),
  placing(1_000),
  placing(5_000),
  ...[1_000, 5_000].flatMap((nodes) => [
    placing(nodes, ', spread over machines and zones', spreadEvenly),
    placing(nodes, ', apart by machine and near by zone', apartAndNear),
  ]),
  placing(5_000, ', packed, a third of them filled on the way', plain, { profile: pack, podsMax: podsPerNode + 6 }),
  placing(5_000, ', in gangs of 100', plain, { gangSize: 100 }),
];
