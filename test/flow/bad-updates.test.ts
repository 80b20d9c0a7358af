import assert from 'node:assert/strict';
import type { Pod } from '../../lib/api/objects.ts';
import { conditionOf, isActive, isReady } from '../../lib/api/pods.ts';
import { isRollingEnd, rollingStatusOf, rollingUpdateAnnotation } from '../../lib/api/rolling-updates.ts';
import { badUpdates, imageOfBad, podSpecOf, spoil, type BadUpdate } from '../support/bad-updates.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const nodes = ['node-1', 'node-2', 'node-3'];
const replicas = 3;
const deadlineMs = 30_000;
const minReadySeconds = 6;
const good = 'example/good:1';
/** With TROUPE_TEST_LONG=1 many times, with kills at random moments. */
const rounds = (process.env['TROUPE_TEST_LONG'] ?? '') === '' ? 1 : 20;
/** Who is killed has a successor only when its Lease has run out: until then nobody sees what goes on. */
const successionMs = 2_500;
const loops = [
  'deployment-controller',
  'replication-controller',
  'scheduler',
  'endpoints-controller',
  'node-1',
] as const;

/** How the word on a bad update is asked for, by the kind that is updated. */
interface Way {
  readonly kind: string;
  begin(bad: BadUpdate): Promise<void>;
  update(bad: BadUpdate): Promise<void>;
  /** Undefined while it is not taken back to its end. */
  verdict(bad: BadUpdate): Promise<{ readonly reason: string; readonly cause: string } | undefined>;
}

const nameOf = ({ kind }: Way, times: readonly number[]): string =>
  `ends ${badUpdates.length} kinds of bad updates of a ${kind} with the old pods, never fewer, the cause named, in time; kills after ${times.join(', ')} ms`;

function randomTimes(): readonly number[] {
  const count = 1 + Math.floor(Math.random() * 4);
  return Array.from({ length: count }, () => Math.floor(Math.random() * (deadlineMs + 2_000))).sort((a, b) => a - b);
}

/** All bad updates at one time in one cluster: each with pods of its own, and one clock that the test turns (D10). */
describe('flow/bad-updates', function () {
  this.timeout(180_000);
  let cluster: FlowCluster;
  beforeEach(async () => {
    cluster = await FlowCluster.start({ nodes: nodes.length, agentsTell: true });
    spoil(cluster, nodes);
  });
  afterEach(() => cluster.stop());

  const labelsOf = ({ name }: BadUpdate, version?: string): Readonly<Record<string, string>> => ({
    app: name,
    ...(version !== undefined && { version }),
  });
  const annotations = { 'troupe.dev/on-failed-rollout': 'revert' };
  const podsOf = (pods: readonly Pod[], { name }: BadUpdate): readonly Pod[] =>
    pods.filter((pod) => isActive(pod) && pod.metadata.labels?.['app'] === name);
  const isGood = (pod: Pod): boolean => isReady(pod) && pod.spec.containers[0]?.image === good;

  const deployments: Way = {
    kind: 'Deployment',
    async begin(bad) {
      await cluster.client.create('deployments', {
        metadata: { name: bad.name, namespace: 'default', annotations },
        spec: {
          ...{ replicas, minReadySeconds, progressDeadlineSeconds: deadlineMs / 1000 },
          selector: { matchLabels: labelsOf(bad) },
          strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
          template: { metadata: { labels: labelsOf(bad) }, spec: podSpecOf(good) },
        },
      });
    },
    async update(bad) {
      const template = { spec: podSpecOf(imageOfBad(bad), bad) };
      await cluster.client.patch('deployments', `default/${bad.name}`, { spec: { template } });
    },
    async verdict(bad) {
      const found = await cluster.client.get('deployments', `default/${bad.name}`);
      const reverted = found && conditionOf(found.status, 'Reverted');
      return reverted && { reason: reverted.reason ?? '', cause: reverted.message ?? '' };
    },
  };
  const rc = (bad: BadUpdate, version: string, image: string, more: object = {}): never =>
    ({
      metadata: { name: `${bad.name}-${version}`, namespace: 'default', ...more },
      spec: {
        ...{ replicas: version === '1' ? replicas : 0, minReadySeconds, selector: labelsOf(bad, version) },
        template: {
          metadata: { labels: labelsOf(bad, version) },
          spec: podSpecOf(image, image === good ? {} : bad),
        },
      },
    }) as never;
  const controllers: Way = {
    kind: 'ReplicationController',
    async begin(bad) {
      await cluster.client.create('replicationcontrollers', rc(bad, '1', good));
    },
    async update(bad) {
      const agreement = { from: `${bad.name}-1`, replicas, deadlineSeconds: deadlineMs / 1000 };
      const told = { ...annotations, [rollingUpdateAnnotation]: JSON.stringify(agreement) };
      await cluster.client.create('replicationcontrollers', rc(bad, '2', imageOfBad(bad), { annotations: told }));
    },
    async verdict(bad) {
      const left = await cluster.client.get('replicationcontrollers', `default/${bad.name}-1`);
      const status = left && rollingStatusOf(left);
      if (status === undefined || !isRollingEnd(status.phase)) return undefined;
      return { reason: status.reason ?? '', cause: status.message ?? '' };
    },
  };

  const tries = rounds === 1 ? [[200, 2_500, 9_000]] : Array.from({ length: rounds }, randomTimes);
  for (const way of [deployments, controllers])
    for (const times of tries) it(nameOf(way, times), () => tryAll(way, times));

  async function tryAll(way: Way, times: readonly number[]): Promise<void> {
    for (const bad of badUpdates) await way.begin(bad);
    // Ready for long enough to count.
    const areGood = async (): Promise<boolean> => {
      const pods = await cluster.list('pods');
      return badUpdates.every((bad) => podsOf(pods, bad).filter(isGood).length === replicas);
    };
    await cluster.until('the good ones', areGood, 120_000);
    await cluster.clock.advance((minReadySeconds + 2) * 1000);

    const beganMs = cluster.clock.monotonic();
    for (const bad of badUpdates) await way.update(bad);
    const ended = new Map<string, number>();
    const fewest = new Map<string, number>();
    const kills = [...times];
    const limitMs = deadlineMs + 2_000 + (rounds === 1 ? 0 : times.length * successionMs);
    await cluster.until(
      'every one is back',
      async () => {
        const nowMs = cluster.clock.monotonic() - beganMs;
        const dueMs = kills[0];
        if (dueMs !== undefined && nowMs >= dueMs) {
          kills.shift();
          await cluster.restart('deployment-controller');
          await cluster.restart(loops[1 + (kills.length % (loops.length - 1))] ?? '');
        }
        const pods = await cluster.list('pods');
        for (const bad of badUpdates) {
          const mine = podsOf(pods, bad);
          const ready = mine.filter(isReady).length;
          fewest.set(bad.name, Math.min(fewest.get(bad.name) ?? Infinity, ready));
          assert.ok(mine.length <= replicas + 1, `${bad.name}: ${mine.length} pods`);
          if (ended.has(bad.name) || mine.length !== replicas || !mine.every(isGood)) continue;
          if ((await way.verdict(bad)) !== undefined) ended.set(bad.name, nowMs);
        }
        return ended.size === badUpdates.length;
      },
      deadlineMs + 60_000,
    );
    for (const bad of badUpdates) {
      const { reason, cause } = (await way.verdict(bad)) ?? { reason: '', cause: '' };
      assert.match(reason, bad.reason, `${bad.name}: ${reason}: ${cause}`);
      assert.match(cause, bad.cause, `${bad.name}: ${reason}: ${cause}`);
      assert.ok((fewest.get(bad.name) ?? 0) >= replicas, `${bad.name}: only ${fewest.get(bad.name) ?? 0} were ready`);
      const tookMs = ended.get(bad.name) ?? Infinity;
      assert.ok(tookMs <= limitMs, `${bad.name}: took ${tookMs} ms`);
    }
    if (process.env['TROUPE_TEST_SHOW'] !== undefined) console.log(Object.fromEntries(ended));
  }
});
