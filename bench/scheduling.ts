import { Cluster } from '../services/scheduler/cluster.ts';
import { schedule } from '../services/scheduler/schedule.ts';
import { aNode, aPod } from '../test/support/builders.ts';
import type { Pod } from '../lib/api/objects.ts';
import type { BenchRow } from './row.ts';

const podsPerNode = 30;
const owners = 100;
const batch = 500;
const measured = 10_000;

const pod = (name: string, i: number, nodeName?: string): Pod =>
  aPod({
    name,
    ...(nodeName === undefined ? {} : { nodeName }),
    ownerUid: `rc-${i % owners}`,
    labels: { app: `a${i % owners}` },
    cpu: '10m',
    memory: '20Mi',
  });

/** The decision alone, without API: pods placed a second, in batches, on nodes that hold 30 pods each in three zones. */
function placing(nodeCount: number): BenchRow {
  return {
    name: `scheduling decision, ${nodeCount} nodes`,
    unit: 'pods/s',
    better: 'higher',
    goal: 20_000,
    run: async () => {
      const cluster = new Cluster();
      for (let i = 0; i < nodeCount; i++) {
        const labels = { 'topology.kubernetes.io/zone': `z${i % 3}` };
        cluster.setNode(aNode({ name: `n${i}`, labels, cpu: '64', memory: '256Gi', pods: '1000' }));
      }
      for (let i = 0; i < nodeCount * podsPerNode; i++) cluster.setPod(pod(`old${i}`, i, `n${i % nodeCount}`));
      const pending = Array.from({ length: measured }, (_, i) => pod(`new${i}`, i));
      let start = 0;
      let slowestMs = 0;
      const beganMs = performance.now();
      for (let i = 0; i < measured; i += batch) {
        const batchMs = performance.now();
        const result = schedule(pending.slice(i, i + batch), cluster, { start, sample: 64 });
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

export const rows: BenchRow[] = [placing(100), placing(1_000), placing(5_000)];
