import { connectBus } from '../../../lib/bus/nats-bus.ts';
import { allDown, isWrong, readDown } from '../../../lib/bus/traffic-facts.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { until } from '../until.ts';
import { RuleWatch } from './rule-watch.ts';
import type { Scene } from './scene.ts';

/** What one death brought, in ms since the kill. */
export interface Death {
  /** Its node said so on the bus. */
  readonly toldMs: number;
  /** The kernels of all nodes sent nothing there any more. */
  readonly outMs: number;
  /** The same pod served again on all nodes. */
  readonly backMs: number;
}

/**
 * Kills containers one after another as the kernel would, each of another pod than the one before, and watches the bus and all kernels. `onDeath`
 * says whether to go on.
 */
export async function killOneByOne(scene: Scene, count: number, onDeath: (death: Death) => boolean): Promise<void> {
  const watches = [new RuleWatch([]), new RuleWatch(scene.second.space.enter)];
  const { cluster } = scene.cluster.state();
  const bus = connectBus({ servers: [scene.cluster.nats], name: 'kills', cluster, log: silentLog });
  const told = new Map<string, number>();
  const subscription = bus.subscribe(
    allDown(cluster),
    (message) => {
      const fact = readDown(message);
      if (!isWrong(fact)) for (const { uid } of fact.pods) told.set(uid, performance.now());
    },
    () => undefined,
  );
  try {
    await subscription.ready;
    for (let i = 0; i < count; i++) {
      const pods = (await scene.pods()).toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
      const victim = pods[i % pods.length];
      const pid = victim === undefined ? 0 : await scene.pidOf(victim);
      if (victim === undefined || pid === 0) throw new Error('nothing to kill');
      const ip = victim.status.podIP ?? '';
      told.clear();
      const killedMs = performance.now();
      process.kill(pid, 'SIGKILL');
      const after = async (verb: 'add' | 'delete', sinceMs: number): Promise<number> => {
        const seen = (): readonly number[] => watches.flatMap((watch) => watch.when(verb, ip, sinceMs) ?? []);
        await until(() => seen().length === watches.length, { what: `${verb} ${ip}`, timeoutMs: 20_000, everyMs: 5 });
        return Math.max(...seen());
      };
      const outAt = await after('delete', killedMs);
      const backAt = await after('add', killedMs);
      const toldAt = told.get(victim.metadata.uid) ?? outAt;
      if (!onDeath({ toldMs: toldAt - killedMs, outMs: outAt - killedMs, backMs: backAt - killedMs })) return;
      await scene.untilReady(pods.length);
    }
  } finally {
    for (const watch of watches) watch.close();
    await bus.close();
  }
}
