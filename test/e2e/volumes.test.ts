import assert from 'node:assert/strict';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();
describe(`volumes on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let node: RealNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(160);
  });
  after(() => node?.stop());
  afterEach(async () => {
    if (why !== undefined) return;
    for (const pod of (await node.client.list('pods')).items) {
      await node.client
        .delete('pods', `default/${pod.metadata.name}`, { gracePeriodSeconds: 1 })
        .catch(() => undefined);
    }
    await until(() => node.agent.podCount === 0, { what: 'all pods are gone', timeoutMs: 30_000 });
    assert.deepEqual(await node.runtime.list(), []);
    assert.deepEqual(node.leftovers(), { routes: '', mounts: [] });
  });

  const metadata = (name: string) => ({ name, namespace: 'default' });
  const secret = (text: string): string => Buffer.from(text).toString('base64');
  const main = (volumeMounts: readonly object[], more: object = {}) => [
    { name: 'main', command: ['sleep', '100000'], volumeMounts, ...more },
  ];
  const sh = (pod: string, command: string): Promise<string> => node.exec(pod, 'main', command);
  const untilSh = (pod: string, command: string, wanted: string): Promise<unknown> =>
    until(async () => (await sh(pod, command).catch(() => '')) === wanted, {
      what: `${command} prints ${JSON.stringify(wanted)}`,
      timeoutMs: 5_000,
      everyMs: 20,
    });

  it('keeps the files of a running container as the API has them, all of a volume at once', async () => {
    await node.client.create('configmaps', { metadata: metadata('conf'), data: { a: '1', b: '1' } });
    await node.client.create('secrets', { metadata: metadata('key'), data: { token: secret('old') } });
    const labels = { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] };
    await node.createPod('live', {
      volumes: [
        { name: 'conf', configMap: { name: 'conf' } },
        { name: 'key', secret: { secretName: 'key', defaultMode: 0o400 } },
        { name: 'all', projected: { sources: [{ configMap: { name: 'conf' } }, { secret: { name: 'key' } }] } },
        { name: 'self', downwardAPI: labels },
      ],
      containers: main([
        { name: 'conf', mountPath: '/conf' },
        { name: 'key', mountPath: '/key' },
        { name: 'all', mountPath: '/all' },
        { name: 'self', mountPath: '/self' },
        { name: 'conf', mountPath: '/fixed/a', subPath: 'a' },
      ]),
    });
    await node.untilReady('live');
    assert.equal(await sh('live', 'cat /conf/a /key/token /all/b /all/token /fixed/a'), '1old1old1');
    assert.match(await sh('live', 'mount | grep " /key "; touch /key/x 2>&1; true'), /tmpfs[^]*Read-only/);

    // A reader that takes the files of one moment never sees two states; those of the past vanish under it.
    const look = 'cd /conf/..data; a=$(cat a); b=$(cat b); [ "$a" = "$b" ] || [ -z "$a" ] || [ -z "$b" ] || echo mixed';
    const mixed = sh('live', `(for i in $(seq 2000); do ${look}; done) 2>/dev/null`);
    for (const n of ['2', '3', '4', '5']) {
      await node.client.patch('configmaps', 'default/conf', { data: { a: n, b: n } });
      await untilSh('live', 'cat /conf/a /conf/b /all/a', n.repeat(3));
    }
    assert.equal(await mixed, '');
    await node.client.patch('secrets', 'default/key', { data: { token: secret('new'), more: secret('!') } });
    await untilSh('live', 'cat /key/token /key/more /all/token', 'new!new');
    await node.client.patch('pods', 'default/live', { metadata: { labels: { tier: 'gold' } } });
    await untilSh('live', 'cat /self/labels', 'tier="gold"');
    assert.equal(await sh('live', 'cat /fixed/a'), '1', 'a subPath stays what it was');

    // After its own restart the agent catches up with what it missed, and follows on.
    node.stopAgent();
    await node.client.patch('configmaps', 'default/conf', { data: { a: '6', b: '6' } });
    await node.startAgent();
    await untilSh('live', 'cat /conf/a', '6');
    await node.client.patch('configmaps', 'default/conf', { data: { a: '7' } });
    await untilSh('live', 'cat /conf/a', '7');

    // What disappears is kept, and told.
    await node.client.delete('configmaps', 'default/conf');
    await until(
      () =>
        node.told.some(({ reason, message }) => reason === 'FailedMount' && /keeps.*"conf" not found/.test(message)),
      {
        what: 'the loss is told',
      },
    );
    assert.equal(await sh('live', 'cat /conf/a'), '7');
  });

  it('starts a pod as soon as what it waits for is there', async () => {
    await node.createPod('waits', {
      volumes: [{ name: 'late', configMap: { name: 'late', items: [{ key: 'k', path: 'k' }] } }],
      containers: main([{ name: 'late', mountPath: '/late' }]),
    });
    const message = /configmap "late" not found/;
    await node.untilPod('waits', 'says what it waits for', ({ status }) =>
      message.test(status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
    await until(() => node.told.filter((event) => message.test(event.message)).length >= 3, {
      what: 'it waits long',
      timeoutMs: 10_000,
    });
    await node.client.create('configmaps', { metadata: metadata('late'), data: { other: 'x' } });
    await node.untilPod('waits', 'says what lacks', ({ status }) =>
      /has no key "k"/.test(status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
    await node.client.patch('configmaps', 'default/late', { data: { k: 'here' } });
    await node.untilReady('waits', 1_500);
    assert.equal(await sh('waits', 'cat /late/k'), 'here');
  });
});
