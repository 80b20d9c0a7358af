import assert from 'node:assert/strict';
import { keyOf } from '../../lib/api/keys.ts';
import type { Deployment, Pod, ReplicaSet } from '../../lib/api/objects.ts';
import { conditionOf, isReady } from '../../lib/api/pods.ts';
import { RuntimeError } from '../../node-agent/runtime/runtime.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { PodCounts } from '../support/pod-counts.ts';

const nodes = ['node-1', 'node-2', 'node-3'];
const key = 'default/web';

interface Wish {
  readonly image?: string;
  readonly replicas?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
}
const deployment = ({ image = 'example/web:1', replicas = 4, annotations = {}, spec = {} }: Wish = {}): never =>
  ({
    metadata: { name: 'web', namespace: 'default', annotations },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'app', image, imagePullPolicy: 'Always' }],
        },
      },
      ...spec,
    },
  }) as never;

/** Everything in one process on one clock, while the bus loses every fourth message. */
describe('flow/rollout', function () {
  this.timeout(120_000);
  let cluster: FlowCluster;
  let counts: PodCounts;

  beforeEach(async () => {
    // Every third would be all the heartbeats of one of three nodes.
    cluster = await FlowCluster.start({ nodes: nodes.length, dropEvery: 4 });
    counts = new PodCounts(cluster, 300_000);
  });
  afterEach(() => cluster.stop());

  const active = (): Promise<readonly Pod[]> => counts.active();
  const current = async (): Promise<Deployment> => {
    const found = await cluster.client.get('deployments', key);
    assert.ok(found);
    return found;
  };
  const sets = (): Promise<readonly ReplicaSet[]> => cluster.list('replicasets');
  const imageOf = (pod: Pod): string | undefined => pod.spec.containers[0]?.image;
  const change = (patch: object): Promise<unknown> => cluster.client.patch('deployments', key, patch);
  const setImage = (image: string): Promise<unknown> =>
    change({ spec: { template: { spec: { containers: [{ name: 'app', image, imagePullPolicy: 'Always' }] } } } });
  const progressing = async (): Promise<string> => conditionOf((await current()).status, 'Progressing')?.reason ?? '';

  const until = (what: string, check: () => Promise<boolean>, limitMs?: number): Promise<number> =>
    counts.until(what, check, limitMs);
  const rolledOut = async (image: string, replicas = 4): Promise<boolean> => {
    const [pods, { metadata, status }] = await Promise.all([active(), current()]);
    return (
      pods.length === replicas &&
      pods.every((pod) => isReady(pod) && imageOf(pod) === image) &&
      status.observedGeneration === metadata.generation &&
      status.updatedReplicas === replicas &&
      status.availableReplicas === replicas
    );
  };
  const start = async (wish: Wish = {}): Promise<void> => {
    await cluster.client.create('deployments', deployment(wish));
    await until('the first rollout', () => rolledOut('example/web:1', wish.replicas));
    await until('its end', async () => (await progressing()) === 'NewReplicaSetAvailable');
    counts.start();
  };
  const breakImage = (image: string): void => {
    for (const node of nodes) cluster.engineOf(node).failPulls(image, new RuntimeError('ImageNotFound', `no ${image}`));
  };
  const crashing = (image: string): void => {
    for (const node of nodes)
      cluster.engineOf(node).onStart = (spec) => (spec.image === image ? { exitCode: 3, afterMs: 200 } : undefined);
  };

  it('rolls out, back and forth, within its bounds, whoever is killed meanwhile', async () => {
    await start();
    for (const [index, image] of ['example/web:2', 'example/web:3', 'example/web:1'].entries()) {
      await setImage(image);
      await until('a step', async () => (await active()).some((pod) => imageOf(pod) === image));
      await cluster.restart(['deployment-controller', 'replication-controller', 'scheduler'][index] ?? '');
      await until(`${image} everywhere`, () => rolledOut(image));
    }
    assert.ok(counts.seen.ready >= 4, `only ${counts.seen.ready} of 4 were ready`);
    assert.ok(counts.seen.active <= 5, `${counts.seen.active} were there, of 5 at most`);
    const all = await sets();
    assert.equal(all.length, 3, 'the first template was taken up again');
    const revisions = all.map(({ metadata, spec }) => [
      spec.template.spec.containers[0]?.image,
      metadata.annotations?.['deployment.kubernetes.io/revision'],
    ]);
    assert.deepEqual(Object.fromEntries(revisions), {
      'example/web:2': '2',
      'example/web:3': '3',
      'example/web:1': '4',
    });
    await until(
      'the revision',
      async () => (await current()).metadata.annotations?.['deployment.kubernetes.io/revision'] === '4',
    );
  });

  it('follows its number of replicas, pauses and resumes in the middle, and forgets old templates', async () => {
    // Each step takes so long that a pause comes in time, though its word may be lost until the next look at everything.
    const strategy = { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } };
    await start({ spec: { revisionHistoryLimit: 1, minReadySeconds: 40, strategy } });
    await setImage('example/web:2');
    await until('a step', async () => (await active()).some((pod) => imageOf(pod) === 'example/web:2'));
    await change({ spec: { paused: true } });
    await until('the pause', async () => (await progressing()) === 'DeploymentPaused');
    const mixed = async (): Promise<boolean> => new Set((await active()).map(imageOf)).size === 2;
    await cluster.clock.advance(5_000);
    assert.ok(await mixed(), 'no steps while paused');
    await change({ spec: { replicas: 8 } });
    await until('eight', async () => (await active()).filter(isReady).length >= 8);
    assert.ok(await mixed(), 'both templates have grown');
    await change({ spec: { paused: false } });
    await until('the rest', () => rolledOut('example/web:2', 8));
    await setImage('example/web:3');
    await until('the next', () => rolledOut('example/web:3', 8));
    await until('two templates', async () => (await sets()).length === 2);
  });

  it('recreates: none of the old is there when the first new one comes', async () => {
    await start({ spec: { strategy: { type: 'Recreate' } } });
    await setImage('example/web:2');
    let together = 0;
    await until('the new ones', async () => {
      const images = new Set((await cluster.list('pods')).map(imageOf));
      if (images.size > 1) together++;
      return rolledOut('example/web:2');
    });
    assert.equal(together, 0);
  });

  it('stops at the first failure, says why, loses no pod, and goes on by itself when it is mended', async () => {
    await start();
    breakImage('example/web:2');
    await setImage('example/web:2');
    await until('the verdict', async () => /Image/.test(await progressing()));
    const { message = '', status } = conditionOf((await current()).status, 'Progressing') ?? {};
    assert.equal(status, 'False');
    assert.match(message, /^ReplicaSet "web-\w+" has failed to progress\. pod web-\S+: container app: \w+/);
    assert.equal(conditionOf((await current()).status, 'Available')?.status, 'True');
    for (const node of nodes) cluster.engineOf(node).failPulls('example/web:2', undefined);
    await until('the rest', () => rolledOut('example/web:2'));
    assert.ok(counts.seen.ready >= 4 && counts.seen.active <= 5, JSON.stringify(counts.seen));
  });

  const bad: readonly { readonly it: string; readonly spoil: (image: string) => void; readonly reason: RegExp }[] = [
    { it: 'an image that is not there', spoil: breakImage, reason: /Image/ },
    { it: 'a container that crashes', spoil: crashing, reason: /CrashLoopBackOff/ },
  ];
  for (const { it: what, spoil, reason } of bad)
    it(`takes ${what} back where that is asked for, though the controller dies meanwhile`, async () => {
      // A container that crashes has been ready before: only what stays so for a while counts.
      const spec = { minReadySeconds: 3, strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } };
      await start({ annotations: { 'troupe.dev/on-failed-rollout': 'revert' }, spec });
      spoil('example/web:2');
      await setImage('example/web:2');
      await until('the new template', async () => (await sets()).length === 2);
      await cluster.restart('deployment-controller');
      await until('the old ones alone', async () => {
        const reverted = conditionOf((await current()).status, 'Reverted');
        return reverted !== undefined && (await rolledOut('example/web:1'));
      });
      const { reason: why = '', message = '' } = conditionOf((await current()).status, 'Reverted') ?? {};
      assert.match(why, reason);
      assert.match(message, /^ReplicaSet "web-\w+" failed, back to "web-\w+": pod web-\S+: container app/);
      assert.equal((await current()).spec.template.spec.containers[0]?.image, 'example/web:1');
      assert.ok(counts.seen.ready >= 4, `only ${counts.seen.ready} of 4 were ready`);
      // The next change is judged by itself, and the word of the former is gone.
      await setImage('example/web:3');
      await until('a good one', () => rolledOut('example/web:3'));
      await until('no word of a revert', async () => conditionOf((await current()).status, 'Reverted') === undefined);
    });

  it('says that no progress is made when the deadline passes, with what it knows', async () => {
    await start({ spec: { progressDeadlineSeconds: 20 } });
    await change({ spec: { template: { spec: { nodeSelector: { 'no-such': 'node' } } } } });
    const tookMs = await until('the deadline', async () => (await progressing()) === 'ProgressDeadlineExceeded');
    assert.ok(tookMs >= 15_000 && tookMs < 120_000, `after ${tookMs} ms`);
    assert.ok(counts.seen.ready >= 4);
  });

  it('leaves pods to the next Deployment of its name, which adopts their ReplicaSets', async () => {
    await start();
    const before = (await active()).map(keyOf).sort();
    await cluster.client.delete('deployments', key, { propagationPolicy: 'Orphan' });
    await until('it to go', async () => (await cluster.client.get('deployments', key)) === undefined);
    await cluster.client.create('deployments', deployment());
    await until('the adoption', async () => {
      const [set] = await sets();
      return (
        set?.metadata.ownerReferences?.[0]?.uid === (await current()).metadata.uid && (await rolledOut('example/web:1'))
      );
    });
    assert.deepEqual((await active()).map(keyOf).sort(), before);
    await cluster.client.delete('deployments', key);
    await until('all gone', async () => (await sets()).length === 0 && (await active()).length === 0);
  });
});
