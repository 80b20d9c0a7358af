import assert from 'node:assert/strict';
import { connect } from '@nats-io/transport-node';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { isReady } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import { streamName } from '../../lib/bus/nats-stream.ts';
import { importBusybox, startDockerEngine, type DockerEngine } from '../support/docker-engine.ts';
import { HandStarted } from '../support/hand-started.ts';
import { until } from '../support/until.ts';

const web = (name: string, replicas: number): never =>
  ({
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'app', image: 'troupe-test/busybox:1', command: ['/bin/busybox', 'sleep', '3600'] }],
        },
      },
    },
  }) as never;

describe('e2e/nats-outage: the bus may die', function () {
  this.timeout(120_000);
  let engine: DockerEngine;
  let cluster: HandStarted;
  let client: Client;

  before(async () => {
    engine = await startDockerEngine();
    await importBusybox(engine.docker);
    cluster = await HandStarted.start({
      cluster: 'outage',
      parts: [
        'nats',
        'apiserver',
        'scheduler',
        'replication-controller',
        'endpoints-controller',
        'node-controller',
        'node-agent',
      ],
      flags: {
        'node-controller': ['--cluster-cidr', '10.214.0.0/16'],
        'node-agent': [
          '--docker-socket',
          engine.socketPath,
          '--cluster-cidr',
          '10.214.0.0/16',
          '--service-cidr',
          '10.215.0.0/16',
        ],
      },
    });
    client = cluster.client();
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
    await engine?.stop();
  });
  afterEach(function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const part of ['apiserver', 'scheduler', 'replication-controller', 'node-agent'])
      process.stderr.write(`--- ${part}\n${cluster.log(part).slice(-3_000)}\n`);
  });

  const ready = async (app: string): Promise<number> =>
    (await client.list('pods', { labelSelector: `app=${app}` })).items.filter(isReady).length;

  it('with NATS stopped, a new ReplicationController ends in running pods within 10 s', async () => {
    await client.create('replicationcontrollers', web('before', 1));
    await until(async () => (await ready('before')) === 1, { timeoutMs: 30_000, what: 'a pod while all is well' });

    await cluster.stopPart('nats', 'SIGKILL');
    const stopped = performance.now();
    await client.create('replicationcontrollers', web('during', 2));
    await until(async () => (await ready('during')) === 2, {
      timeoutMs: 10_000,
      what: 'two running pods without the bus',
    });
    assert.ok(performance.now() - stopped < 10_000);
  });

  it('when it returns, subscribers have every change in order', async () => {
    const revision = await client.position('pods');
    await cluster.startPart('nats');
    const connection = await connect({ servers: cluster.natsUrl });
    try {
      const manager = await jetstreamManager(connection);
      const name = streamName('outage');
      const last = await until(
        async () => {
          const message = await manager.streams
            .getMessage(name, { last_by_subj: 'outage.v1.pods.>' })
            .catch(() => null);
          const id = Number(message?.header.get('ce-id') ?? 0);
          return id >= Number(revision) ? id : undefined;
        },
        { timeoutMs: 15_000, what: `the stream to reach revision ${revision}` },
      );

      // What the API says happened, from the first revision on …
      const told: string[] = [];
      const watching = new AbortController();
      for await (const events of client.watch('pods', { fromRevision: '0' }, watching.signal)) {
        told.push(
          ...events
            .filter((event) => event.type !== 'BOOKMARK' && Number(event.revision) <= last)
            .map((event) => event.revision),
        );
        if (events.some((event) => Number(event.revision) >= last)) break;
      }
      watching.abort();

      // … is what a subscriber that replays the stream hears, each once and in the same order.
      const consumer = await jetstream(connection).consumers.get(name, { filter_subjects: 'outage.v1.pods.>' });
      const heard: string[] = [];
      while (heard.length === 0 || Number(heard.at(-1)) < last) {
        const message = await consumer.next({ expires: 5_000 });
        assert.ok(message !== null, `the stream ends at ${heard.at(-1)}`);
        heard.push(message.headers?.get('ce-id') ?? '');
      }
      assert.deepEqual(heard, told);
    } finally {
      await connection.close();
    }
  });
});
