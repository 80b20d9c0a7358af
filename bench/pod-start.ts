import type { Pod } from '../lib/api/objects.ts';
import { isReady } from '../lib/api/pods.ts';
import { memoryOf } from '../cli/cluster/memory.ts';
import { infraCommand, infraImageName } from '../node-agent/runtime/infra-image.ts';
import { SteadfastNode } from '../test/support/steadfast-node.ts';
import { until } from '../test/support/until.ts';
import type { BenchContext, BenchFigure, BenchRow } from './row.ts';
import { cpuSeconds, percentile } from './support.ts';

/**
 * What a node makes of pods: the agent's process and an apiserver on a real engine, the pods bound from the start. Each row says beside
 * it what the engine alone takes for the same containers (infra and app, as many at a time) in the same run.
 */
const image = 'troupe-test/busybox:1';
const atOnce = 8;

/** One node for each size of the pool, kept for all rows; the one before it is ended first. */
let shared: { readonly warm: number; readonly node: Promise<SteadfastNode> } | undefined;
async function nodeWith(warm: number, context: BenchContext): Promise<SteadfastNode> {
  if (shared?.warm !== warm) {
    await close();
    context.say(`starting a node that keeps ${warm} sandboxes`);
    shared = { warm, node: SteadfastNode.start(182, ['--warm-sandboxes', String(warm)], true) };
  }
  const node = await shared.node;
  await until(() => node.isAtRest(warm), { what: 'nothing is under way, and the pool is full', timeoutMs: 60_000 });
  return node;
}
export const close = async (): Promise<void> => {
  await (await shared?.node)?.stop();
  shared = undefined;
};

let made = 0;
const names = (count: number): readonly string[] => Array.from({ length: count }, () => `b${made++}`);

const draft = (node: SteadfastNode, name: string, secrets: readonly string[]): never =>
  ({
    metadata: { name, namespace: 'default' },
    spec: {
      nodeName: node.nodeName,
      terminationGracePeriodSeconds: 1,
      volumes: secrets.map((secretName) => ({ name: secretName, secret: { secretName } })),
      containers: [
        {
          ...{ name: 'app', image, command: ['/bin/busybox', 'sleep', '100000'] },
          volumeMounts: secrets.map((secret) => ({ name: secret, mountPath: `/${secret}` })),
        },
      ],
    },
  }) as never;

/** When each of these pods first was so, in ms since now; rejects after two minutes. */
function times(
  node: SteadfastNode,
  wanted: readonly string[],
  check: (pod: Pod | undefined) => boolean,
): Promise<readonly number[]> {
  const began = performance.now();
  const found = new Map<string, number>();
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${wanted.length - found.size} of ${wanted.length} pods did not get there: ${node.agent.said}`));
    }, 120_000);
    node.onPod = (name, pod) => {
      if (!wanted.includes(name) || found.has(name) || !check(pod)) return;
      found.set(name, performance.now() - began);
      if (found.size < wanted.length) return;
      clearTimeout(late);
      resolve([...found.values()]);
    };
  });
}

async function running(
  node: SteadfastNode,
  count: number,
  secrets: readonly string[] = [],
): Promise<{ readonly pods: readonly string[]; readonly ms: readonly number[] }> {
  const pods = names(count);
  const ready = times(node, pods, (pod) => pod !== undefined && isReady(pod));
  await node.client.createMany(
    'pods',
    pods.map((name) => draft(node, name, secrets)),
  );
  return { pods, ms: await ready };
}

async function gone(node: SteadfastNode, pods: readonly string[]): Promise<readonly number[]> {
  const over = times(node, pods, (pod) => pod === undefined);
  await Promise.all(pods.map((name) => node.client.delete('pods', `default/${name}`, { gracePeriodSeconds: 1 })));
  return over;
}

/** The same containers from the engine alone: what a pod costs at least. */
async function bare(node: SteadfastNode, count: number): Promise<readonly number[]> {
  const { docker } = node.engine;
  const ids: string[] = [];
  const began = performance.now();
  const one = async (): Promise<number> => {
    const name = `bare${made++}`;
    const infra = await docker.createContainer({
      ...{ name: `${name}-infra`, Image: infraImageName, Entrypoint: [infraCommand], Hostname: name },
      HostConfig: {
        NetworkMode: 'host',
        IpcMode: 'shareable',
        CapDrop: ['ALL'],
        CapAdd: ['SYS_ADMIN'],
        ReadonlyRootfs: true,
      },
    });
    ids.push(infra.id);
    await infra.start();
    const join = `container:${infra.id}`;
    const app = await docker.createContainer({
      ...{ name, Image: image, Entrypoint: ['/bin/busybox', 'sleep', '100000'] },
      HostConfig: { NetworkMode: join, IpcMode: join },
    });
    ids.push(app.id);
    await app.start();
    return performance.now() - began;
  };
  const took: number[] = [];
  const left = Array.from({ length: count }, () => one);
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) took.push(await next());
    }),
  );
  await Promise.all(ids.map((id) => docker.getContainer(id).remove({ force: true })));
  return took;
}

const figure = (ms: readonly number[], alone: readonly number[]): BenchFigure => ({
  value: percentile(ms, 0.5),
  extra: {
    'p99 ms': percentile(ms, 0.99),
    'engine alone p99 ms': percentile(alone, 0.99),
    'times the engine alone': percentile(ms, 0.5) / percentile(alone, 0.5),
  },
  limit: percentile(alone, 0.5),
});

const create = (count: number, warm: number): BenchRow => ({
  name: `${count} pods at once, create to Ready, ${warm} sandboxes in advance`,
  unit: 'ms p50',
  better: 'lower',
  ...(count === 1 ? { goal: 250 } : {}),
  repeats: 3,
  async run(context) {
    const all: number[] = [];
    const alone: number[] = [];
    for (let round = 0; round < (count === 1 ? 10 : 1); round++) {
      const node = await nodeWith(warm, context);
      alone.push(...(await bare(node, count)));
      const { pods, ms } = await running(node, count);
      all.push(...ms);
      await gone(node, pods);
    }
    return figure(all, alone);
  },
});

/** Until the last of them is. */
const twenty: BenchRow = {
  name: '20 pods at once, until all are Ready, 2 sandboxes in advance',
  unit: 's',
  better: 'lower',
  goal: 2.5,
  repeats: 3,
  async run(context) {
    const node = await nodeWith(2, context);
    const alone = Math.max(...(await bare(node, 20)));
    const { pods, ms } = await running(node, 20);
    await gone(node, pods);
    const last = Math.max(...ms);
    return { value: last / 1000, extra: { 'times the engine alone': last / alone }, limit: alone / 1000 };
  },
};

const heal = (count: number): BenchRow => ({
  name: `${count} containers killed at once, until Ready again`,
  unit: 'ms p50',
  better: 'lower',
  ...(count === 1 ? { goal: 200 } : {}),
  repeats: 3,
  async run(context) {
    const all: number[] = [];
    for (let round = 0; round < (count === 1 ? 10 : 1); round++) {
      const node = await nodeWith(0, context);
      const { pods } = await running(node, count);
      const ids = pods.map((name) => {
        const [status] = node.seen(name).pods.at(-1)?.status.containerStatuses ?? [];
        return status?.containerID?.replace('docker://', '') ?? '';
      });
      const again = times(node, pods, (pod) => {
        const [status] = pod?.status.containerStatuses ?? [];
        return pod !== undefined && status?.restartCount === 1 && isReady(pod);
      });
      await Promise.all(ids.map((id) => node.engine.docker.getContainer(id).kill()));
      all.push(...(await again));
      await gone(node, pods);
    }
    return { value: percentile(all, 0.5), extra: { 'p99 ms': percentile(all, 0.99) } };
  },
});

/** What files in memory cost a start: pods with three Secrets as volumes, in turns with pods without. */
const secretVolumes: BenchRow = {
  name: 'one pod with 3 Secrets as volumes: how much longer until Ready',
  unit: 'ms p50',
  better: 'lower',
  repeats: 3,
  async run(context) {
    const node = await nodeWith(0, context);
    const secrets = ['one', 'two', 'three'];
    for (const name of secrets) {
      const data = { key: Buffer.from(name).toString('base64') };
      const wish = { metadata: { name, namespace: 'default' }, type: 'Opaque', data } as never;
      if ((await node.client.get('secrets', `default/${name}`)) === undefined)
        await node.client.create('secrets', wish);
    }
    const times = { plain: [] as number[], filled: [] as number[] };
    for (let round = 0; round < 10; round++) {
      for (const [kind, volumes] of [
        ['plain', []],
        ['filled', secrets],
      ] as const) {
        const { pods, ms } = await running(node, 1, volumes);
        times[kind].push(...ms);
        await gone(node, pods);
        await nodeWith(0, context);
      }
    }
    const plain = percentile(times.plain, 0.5);
    const filled = percentile(times.filled, 0.5);
    return { value: filled - plain, extra: { 'ms without': plain, 'times as long': filled / plain } };
  },
};

const idle: BenchRow = {
  name: '50 pods for 30 s of nothing: memory (PSS) of the agent',
  unit: 'MB',
  better: 'lower',
  repeats: 1,
  async run(context) {
    const node = await nodeWith(0, context);
    const before = cpuSeconds(node.agent.pid);
    const { pods } = await running(node, 50);
    const starting = cpuSeconds(node.agent.pid) - before;
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const from = cpuSeconds(node.agent.pid);
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const share = ((cpuSeconds(node.agent.pid) - from) / 30) * 100;
    const memory = (memoryOf(node.agent.pid) ?? 0) / 1e6;
    await gone(node, pods);
    return { value: memory, extra: { '% of a core': share, 'CPU ms a pod started': (starting / 50) * 1000 } };
  },
};

const sizes = [1, 10, 50] as const;
export const rows: readonly BenchRow[] = [
  ...sizes.map((count) => create(count, 0)),
  secretVolumes,
  ...sizes.map(heal),
  idle,
  twenty,
  ...sizes.map((count) => create(count, 4)),
];
