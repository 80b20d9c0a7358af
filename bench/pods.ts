import { request } from 'node:http';
import Docker from 'dockerode';
import { isReady } from '../lib/api/pods.ts';
import type { Pod } from '../lib/api/objects.ts';
import type { Client } from '../lib/client/client.ts';
import { run, TestCluster } from '../test/support/cluster.ts';
import { importBusybox } from '../test/support/docker-engine.ts';
import { until } from '../test/support/until.ts';
import { percentile, sleeper } from './support.ts';
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

/** The connection waits in the node's proxy, which says so; autoscaler, controller, scheduler, agent and Endpoints do the rest. */
const zeroToAnswered: BenchRow = {
  name: 'first connection to a Service at zero, until answered',
  unit: 'ms p50',
  better: 'lower',
  repeats: 3,
  async run(context) {
    const { cluster: made } = await cluster(context);
    const client = made.client();
    const name = `asleep-${Date.now()}`;
    const address = await asleep(client, name);
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) {
      await sleeps(client, name);
      times.push(await timed(() => firstAnswer(address)));
      await client.patch('replicationcontrollers', `default/${name}`, { spec: { replicas: 0 } });
    }
    for (const resource of ['horizontalpodautoscalers', 'services', 'replicationcontrollers'] as const)
      await client.delete(resource, `default/${name}`);
    client.close();
    return summary(times);
  },
};

/** Resolves when nothing of it has run for a while: a proxy says once a second at most that a Service is wanted. */
async function sleeps(client: Client, name: string): Promise<void> {
  let sinceMs = performance.now();
  await until(
    async () => {
      const [rc, { items }] = await Promise.all([
        client.get('replicationcontrollers', `default/${name}`),
        client.list('pods', { namespace: 'default', labelSelector: `app=${name}` }),
      ]);
      if (items.length > 0 || rc?.spec.replicas !== 0) sinceMs = performance.now();
      return performance.now() - sinceMs > 1_200;
    },
    { what: 'no pod is left', timeoutMs: 60_000 },
  );
}

/** A Service without a pod, and what wakes it; resolves to its address. */
async function asleep(client: Client, name: string): Promise<string> {
  const metadata = { name, namespace: 'default' };
  const labels = { app: name };
  const command = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/bin'];
  const spec = { terminationGracePeriodSeconds: 0, containers: [{ name: 'app', image, command }] };
  await client.create('replicationcontrollers', {
    ...{ metadata, spec: { replicas: 0, selector: labels, template: { metadata: { labels }, spec } } },
  });
  const service = await client.create('services', {
    metadata: { ...metadata, annotations: { 'troupe.dev/hold-seconds': '60' } },
    spec: { selector: labels, ports: [{ port: 80 }] },
  });
  const object = {
    describedObject: { apiVersion: 'v1', kind: 'Service', name },
    metric: { name: 'connections-per-second' },
    target: { type: 'AverageValue', averageValue: '1k' },
  };
  await client.create('horizontalpodautoscalers', {
    metadata,
    spec: {
      scaleTargetRef: { apiVersion: 'v1', kind: 'ReplicationController', name },
      ...{ minReplicas: 0, maxReplicas: 1, metrics: [{ type: 'Object', object }] },
      behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
    },
  } as never);
  const address = service.spec.clusterIP ?? '';
  await until(() => firstAnswer(address).then(Boolean, () => false), {
    what: 'its node knows the Service',
    timeoutMs: 60_000,
  });
  await client.patch('replicationcontrollers', `default/${name}`, { spec: { replicas: 0 } });
  return address;
}

const firstAnswer = (address: string): Promise<true> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: address, path: '/', agent: false }, (answer) =>
      answer.resume().on('end', () => resolve(true)),
    );
    asked.on('error', reject).end();
  });

export const rows: readonly BenchRow[] = [coldStart, createToRunning, killToHealed, deleteToGone, zeroToAnswered];
