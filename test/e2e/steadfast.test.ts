import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import type { EngineCall } from '../support/engine-proxy.ts';
import { SteadfastNode, type Found } from '../support/steadfast-node.ts';
import { until } from '../support/until.ts';

type Whom = 'agent' | 'engine' | 'both';
interface Strike {
  /** Of the agent's requests; 0: when the pod is ready, and the agent asks nothing. */
  readonly call: number;
  /** A number: after this part of the time that the request took when nothing struck. */
  readonly when: 'before' | 'after' | number;
  readonly whom: Whom;
}

/** A request of the life that nothing struck, and how long it took. */
interface Step extends EngineCall {
  readonly tookMs: number;
}

/** With TROUPE_TEST_LONG=1 every point of the walk; otherwise as many as `sampleMs` allows, drawn by `seed`: the same each time, so that what fails is a change's fault. */
const isLong = (process.env['TROUPE_TEST_LONG'] ?? '') !== '';
const sampleMs = 20_000;
const seed = Number(process.env['TROUPE_TEST_SEED'] ?? (isLong ? Date.now() % 100_000 : 3));

/** One point, 20 times: `TROUPE_TEST_POINT='engine 0.8 2'` strikes the engine when 0.8 of the time of request 2 is over, `'both before 0'` when the pod is ready. */
const only = pointIn(process.env['TROUPE_TEST_POINT']);

/** Sandboxes made in advance take part in every other walk. */
const warm = isLong ? 2 : seed % 2;

const looking = ['before', 'after'] as const;
/** What changes something is struck at in its middle too. */
const acting = ['before', 0.3, 0.6, 0.8, 0.95, 'after'] as const;

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
  async function live(
    strike?: Strike,
    tookMs = 0,
  ): Promise<{ readonly starting: number; readonly steps: readonly Step[] }> {
    const name = `p${pods++}`;
    let struck: Promise<void> | undefined;
    let problem: unknown;
    let wasStarting = false;
    let timer: NodeJS.Timeout | undefined;
    const began = new Map<number, number>();
    const took = new Map<number, number>();
    const hit = async (at: Strike['when'], number: number): Promise<void> => {
      if (strike === undefined || strike.when !== at || strike.call !== number || struck !== undefined) return;
      wasStarting = strike.whom !== 'agent' && [...node.proxy.underWay].some(({ path }) => path.endsWith('/start'));
      struck = strikeDown(strike.whom).catch((error: unknown) => void (problem = error));
      await struck;
    };
    node.proxy.reset({
      before: (_, number) => hit('before', number),
      during(_, number) {
        began.set(number, performance.now());
        if (typeof strike?.when === 'number' && strike.call === number)
          timer = setTimeout(() => void hit(strike.when, number), strike.when * tookMs);
      },
      after(_, number) {
        took.set(number, performance.now() - (began.get(number) ?? 0));
        return hit('after', number);
      },
    });
    /** What the engine has; looked at again where the strike fell while it was asked. */
    const look = async (): Promise<readonly Found[]> => {
      for (;;) {
        const before = struck;
        await struck;
        const found = await node.containers().catch((error: unknown) => {
          if (struck === before) throw error;
          return [];
        });
        if (struck === before) return found;
      }
    };
    const { metadata } = await node.createPod(name, spec());
    await node.untilReady(name).catch((error: unknown) => {
      throw problem ?? error; // what was killed did not come back
    });
    const starting = node.proxy.calls.length;
    await struck;
    assert.equal(problem, undefined, String(problem));
    await node.untilReady(name);
    if (strike?.call === 0) {
      await hit(strike.when, 0);
      assert.equal(problem, undefined, String(problem));
      await nextPodIsReady();
    }
    const found = await look();
    const forgotten = strike === undefined || strike.whom === 'agent' ? [] : found.filter(endForgotten);
    const running = found.filter((container) => !forgotten.includes(container));
    assert.deepEqual(running.map((c) => `${c.kind} ${c.name} ${c.state}${c.error}`).sort(), [
      'container second running',
      'container web running',
      'init init exited',
      'sandbox  running',
    ]);
    const programs = (): readonly string[] => node.processesOf(metadata.uid).filter((text) => text.startsWith('sh -c'));
    assert.equal(programs().length, 2, 'whatever the engine knows of');
    await node.client.delete('pods', `default/${name}`);
    await node.untilGone(name);
    clearTimeout(timer); // a request that took less time than usual: the next life is not for this strike
    await struck;
    const steps = node.proxy.calls.map((call, index) => ({ ...call, tookMs: took.get(index + 1) ?? 0 }));
    for (const container of ['init', 'web', 'second']) {
      const starts = 1 + (container === 'init' ? forgotten.length : 0);
      const lines = readFileSync(join(marks, `${name}-${container}`), 'utf8');
      // Killed in the middle of a start, the engine knows nothing of a container that runs: it is ended, and started once more.
      if (wasStarting && lines === 'start\n'.repeat(starts + 1)) wasStarting = false;
      else assert.equal(lines, 'start\n'.repeat(starts), container);
    }
    assert.deepEqual(node.processesOf(metadata.uid), [], 'processes');
    checkTold(name);
    await until(async () => (await node.containers()).length === 0, { what: 'no container is left' });
    const { routes, devices, ...rest } = node.leftovers();
    assert.deepEqual(rest, { mounts: [], folders: [] });
    const idle = await node.idleAddresses();
    const lost = [...routes, ...devices].filter((line) => !idle.some((ip) => line.startsWith(ip)));
    assert.deepEqual(lost, [], 'routes and neighbours of nobody');
    return { starting, steps };
  }

  /**
   * An engine that is killed between hearing how a container ended and writing it down says 255 when it is back. Nobody knows
   * better, and an init container that may have failed is run again.
   */
  const endForgotten = ({ name, exitCode }: { readonly name: string; readonly exitCode: number }): boolean =>
    name === 'init' && exitCode === 255;

  /** The agent that came back has looked at everything once it has brought up another pod. */
  async function nextPodIsReady(): Promise<void> {
    const name = `next${pods}`;
    const usual = 4;
    await node.createPod(name, { containers: [{ name: 'main', command: ['sleep', '100000'] }] });
    await node.untilReady(name);
    await node.client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
    await node.untilGone(name);
    await until(async () => (await node.containers()).length === usual, { what: 'it left nothing' });
  }

  async function strikeDown(whom: Whom): Promise<void> {
    if (whom !== 'engine') await node.agent.kill();
    if (whom !== 'agent') {
      await node.engine.kill();
      await node.engine.restart();
    }
    if (whom !== 'engine') await node.agent.start();
  }

  function checkTold(name: string): void {
    let ready: Pod | undefined;
    let ip: string | undefined;
    for (const pod of node.seen(name).pods) {
      if (pod.metadata.deletionTimestamp !== undefined) break;
      if (!isReady(pod) && ready !== undefined)
        assert.fail(
          `Ready flipped, from\n${JSON.stringify(ready.status)}\nto\n${JSON.stringify(pod.status)}\n${node.agent.said.slice(-3_000)}`,
        );
      if (isReady(pod)) ready = pod;
      assert.ok(ip === undefined || ip === pod.status.podIP, 'the address changed');
      ip = pod.status.podIP ?? ip;
      for (const status of pod.status.containerStatuses ?? []) assert.equal(status.restartCount, 0);
    }
  }

  it('runs each container once, leaves nothing, and never says Ready too early or takes it back (F47, F54)', async () => {
    const { starting, steps } = await live();
    const whenReady = (['agent', 'engine', 'both'] as const).map((whom): Strike => ({ call: 0, when: 'before', whom }));
    const onRequests = steps.flatMap(({ method }, index) =>
      (['agent', 'engine', 'both'] as const).flatMap((whom) =>
        (method === 'GET' ? looking : acting).map((when): Strike => ({ call: index + 1, when, whom })),
      ),
    );
    const points = [...whenReady, ...onRequests];
    const order =
      only === undefined ? (isLong ? points : shuffled(points, seed)) : Array.from({ length: 20 }, () => only);
    const began = performance.now();
    let done = 0;
    for (const strike of order) {
      if (!isLong && performance.now() - began > sampleMs) break;
      const { method, path, tookMs } = steps[strike.call - 1] ?? { method: '', path: '', tookMs: 0 };
      const when = typeof strike.when === 'number' ? `${(strike.when * tookMs).toFixed(0)} ms into` : strike.when;
      const what = `${strike.whom} killed ${when} (${strike.when}) request ${strike.call} of ${steps.length} (${method} ${path.slice(0, 90)}), start takes ${starting}, seed ${seed}`;
      await live(strike, tookMs).catch((error: unknown) => {
        throw new Error(`${what}: ${String(error)}`, { cause: error });
      });
      done++;
    }
    console.log(`      ${done} of ${points.length} points, seed ${seed}, sandboxes in advance: ${warm}`);
  });
});

function pointIn(text: string | undefined): Strike | undefined {
  const found = /^(agent|engine|both) (before|after|[\d.]+) (\d+)$/.exec(text ?? '');
  if (found === null) return undefined;
  const [, whom, when, call] = found;
  return { whom: whom as Whom, when: when === 'before' || when === 'after' ? when : Number(when), call: Number(call) };
}

/** The same order for the same seed. */
function shuffled<T>(items: readonly T[], from: number): readonly T[] {
  let state = from + 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647);
  return items
    .map((item) => ({ item, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
