import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isReady } from '../../lib/api/pods.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import type { EngineCall } from '../support/engine-proxy.ts';
import { SteadfastNode } from '../support/steadfast-node.ts';
import { until } from '../support/until.ts';

type Whom = 'agent' | 'engine' | 'both';
interface Strike {
  readonly call: number;
  readonly when: 'before' | 'after';
  readonly whom: Whom;
}

/** With TROUPE_TEST_LONG=1 every point of the walk; otherwise as many as `sampleMs` allows, drawn by `seed`. */
const isLong = (process.env['TROUPE_TEST_LONG'] ?? '') !== '';
const sampleMs = 40_000;
const seed = Number(process.env['TROUPE_TEST_SEED'] ?? Date.now() % 100_000);

/** Sandboxes made in advance take part in every other walk. */
const warm = isLong ? 2 : seed % 2;

const why = whyNoDocker();
describe(`node-agent and engine killed at every step${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(isLong ? 3_600_000 : 180_000);
  let node: SteadfastNode;
  let marks: string;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await SteadfastNode.start(180, ['--warm-sandboxes', String(warm)]);
    marks = join(node.folder, 'marks');
    mkdirSync(marks);
  });
  after(() => node?.stop());

  /** Every start of a container adds a line to a file of its own: the engine's and our own words are not asked. */
  const marking = (name: string, then: string) => ({
    name,
    command: ['sh', '-c', `echo start >> /marks/$POD-${name}; ${then}`],
    env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
    volumeMounts: [
      { name: 'marks', mountPath: '/marks' },
      { name: 'memory', mountPath: '/memory' },
    ],
  });
  const willing = 'trap "exit 0" TERM; sleep 100000 & wait';
  const spec = () => ({
    volumes: [
      { name: 'marks', hostPath: { path: marks } },
      { name: 'memory', emptyDir: { medium: 'Memory' as const, sizeLimit: '1Mi' } },
    ],
    initContainers: [marking('init', 'echo here > /memory/file')],
    containers: [
      {
        ...marking('web', `mkdir /tmp/w; cp /memory/file /tmp/w/; httpd -p 80 -h /tmp/w; ${willing}`),
        readinessProbe: { httpGet: { path: '/file', port: 80 } },
      },
      marking('second', willing),
    ],
  });

  let pods = 0;
  /** One pod's life with one strike. Resolves to the requests that its start and its stop took. */
  async function live(strike?: Strike): Promise<{ readonly starting: number; readonly calls: readonly EngineCall[] }> {
    const name = `p${pods++}`;
    let struck: Promise<void> | undefined;
    let problem: unknown;
    const hit = async (at: Strike['when'], number: number): Promise<void> => {
      if (strike === undefined || strike.when !== at || strike.call !== number || struck !== undefined) return;
      struck = strikeDown(strike.whom).catch((error: unknown) => void (problem = error));
      await struck;
    };
    node.proxy.reset({ before: (_, number) => hit('before', number), after: (_, number) => hit('after', number) });
    await node.createPod(name, spec());
    await node.untilReady(name).catch((error: unknown) => {
      throw problem ?? error; // what was killed did not come back
    });
    const starting = node.proxy.calls.length;
    await struck;
    assert.equal(problem, undefined, String(problem));
    await node.untilReady(name);
    const found = await node.containers();
    const forgotten = strike === undefined || strike.whom === 'agent' ? [] : found.filter(endForgotten);
    const running = found.filter((container) => !forgotten.includes(container));
    assert.deepEqual(running.map((c) => `${c.kind} ${c.name} ${c.state}`).sort(), [
      'container second running',
      'container web running',
      'init init exited',
      'sandbox  running',
    ]);
    await node.client.delete('pods', `default/${name}`);
    await node.untilGone(name);
    await struck;
    const calls = [...node.proxy.calls];
    for (const container of ['init', 'web', 'second']) {
      const starts = 1 + (container === 'init' ? forgotten.length : 0);
      assert.equal(readFileSync(join(marks, `${name}-${container}`), 'utf8'), 'start\n'.repeat(starts), container);
    }
    checkTold(name);
    await until(async () => (await node.containers()).length === 0, { what: 'no container is left' });
    const { routes, devices, ...rest } = node.leftovers();
    assert.deepEqual(rest, { mounts: [], folders: [] });
    const idle = await node.idleAddresses();
    const lost = [...routes, ...devices].filter((line) => !idle.some((ip) => line.startsWith(ip)));
    assert.deepEqual(lost, [], 'routes and neighbours of nobody');
    return { starting, calls };
  }

  /**
   * An engine that is killed between hearing how a container ended and writing it down says 255 when it is back. Nobody knows
   * better, and an init container that may have failed is run again.
   */
  const endForgotten = ({ name, exitCode }: { readonly name: string; readonly exitCode: number }): boolean =>
    name === 'init' && exitCode === 255;

  async function strikeDown(whom: Whom): Promise<void> {
    if (whom !== 'engine') await node.agent.kill();
    if (whom !== 'agent') {
      await node.engine.kill();
      await node.engine.restart();
    }
    if (whom !== 'engine') await node.agent.start();
  }

  function checkTold(name: string): void {
    let ready = false;
    let ip: string | undefined;
    for (const pod of node.seen(name).pods) {
      if (pod.metadata.deletionTimestamp !== undefined) break;
      assert.ok(isReady(pod) || !ready, 'Ready flipped');
      ready = isReady(pod);
      assert.ok(ip === undefined || ip === pod.status.podIP, 'the address changed');
      ip = pod.status.podIP ?? ip;
      for (const status of pod.status.containerStatuses ?? []) assert.equal(status.restartCount, 0);
    }
  }

  it('runs each container once, leaves nothing, and never says Ready too early or takes it back (F47, F54)', async () => {
    const { starting, calls } = await live();
    const points = calls.flatMap((_, index) =>
      (['agent', 'engine', 'both'] as const).flatMap((whom) =>
        (['before', 'after'] as const).map((when): Strike => ({ call: index + 1, when, whom })),
      ),
    );
    const order = isLong ? points : shuffled(points, seed);
    const began = performance.now();
    let done = 0;
    for (const strike of order) {
      if (!isLong && performance.now() - began > sampleMs) break;
      const { method, path } = calls[strike.call - 1] ?? { method: '', path: '' };
      const what = `${strike.whom} killed ${strike.when} request ${strike.call} of ${calls.length} (${method} ${path}), start takes ${starting}, seed ${seed}`;
      await live(strike).catch((error: unknown) => {
        throw new Error(`${what}: ${String(error)}`, { cause: error });
      });
      done++;
    }
    console.log(`      ${done} of ${points.length} points, seed ${seed}, sandboxes in advance: ${warm}`);
  });
});

/** The same order for the same seed. */
function shuffled<T>(items: readonly T[], from: number): readonly T[] {
  let state = from + 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647);
  return items
    .map((item) => ({ item, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
