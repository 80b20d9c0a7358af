import Docker from 'dockerode';
import type { Deployment, Pod, ReplicationController } from '../lib/api/objects.ts';
import { conditionOf, isActive, isReady } from '../lib/api/pods.ts';
import { rollingStatusOf, rollingUpdateAnnotation } from '../lib/api/rolling-updates.ts';
import type { Resource, Objects } from '../lib/api/kinds.ts';
import { eachAtMost } from '../lib/base/parallel.ts';
import type { Client } from '../lib/client/client.ts';
import { run, TestCluster } from '../test/support/cluster.ts';
import { importBusybox } from '../test/support/docker-engine.ts';
import { percentile } from './support.ts';
import type { BenchContext, BenchRow } from './row.ts';

const image = 'troupe-test/busybox:1';
const count = 50;
const namespace = 'default';
/** Ends at once when asked to, so that what is measured is ours and the engine's. */
const command = ['sh', '-c', 'trap exit TERM; sleep 3600 & wait'];
const quarter = '25%';

/** One real cluster on one machine for all rows; it ends with the process. */
let shared: Promise<TestCluster> | undefined;
function cluster(context: BenchContext): Promise<TestCluster> {
  return (shared ??= (async () => {
    context.say('starting a cluster');
    const made = await TestCluster.start(205);
    await importBusybox(new Docker({ socketPath: made.dockerSocket }), image);
    return made;
  })());
}
export const close = async (): Promise<void> => (await shared)?.stop();

const templateOf = (labels: object, release: string): object => ({
  metadata: { labels },
  spec: {
    terminationGracePeriodSeconds: 5,
    containers: [{ name: 'app', image, command, env: [{ name: 'RELEASE', value: release }] }],
  },
});

/** Resolves when `check` holds for an object of that kind, pushed by a watch, not polled. */
async function untilSeen<R extends Resource>(
  client: Client,
  resource: R,
  check: (object: Objects[R]) => boolean,
): Promise<void> {
  const { items, revision } = await client.list(resource, { namespace });
  if (items.some(check)) return;
  const signal = AbortSignal.timeout(300_000);
  for await (const events of client.watch(resource, { namespace, fromRevision: revision }, signal))
    if (events.some(({ type, object }) => type !== 'DELETED' && object !== undefined && check(object))) return;
}

/** The fewest ready and the most active pods while `work` goes on. */
async function counted(client: Client, work: () => Promise<void>): Promise<{ fewest: number; most: number }> {
  const { items, revision } = await client.list('pods', { namespace });
  const pods = new Map<string, Pod>(items.map((pod) => [pod.metadata.uid, pod]));
  const stop = new AbortController();
  let [fewest, most] = [Infinity, 0];
  const look = (): void => {
    const active = [...pods.values()].filter(isActive);
    fewest = Math.min(fewest, active.filter(isReady).length);
    most = Math.max(most, active.length);
  };
  look();
  const watching = (async () => {
    for await (const events of client.watch('pods', { namespace, fromRevision: revision }, stop.signal))
      for (const { type, object } of events) {
        if (object === undefined) continue;
        if (type === 'DELETED') pods.delete(object.metadata.uid);
        else pods.set(object.metadata.uid, object);
        look();
      }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  try {
    await work();
  } finally {
    stop.abort();
    await watching;
  }
  return { fewest, most };
}

const timed = async (work: () => Promise<void>): Promise<number> => {
  const from = performance.now();
  await work();
  return performance.now() - from;
};

/** What the engine alone takes to make so many containers and to remove as many, a few at a time. */
async function bare(made: TestCluster): Promise<number> {
  const docker = (...words: readonly string[]): Promise<unknown> =>
    run('docker', ['-H', `unix://${made.dockerSocket}`, ...words]);
  const names = Array.from({ length: count }, (_, i) => `bare-${String(i)}`);
  return timed(() =>
    eachAtMost(4, names, async (name) => {
      await docker('run', '-d', '--net=none', '--name', name, image, '/bin/busybox', 'sleep', '600');
      await docker('rm', '-f', name);
    }),
  );
}

const isOver = ({ metadata, status }: Deployment): boolean =>
  status.observedGeneration === metadata.generation &&
  conditionOf(status, 'Progressing')?.reason === 'NewReplicaSetAvailable' &&
  status.updatedReplicas === count &&
  status.availableReplicas === count;

const ofDeployment: BenchRow = {
  name: `rolling update of a Deployment of ${String(count)} real pods on one machine, a quarter besides, a quarter missing`,
  unit: 's',
  better: 'lower',
  repeats: 1,
  async run(context) {
    const made = await cluster(context);
    const client = made.client();
    const labels = { app: 'bench' };
    const strategy = { rollingUpdate: { maxSurge: quarter, maxUnavailable: quarter } };
    const spec = { replicas: count, strategy, selector: { matchLabels: labels }, template: templateOf(labels, '1') };
    context.say(`${String(count)} pods`);
    await client.create('deployments', { metadata: { name: 'bench', namespace }, spec });
    await untilSeen(client, 'deployments', isOver);
    const times: number[] = [];
    let seen = { fewest: 0, most: 0 };
    for (const release of ['2', '3', '4']) {
      context.say(`release ${release}`);
      seen = await counted(client, async () => {
        times.push(
          await timed(async () => {
            const patch = { spec: { template: templateOf(labels, release) } };
            const { metadata } = await client.patch('deployments', `${namespace}/bench`, patch);
            await untilSeen(client, 'deployments', (d) => d.metadata.generation === metadata.generation && isOver(d));
          }),
        );
      });
    }
    await client.delete('deployments', `${namespace}/bench`);
    const limit = (await bare(made)) / 1000;
    client.close();
    const extra = { 'fewest ready': seen.fewest, 'most there': seen.most, 'slowest s': Math.max(...times) / 1000 };
    return { value: percentile(times, 0.5) / 1000, extra, limit };
  },
};

const ofController: BenchRow = {
  name: `rolling update of a ReplicationController of ${String(count)} real pods on one machine, a quarter besides, none missing`,
  unit: 's',
  better: 'lower',
  repeats: 1,
  async run(context) {
    const made = await cluster(context);
    const client = made.client();
    const rc = (version: string, replicas: number, annotations: object): Promise<ReplicationController> => {
      const selector = { app: 'rolled', version };
      const spec = { replicas, selector, template: templateOf(selector, version) };
      const metadata = { name: `rolled-${version}`, namespace, annotations };
      return client.create('replicationcontrollers', { metadata, spec } as never);
    };
    context.say(`${String(count)} pods`);
    await rc('1', count, {});
    await untilSeen(client, 'replicationcontrollers', ({ status }) => status.availableReplicas === count);
    const times: number[] = [];
    let seen = { fewest: 0, most: 0 };
    for (const version of [2, 3]) {
      context.say(`version ${String(version)}`);
      const agreement = { from: `rolled-${String(version - 1)}`, replicas: count, maxSurge: quarter };
      seen = await counted(client, async () => {
        times.push(
          await timed(async () => {
            const { metadata } = await rc(String(version), 0, { [rollingUpdateAnnotation]: JSON.stringify(agreement) });
            const isDone = (each: ReplicationController): boolean =>
              each.metadata.uid === metadata.uid && rollingStatusOf(each)?.phase === 'Succeeded';
            await untilSeen(client, 'replicationcontrollers', isDone);
          }),
        );
      });
    }
    await client.delete('replicationcontrollers', `${namespace}/rolled-3`, { propagationPolicy: 'Background' });
    client.close();
    const extra = { 'fewest ready': seen.fewest, 'most there': seen.most, 'slowest s': Math.max(...times) / 1000 };
    return { value: percentile(times, 0.5) / 1000, extra };
  },
};

export const rows: readonly BenchRow[] = [ofDeployment, ofController];
