import assert from 'node:assert/strict';
import { HandStarted, documentedCommands } from '../support/hand-started.ts';
import { until } from '../support/until.ts';
import { allParts } from '../support/parts.ts';

const aWeb = (replicas: number): never =>
  ({
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'app', image: 'example/web:1' }] },
      },
    },
  }) as never;

const aReadyNode = (name: string): never =>
  ({
    metadata: { name },
    status: {
      capacity: { cpu: '4', memory: '8Gi', pods: '110' },
      allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  }) as never;

describe('e2e/operations: every part by itself, as documented', function () {
  this.timeout(90_000);
  const clusters: HandStarted[] = [];
  afterEach(async () => {
    await Promise.all(clusters.splice(0).map((cluster) => cluster.stop()));
  });

  it('documents a command for every part', () => {
    for (const part of allParts) {
      assert.ok(documentedCommands().has(part), part);
    }
  });

  it('runs two clusters on one machine that do not know of each other', async () => {
    const [one, two] = await Promise.all([
      HandStarted.start({ cluster: 'one' }),
      HandStarted.start({ cluster: 'two' }),
    ]);
    clusters.push(one, two);
    const clients = [one.client(), two.client()];
    try {
      await Promise.all(clients.map((client, i) => client.create('replicationcontrollers', aWeb(i + 2))));
      for (const [i, client] of clients.entries()) {
        await until(async () => (await client.list('pods')).items.length === i + 2, {
          timeoutMs: 10_000,
          what: `cluster ${i + 1} to have ${i + 2} pods`,
        });
      }
    } finally {
      clients.forEach((client) => client.close());
    }
  });

  it('goes on with what was left when parts come and go in any order', async () => {
    const cluster = await HandStarted.start({ cluster: 'lone', parts: ['replication-controller', 'scheduler'] });
    clusters.push(cluster);
    // The loops were there first; the state and the bus come later.
    await Promise.all([cluster.startPart('apiserver'), cluster.startPart('nats')]);
    const client = cluster.client();
    try {
      await client.create('replicationcontrollers', aWeb(3));
      await until(async () => (await client.list('pods')).items.length === 3, {
        timeoutMs: 15_000,
        what: 'three pods',
      });

      // Without the scheduler pods wait; with it they go on.
      await cluster.stopPart('scheduler');
      await client.create('nodes', aReadyNode('node-1'));
      await cluster.startPart('scheduler');
      // The node-controller is not there to judge the node: what we wrote stands.
      await until(async () => (await client.list('pods')).items.every((pod) => pod.spec.nodeName === 'node-1'), {
        timeoutMs: 15_000,
        what: 'the pods to be bound',
      });

      // The apiserver dies and comes back: the loops find it again and nothing is lost.
      await cluster.stopPart('apiserver', 'SIGKILL');
      await cluster.startPart('apiserver');
      await client.patch('replicationcontrollers', 'default/web', { spec: { replicas: 5 } });
      await until(async () => (await client.list('pods')).items.length === 5, { timeoutMs: 15_000, what: 'five pods' });
    } finally {
      client.close();
    }
  });

  it('stops cleanly on SIGTERM and lets the standby lead at once', async () => {
    const cluster = await HandStarted.start({
      cluster: 'pair',
      parts: ['nats', 'apiserver', 'replication-controller'],
    });
    clusters.push(cluster);
    const standby = await HandStarted.start({
      cluster: 'pair',
      parts: ['replication-controller'],
      flags: { 'replication-controller': ['--apiserver', cluster.server, '--nats', cluster.natsUrl] },
    });
    clusters.push(standby);
    const client = cluster.client();
    try {
      await client.create('replicationcontrollers', aWeb(1));
      await until(async () => (await client.list('pods')).items.length === 1, { timeoutMs: 15_000, what: 'one pod' });
      assert.equal(await cluster.stopPart('replication-controller'), 0);
      await client.patch('replicationcontrollers', 'default/web', { spec: { replicas: 2 } });
      await until(async () => (await client.list('pods')).items.length === 2, {
        timeoutMs: 3_000,
        what: 'the standby to act',
      });
    } finally {
      client.close();
    }
  });

  it('keeps the count with the bus killed and the leader of two killed (F23)', async () => {
    const cluster = await HandStarted.start({ cluster: 'duo', parts: ['nats', 'apiserver', 'replication-controller'] });
    clusters.push(cluster);
    const other = await HandStarted.start({
      cluster: 'duo',
      parts: ['replication-controller'],
      flags: { 'replication-controller': ['--apiserver', cluster.server, '--nats', cluster.natsUrl] },
    });
    clusters.push(other);
    const client = cluster.client();
    const count = async (): Promise<number> => (await client.list('pods')).items.length;
    const replaced = async (why: string): Promise<void> => {
      const [victim] = (await client.list('pods')).items;
      await client.delete('pods', `default/${victim?.metadata.name ?? ''}`);
      await until(
        async () =>
          (await count()) === 3 && (await client.get('pods', `default/${victim?.metadata.name ?? ''}`)) === undefined,
        { timeoutMs: 10_000, what: `a replacement ${why}` },
      );
    };
    try {
      await client.create('replicationcontrollers', aWeb(3));
      await until(async () => (await count()) === 3, { timeoutMs: 15_000, what: 'three pods' });
      await replaced('while all is well');
      await cluster.stopPart('nats', 'SIGKILL');
      await replaced('without the bus');
      await cluster.stopPart('replication-controller', 'SIGKILL');
      await replaced('by the other controller, still without the bus');
      await cluster.startPart('nats');
      await replaced('with the bus back');
      assert.equal(await count(), 3);
    } finally {
      client.close();
    }
  });

  it('refuses a second apiserver on the same data, naming the folder', async () => {
    const cluster = await HandStarted.start({ cluster: 'held', parts: ['apiserver'] });
    clusters.push(cluster);
    const second = await HandStarted.start({ cluster: 'held', parts: [] });
    clusters.push(second);
    const refused = HandStarted.start({
      cluster: 'held',
      parts: ['apiserver'],
      flags: { apiserver: ['--data', `${cluster.folder}/apiserver`] },
    });
    await assert.rejects(refused, new RegExp(`${cluster.folder}/apiserver`));
  });
});
