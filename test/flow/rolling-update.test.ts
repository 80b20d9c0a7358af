import assert from 'node:assert/strict';
import type { Pod, ReplicationController } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import {
  rollingOrderAnnotation,
  rollingStatusOf,
  rollingUpdateAnnotation,
  type RollingOrder,
  type RollingStatus,
} from '../../lib/api/rolling-updates.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { PodCounts } from '../support/pod-counts.ts';
import { RegistryClient } from '../support/registry-client.ts';
import { start } from '../unit/cli/run.ts';

interface Wish {
  readonly name: string;
  readonly image: string;
  readonly version?: string;
  readonly replicas?: number;
  readonly agreement?: object;
}
const rc = ({ name, image, version, replicas = 0, agreement }: Wish): never => {
  const labels = { app: 'web', ...(version !== undefined && { version }) };
  return {
    metadata: {
      ...{ name, namespace: 'default' },
      ...(agreement !== undefined && { annotations: { [rollingUpdateAnnotation]: JSON.stringify(agreement) } }),
    },
    spec: {
      ...{ replicas, selector: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image }] },
      },
    },
  } as never;
};

/** Everything in one process on one clock, while the bus loses every fourth message. */
describe('flow/rolling-update', function () {
  this.timeout(120_000);
  let cluster: FlowCluster;
  let counts: PodCounts;

  beforeEach(async () => {
    // Every third would be all the heartbeats of one of three nodes.
    cluster = await FlowCluster.start({ nodes: 3, dropEvery: 4 });
    counts = new PodCounts(cluster, 600_000);
  });
  afterEach(() => cluster.stop());

  const active = (): Promise<readonly Pod[]> => counts.active();
  const rcs = (): Promise<readonly ReplicationController[]> => cluster.list('replicationcontrollers');
  const names = async (): Promise<readonly string[]> => (await rcs()).map(({ metadata }) => metadata.name).sort();
  const imageOf = (pod: Pod): string | undefined => pod.spec.containers[0]?.image;
  const statusOf = async (name: string): Promise<RollingStatus | undefined> => {
    const found = await cluster.client.get('replicationcontrollers', `default/${name}`);
    return found && rollingStatusOf(found);
  };
  const until = (what: string, check: () => Promise<boolean>, limitMs?: number): Promise<number> =>
    counts.until(what, check, limitMs);
  const allAre = async (image: string, count = 4): Promise<boolean> => {
    const pods = await active();
    return pods.length === count && pods.every((pod) => isReady(pod) && imageOf(pod) === image);
  };
  const phaseIs = async (name: string, phase: RollingStatus['phase']): Promise<boolean> =>
    (await statusOf(name))?.phase === phase;
  const order = (word: RollingOrder): Promise<unknown> =>
    cluster.client.patch('replicationcontrollers', 'default/web-2', {
      metadata: { annotations: { [rollingOrderAnnotation]: word } },
    });
  const begin = async (agreement: object = {}, labels: { old?: string; next?: string } = {}): Promise<void> => {
    const { old = '1', next = '2' } = labels;
    await cluster.client.create(
      'replicationcontrollers',
      rc({ name: 'web-1', image: 'web:1', replicas: 4, ...(old !== '' && { version: old }) }),
    );
    await until('the first four', () => allAre('web:1'));
    counts.start();
    const agreed = { from: 'web-1', replicas: 4, ...agreement };
    await cluster.client.create(
      'replicationcontrollers',
      rc({ name: 'web-2', image: 'web:2', version: next, agreement: agreed }),
    );
  };
  const keptBounds = (fewest = 4, most = 5): void => {
    assert.ok(counts.seen.ready >= fewest, `only ${counts.seen.ready} of ${fewest} were ready`);
    assert.ok(counts.seen.active <= most, `${counts.seen.active} were there, of ${most} at most`);
  };

  it('goes from one controller to the next, one up, one down, whoever is killed, and removes the old one', async () => {
    await begin();
    for (const name of ['deployment-controller', 'replication-controller', 'scheduler']) {
      const before = (await active()).filter((pod) => imageOf(pod) === 'web:2').length;
      await until('a step', async () => (await active()).filter((pod) => imageOf(pod) === 'web:2').length > before);
      await cluster.restart(name);
    }
    await until('the end', async () => (await phaseIs('web-2', 'Succeeded')) && (await allAre('web:2')));
    keptBounds();
    assert.deepEqual(await names(), ['web-2']);
    const [left] = await rcs();
    assert.equal(left?.metadata.annotations?.[rollingUpdateAnnotation], undefined, 'nothing more to do');
    assert.equal(left?.spec.replicas, 4);
    await until('the events', async () =>
      (await cluster.list('events')).some((e) => e.reason === 'RollingUpdateSucceeded'),
    );
  });

  it('loses capacity and adds none where that was agreed on', async () => {
    await begin({ maxSurge: 0, maxUnavailable: 1 });
    await until('the end', () => phaseIs('web-2', 'Succeeded'));
    keptBounds(3, 4);
  });

  it('waits after the canary, goes on by an order, pauses, and goes back with the roles reversed', async () => {
    // The word of a pause may be lost until the next look at everything: steps take longer than that.
    await begin({ canary: 1, periodSeconds: 40 });
    await until('the canary', () => phaseIs('web-2', 'Canary'));
    await cluster.clock.advance(60_000);
    const images = (await active()).map(imageOf).sort();
    assert.deepEqual(images, ['web:1', 'web:1', 'web:1', 'web:2']);
    await order('resume');
    await until('the next', async () => (await active()).filter((pod) => imageOf(pod) === 'web:2').length >= 2);
    await order('pause');
    await until('the pause', () => phaseIs('web-2', 'Paused'));
    await cluster.clock.advance(60_000);
    assert.equal((await names()).length, 2);
    await order('back');
    await until('the way back', async () => (await phaseIs('web-1', 'RolledBack')) && (await names()).length === 1);
    await until('the old ones', () => allAre('web:1'));
    keptBounds();
    assert.equal((await statusOf('web-1'))?.reason, 'Ordered');
  });

  it('makes one step in each period', async () => {
    await begin({ periodSeconds: 30 });
    const tookMs = await until('the end', () => phaseIs('web-2', 'Succeeded'));
    assert.ok(tookMs >= 90_000, `four steps took ${tookMs} ms`);
    keptBounds();
  });

  it('labels the pods of a controller that has nothing to tell them apart, and takes its name in the end', async () => {
    await begin({ label: { key: 'version', value: '1' }, rename: true }, { old: '' });
    const before = new Set((await active()).map(({ metadata }) => metadata.uid));
    await until('the label', async () => {
      const old = (await rcs()).find(({ metadata }) => metadata.name === 'web-1');
      return old?.spec.selector['version'] === '1';
    });
    assert.ok((await active()).filter(({ metadata }) => before.has(metadata.uid)).length >= 3, 'no pod went for it');
    await until('the end', async () => (await phaseIs('web-1', 'Succeeded')) && (await names()).length === 1);
    const pods = (await active()).map(({ metadata }) => metadata.uid).sort();
    await until('its pods', async () => {
      const [left] = await rcs();
      const owned = (await active()).filter(
        ({ metadata }) => metadata.ownerReferences?.[0]?.uid === left?.metadata.uid,
      );
      return owned.length === 4 && left?.status.availableReplicas === 4;
    });
    assert.deepEqual((await active()).map(({ metadata }) => metadata.uid).sort(), pods, 'the pods are the same');
    assert.ok(await allAre('web:2'));
    const warned = (await cluster.list('events')).filter(({ reason }) => reason === 'SelectorOverlap');
    assert.deepEqual(warned, [], 'they are about to be told apart');
    keptBounds();
  });

  it('lets a second update of the same controller wait', async () => {
    await begin({ canary: 1 });
    await until('the canary', () => phaseIs('web-2', 'Canary'));
    await cluster.clock.advance(1_000);
    const agreement = { from: 'web-1', replicas: 4 };
    await cluster.client.create(
      'replicationcontrollers',
      rc({ name: 'web-3', image: 'web:3', version: '3', agreement }),
    );
    await until('its word', () => phaseIs('web-3', 'Waiting'));
    assert.ok((await active()).every((pod) => imageOf(pod) !== 'web:3'));
    await order('back');
    await until('its turn', () => phaseIs('web-3', 'Succeeded'));
    await until('its pods', () => allAre('web:3'));
    keptBounds();
  });

  it('goes on without the client that began it, and obeys another one', async () => {
    await cluster.client.create(
      'replicationcontrollers',
      rc({ name: 'web-1', image: 'web:1', replicas: 4, version: '1' }),
    );
    await until('the first four', () => allAre('web:1'));
    counts.start();
    const first = start(new RegistryClient(cluster.registry), 'rolling-update web-1 --image=web:2 --update-period=40s');
    await until('a step', async () => first.out().includes('1 of 4 ready'));
    first.interrupt();
    assert.equal((await first.said).code, 130);
    const steps = async (): Promise<number> => (await active()).filter((pod) => imageOf(pod) === 'web:2').length;
    await until('one more', async () => (await steps()) === 2);
    const second = start(new RegistryClient(cluster.registry), 'rolling-update web-1 --rollback');
    await until('the way back', async () => (await names()).length === 1 && (await allAre('web:1')));
    await until('its word', async () => second.err().includes('back at web-1'));
    assert.equal((await second.said).code, 0);
    keptBounds();
  });

  it('refuses what cannot be read', async () => {
    const refused = (agreement: object, words: RegExp): Promise<void> =>
      assert.rejects(
        cluster.client.create('replicationcontrollers', rc({ name: 'web-2', image: 'x', version: '2', agreement })),
        words,
      );
    await refused({ replicas: 4 }, /from must be the name of a ReplicationController/);
    await refused({ from: 'web-1', replicas: -1 }, /replicas must be a number of pods, not -1/);
    await refused({ from: 'web-1', replicas: 4, surge: 1 }, /has no member "surge"/);
    await refused({ from: 'web-1', replicas: 4, maxSurge: 0 }, /no step could be made/);
    await refused({ from: 'web-2', replicas: 4 }, /another ReplicationController/);
  });
});
