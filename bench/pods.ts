import Docker from 'dockerode';
import { isReady } from '../lib/api/pods.ts';
import type { Pod } from '../lib/api/objects.ts';
import type { Client } from '../lib/client/client.ts';
import { run, TestCluster } from '../test/support/cluster.ts';
import { importBusybox } from '../test/support/docker-engine.ts';
import { cpuSeconds, percentile } from './support.ts';
import { memoryOf } from '../cli/cluster/memory.ts';
import type { BenchContext, BenchFigure, BenchRow } from './row.ts';

const image = 'troupe-test/busybox:1';
const rounds = 10;

/** One real cluster of separate processes for all rows of this group; it ends with the process. */
let shared: Promise<{ cluster: TestCluster; coldStartMs: number }> | undefined;
function cluster(context: BenchContext): Promise<{ cluster: TestCluster; coldStartMs: number }> {
  return (shared ??= (async () => {
    context.say('starting a cluster');
    const started = performance.now();
    const made = await TestCluster.start(220);
    const coldStartMs = performance.now() - started;
    await importBusybox(new Docker({ socketPath: made.dockerSocket }));
    return { cluster: made, coldStartMs };
  })());
}
export const close = async (): Promise<void> => (await shared)?.cluster.stop();

const sleeper = (name: string): never =>
  ({
    metadata: { name, namespace: 'default', labels: { app: 'bench' } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'app', image, command: ['/bin/busybox', 'sleep', '3600'] }],
    },
  }) as never;

/** Resolves when `check` holds for the pod, pushed by a watch, not polled. */
async function untilPod(
  client: Client,
  name: string,
  fromRevision: string,
  check: (pod: Pod | undefined) => boolean,
): Promise<void> {
  for await (const events of client.watch(
    'pods',
    { namespace: 'default', fieldSelector: `metadata.name=${name}`, fromRevision },
    AbortSignal.timeout(30_000),
  )) {
    if (events.some((event) => event.type !== 'BOOKMARK' && check(event.type === 'DELETED' ? undefined : event.object)))
      return;
  }
  throw new Error(`${name} did not get there within 30 s`);
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};

const summary = (times: readonly number[], limit?: number): BenchFigure => ({
  value: percentile(times, 0.5),
  extra: { 'p99 ms': percentile(times, 0.99) },
  ...(limit !== undefined && { limit }),
});

const coldStart: BenchRow = {
  name: 'cold start: nothing running to every part ready (own engine included)',
  unit: 'ms',
  better: 'lower',
  goal: 3_000,
  repeats: 1,
  run: async (context) => ({ value: (await cluster(context)).coldStartMs }),
};

const createToRunning: BenchRow = {
  name: 'real pod, create to Running',
  unit: 'ms p50',
  better: 'lower',
  goal: 250,
  repeats: 3,
  async run(context) {
    const { cluster: made } = await cluster(context);
    const client = made.client();
    const times: number[] = [];
    const bare: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const name = `run-${Date.now()}-${i}`;
      times.push(
        await timed(async () => {
          const pod = await client.create('pods', sleeper(name));
          await untilPod(client, name, pod.metadata.resourceVersion, (now) => now?.status.phase === 'Running');
        }),
      );
      await client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
      bare.push(
        await timed(async () => {
          const said = await run('docker', [
            '-H',
            `unix://${made.dockerSocket}`,
            'run',
            '-d',
            '--net=none',
            '--name',
            `bare-${name}`,
            image,
            '/bin/busybox',
            'sleep',
            '60',
          ]);
          if (said.code !== 0) throw new Error(said.stderr);
        }),
      );
      await run('docker', ['-H', `unix://${made.dockerSocket}`, 'rm', '-f', `bare-${name}`]);
    }
    client.close();
    return summary(times, percentile(bare, 0.5));
  },
};

const killToHealed: BenchRow = {
  name: 'container killed, until it runs again in place',
  unit: 'ms p50',
  better: 'lower',
  goal: 200,
  repeats: 3,
  async run(context) {
    const { cluster: made } = await cluster(context);
    const client = made.client();
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      // A new pod each time: the second death of one container waits for its back-off, as it should.
      const name = `heal-${Date.now()}-${i}`;
      const created = await client.create('pods', sleeper(name));
      let pod: Pod | undefined;
      await untilPod(client, name, created.metadata.resourceVersion, (now) => {
        pod = now;
        return now !== undefined && isReady(now);
      });
      const id = pod?.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
      times.push(
        await timed(async () => {
          const said = await run('docker', ['-H', `unix://${made.dockerSocket}`, 'kill', id]);
          if (said.code !== 0) throw new Error(said.stderr);
          await untilPod(
            client,
            name,
            pod?.metadata.resourceVersion ?? '',
            (now) => now?.status.containerStatuses?.[0]?.restartCount === 1 && isReady(now),
          );
        }),
      );
      await client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
    }
    client.close();
    return summary(times);
  },
};

const deleteToGone: BenchRow = {
  name: 'pod deleted (willing process), until gone from the API',
  unit: 'ms p50',
  better: 'lower',
  goal: 500,
  repeats: 3,
  async run(context) {
    const { cluster: made } = await cluster(context);
    const client = made.client();
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const name = `gone-${Date.now()}-${i}`;
      const willing = {
        ...(sleeper(name) as { metadata: object; spec: object }),
        spec: {
          containers: [
            {
              name: 'app',
              image,
              command: ['/bin/busybox', 'sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.02; done'],
            },
          ],
        },
      } as never;
      const created = await client.create('pods', willing);
      await untilPod(client, name, created.metadata.resourceVersion, (now) => now?.status.phase === 'Running');
      times.push(
        await timed(async () => {
          const last = await client.delete('pods', `default/${name}`);
          await untilPod(client, name, last.metadata.resourceVersion, (now) => now === undefined);
        }),
      );
    }
    client.close();
    return summary(times);
  },
};

const idle: BenchRow = {
  name: 'idle, 1 node, 10 pods: memory (PSS) of control plane and agents, without the engine',
  unit: 'MB',
  better: 'lower',
  goal: 300,
  repeats: 1,
  async run(context) {
    const { cluster: made } = await cluster(context);
    const client = made.client();
    await client.createMany(
      'pods',
      Array.from({ length: 10 }, (_, i) => sleeper(`idle-${i}`)),
    );
    context.say('ten pods, then 30 s of nothing');
    await new Promise((resolve) => setTimeout(resolve, 20_000));
    const parts = made.state().parts.filter((part) => part.name !== 'docker');
    for (const part of parts)
      if (part.pid === undefined) throw new Error(`${part.name} is ${part.state}: ${part.why ?? ''}`);
    const before = parts.map((part) => cpuSeconds(part.pid ?? 0));
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const cpu = parts.map((part, i) => (cpuSeconds(part.pid ?? 0) - (before[i] ?? 0)) / 30);
    const memory = parts.map((part) => (memoryOf(part.pid ?? 0) ?? 0) / 1e6);
    client.close();
    return {
      value: memory.reduce((sum, mb) => sum + mb, 0),
      extra: {
        '% of a core': cpu.reduce((sum, share) => sum + share * 100, 0),
        ...Object.fromEntries(
          parts.flatMap((part, i) => [
            [`${part.name} MB`, memory[i] ?? 0],
            [`${part.name} %`, (cpu[i] ?? 0) * 100],
          ]),
        ),
      },
    };
  },
};

export const rows: readonly BenchRow[] = [coldStart, createToRunning, killToHealed, deleteToGone, idle];
