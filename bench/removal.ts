import { isReady } from '../lib/api/pods.ts';
import { killOneByOne, type Death } from '../test/support/removal/kills.ts';
import { Scene } from '../test/support/removal/scene.ts';
import { percentile } from './support.ts';
import type { BenchContext, BenchRow } from './row.ts';

/**
 * The long form of `test/e2e/removal.test.ts`: two real nodes, ten pods of a program that dies at once on SIGTERM, clients in pods and
 * outside. `TROUPE_BENCH_REQUESTS` (500000) and `TROUPE_BENCH_KILLS` (1000) say how much; 0 leaves a row out.
 */
const wantedRequests = Number(process.env['TROUPE_BENCH_REQUESTS'] ?? 500_000);
const wantedKills = Number(process.env['TROUPE_BENCH_KILLS'] ?? 1_000);
const replicas = 10;
/** Neither row goes on for longer; the table says how far it came. */
const longestMs = Number(process.env['TROUPE_BENCH_MINUTES'] ?? 14) * 60_000;

let shared: Promise<Scene> | undefined;
function scene(context: BenchContext): Promise<Scene> {
  return (shared ??= (async () => {
    context.say('starting two nodes');
    const made = await Scene.start(174);
    await made.scaleTo(replicas);
    return made;
  })());
}
export const close = async (): Promise<void> => (await shared)?.close();

/** Scale down and up, single deletions, rolling replacements, a drain, and a proxy that hangs meanwhile. */
async function plannedChanges(on: Scene, say: (text: string) => void): Promise<void> {
  say('scaling 10 to 1 to 10');
  await on.scaleTo(1);
  await on.scaleTo(replicas);
  say('deleting three pods');
  await on.delete((await on.pods()).filter(isReady).slice(0, 3));
  await on.untilReady(replicas);
  for (let round = 1; round <= 5; round++) {
    say(`replacing all pods, round ${round}`);
    await on.replaceAll(2);
  }
  say('draining node-2');
  await on.drain('node-2');
  await on.cordon('node-2', false);
  say('replacing all pods while the proxy of node-1 hangs');
  on.cluster.kill('proxy', 'SIGSTOP');
  await on.replaceAll(5);
}

const lostRequests: BenchRow = {
  name: 'requests lost in planned changes, of a program that dies at once on SIGTERM',
  unit: 'requests',
  better: 'lower',
  goal: 0,
  repeats: 1,
  async run(context) {
    const on = await scene(context);
    await on.load([
      { keep: false, workers: 3, pauseMs: 0 },
      { keep: true, workers: 4, pauseMs: 0 },
      { keep: true, workers: 10, pauseMs: 300 },
      { keep: false, workers: 2, pauseMs: 50, path: '/150' },
    ]);
    const began = performance.now();
    await plannedChanges(on, (text) => {
      context.say(text);
    });
    const changedInMs = performance.now() - began;
    while ((await on.requests()) < wantedRequests && performance.now() - began < longestMs) {
      context.say(`replacing all pods on and on: ${await on.requests()} requests`);
      await on.replaceAll(2);
    }
    const figures = (await on.unload()).flatMap((each) => each.figures);
    const sum = (read: (each: (typeof figures)[number]) => number): number =>
      figures.reduce((total, each) => total + read(each), 0);
    const notConfirmed = await on.events('WithdrawalNotConfirmed');
    for (const text of [...figures.flatMap(({ failures }) => failures), ...notConfirmed]) context.say(text);
    return {
      value: sum(({ failed }) => failed),
      extra: {
        requests: sum(({ requests }) => requests),
        "clients' own races": sum(({ races }) => races),
        'slowest ms': Math.max(...figures.map(({ slowestMs }) => slowestMs)),
        'changes s': changedInMs / 1000,
        'not confirmed': notConfirmed.length,
      },
    };
  },
};

const deaths: BenchRow = {
  name: 'container killed under load, until no kernel sends there',
  unit: 'ms p99',
  better: 'lower',
  goal: 50,
  repeats: 1,
  async run(context) {
    const on = await scene(context);
    await on.load([{ keep: false, workers: 2, pauseMs: 10 }]);
    const seen: Death[] = [];
    const untilMs = performance.now() + longestMs;
    await killOneByOne(on, wantedKills, (death) => {
      seen.push(death);
      if (seen.length % 50 === 0) context.say(`${seen.length} deaths`);
      return performance.now() < untilMs;
    });
    await on.unload();
    const out = seen.map(({ outMs }) => outMs);
    const told = seen.map(({ toldMs }) => toldMs);
    const back = seen.map(({ backMs }) => backMs);
    return {
      value: percentile(out, 0.99),
      extra: {
        deaths: seen.length,
        'p50 ms': percentile(out, 0.5),
        'worst ms': Math.max(...out),
        'told on the bus p50 ms': percentile(told, 0.5),
        'told on the bus p99 ms': percentile(told, 0.99),
        'serving again p50 ms': percentile(back, 0.5),
        'serving again p99 ms': percentile(back, 0.99),
        ...histogram('out', out, [10, 20, 50, 100, 200, 500]),
        ...histogram('again', back, [200, 300, 500, 1_000, 2_000]),
      },
    };
  },
};

/** How many were there within each of these times, in ms. */
const histogram = (what: string, values: readonly number[], bounds: readonly number[]): Record<string, number> =>
  Object.fromEntries(bounds.map((ms) => [`${what} within ${ms} ms`, values.filter((value) => value <= ms).length]));

export const rows: readonly BenchRow[] = [
  ...(wantedRequests > 0 ? [lostRequests] : []),
  ...(wantedKills > 0 ? [deaths] : []),
];
