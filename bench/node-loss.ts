import { setTimeout as delay } from 'node:timers/promises';
import { drawn, LossScene, type LossFigures } from '../test/support/hollow/loss-scene.ts';
import { losses, type HollowNode, type Loss } from '../test/support/hollow/node.ts';
import { percentile } from './support.ts';
import type { BenchRow } from './row.ts';

const rounds = 5;
const random = drawn(11);

/**
 * Four of eight nodes are lost at once, five times over: killed, frozen, silent, cut off. The control plane and each real agent are a
 * process; the engines are not real, so that a container starts in no time. The worst of all counts.
 */
const lost = (what: string, goal: number, timesOf: (figures: LossFigures) => readonly number[]): BenchRow => ({
  name: `nodes lost, ${what}`,
  unit: 'ms',
  better: 'lower',
  goal,
  repeats: 1,
  async run(context) {
    context.say('starting the control plane and eight agents');
    const scene = await LossScene.start({ nodes: 8, replicas: 8 });
    try {
      await delay(6_000); // after its start the node controller concludes nothing for 5 s
      const all: LossFigures[] = [];
      for (let round = 0; round < rounds; round++) {
        context.say(`loss ${round + 1} of ${rounds}`);
        const struck = random(scene.nodes).slice(0, losses.length);
        const how = new Map<HollowNode, Loss>(struck.map((node, i) => [node, losses[i] ?? 'killed']));
        all.push(await scene.lose(how));
        await scene.heal();
      }
      const times = all.flatMap(timesOf);
      const boundMs = all.map((figures) => figures.boundMs);
      return {
        value: Math.max(...times),
        extra: { 'p50 ms': percentile(times, 0.5), 'bound p50 ms': percentile(boundMs, 0.5) },
      };
    } finally {
      await scene.stop();
    }
  },
});

export const rows: readonly BenchRow[] = [
  lost('until none of its addresses is in the Endpoints', 2_500, ({ outMs }) => outMs),
  lost('until as many pods are Ready elsewhere', 7_000, ({ readyMs }) => [readyMs]),
];
