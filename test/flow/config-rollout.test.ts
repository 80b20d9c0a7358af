import assert from 'node:assert/strict';
import type { ConfigMap, Deployment, Pod, ReplicaSet } from '../../lib/api/objects.ts';
import { conditionOf, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { PodCounts } from '../support/pod-counts.ts';

const nodes = ['node-1', 'node-2', 'node-3'];
const key = 'default/web';
const replicas = 4;

const deployment = {
  metadata: { name: 'web', namespace: 'default', annotations: { 'troupe.dev/on-failed-rollout': 'revert' } },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app: 'web' }, annotations: { 'troupe.dev/on-config-change': 'roll' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        volumes: [{ name: 'files', secret: { secretName: 'files' } }],
        containers: [
          {
            name: 'app',
            image: 'example/web:1',
            envFrom: [{ configMapRef: { name: 'conf' } }],
            volumeMounts: [{ name: 'files', mountPath: '/files' }],
          },
        ],
      },
    },
  },
} as never;

/** Everything in one process on one clock. That lost messages change nothing is for rollout.test.ts to show: the steps are the same. */
describe('flow/config-rollout', function () {
  this.timeout(120_000);
  let cluster: FlowCluster;
  let counts: PodCounts;

  beforeEach(async () => {
    cluster = await FlowCluster.start({ nodes: nodes.length });
    counts = new PodCounts(cluster, 400_000);
    for (const node of nodes)
      cluster.engineOf(node).onStart = ({ env }) =>
        env.includes('COLOUR=bad') ? { error: 'no such colour' } : undefined;
    await cluster.client.create('secrets', named('files', { key: base64('a') }));
    await cluster.client.create('configmaps', named('conf', { COLOUR: 'red' }));
    await cluster.client.create('deployments', deployment);
    await until('the first rollout', () => runs('red', 'a'));
    counts.start();
  });
  afterEach(() => cluster.stop());

  const named = (name: string, data: object): never => ({ metadata: { name, namespace: 'default' }, data }) as never;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const active = (): Promise<readonly Pod[]> => counts.active();
  const sets = (): Promise<readonly ReplicaSet[]> => cluster.list('replicasets');
  const current = async (): Promise<Deployment> => {
    const found = await cluster.client.get('deployments', key);
    assert.ok(found);
    return found;
  };
  const colour = (value: string): Promise<unknown> =>
    cluster.client.patch('configmaps', 'default/conf', { data: { COLOUR: value } });
  const condition = async (
    type: string,
  ): Promise<{ readonly reason?: string; readonly message?: string } | undefined> =>
    conditionOf((await current()).status, type);

  const until = (what: string, check: () => Promise<boolean>, limitMs?: number): Promise<number> =>
    counts.until(what, check, limitMs);

  /** Whether all pods have these data, by the copies that they name, and the Deployment says that this is the end. */
  async function runs(colourIs: string, fileIs: string): Promise<boolean> {
    const [pods, configMaps, secrets, { metadata, status }] = await Promise.all([
      active(),
      cluster.list('configmaps'),
      cluster.list('secrets'),
      current(),
    ]);
    const has = ({ spec }: Pod): boolean => {
      const conf = spec.containers[0]?.envFrom?.[0]?.configMapRef?.name;
      const files = spec.volumes?.find(({ name }) => name === 'files')?.secret?.secretName;
      const [map, secret] = [
        configMaps.find((one) => one.metadata.name === conf),
        secrets.find((one) => one.metadata.name === files),
      ];
      return (
        map?.immutable === true &&
        secret?.immutable === true &&
        map.data?.['COLOUR'] === colourIs &&
        secret.data?.['key'] === base64(fileIs)
      );
    };
    return (
      pods.length === replicas &&
      pods.every((pod) => isReady(pod) && has(pod)) &&
      status.observedGeneration === metadata.generation &&
      conditionOf(status, 'Progressing')?.reason === 'NewReplicaSetAvailable'
    );
  }
  const isWhole = (): void => {
    assert.ok(counts.seen.ready >= replicas, `only ${counts.seen.ready} of ${replicas} were ready`);
    assert.ok(counts.seen.active <= replicas + 1, `${counts.seen.active} were there, of ${replicas + 1} at most`);
  };
  const copiesOf = async (name: string): Promise<readonly ConfigMap[]> =>
    cluster.list('configmaps', `troupe.dev/copy-of=${name}`);

  it('rolls out what a ConfigMap or a Secret holds, though the controller dies meanwhile, and goes with the Deployment', async () => {
    await colour('blue');
    await until('another ReplicaSet', async () => (await sets()).length === 2);
    await cluster.restart('deployment-controller');
    await until('blue', () => runs('blue', 'a'));
    await cluster.client.patch('secrets', 'default/files', { data: { key: base64('b') } });
    await until('the other file', () => runs('blue', 'b'));
    isWhole();
    assert.equal((await sets()).length, 3);
    assert.equal((await copiesOf('conf')).length, 2, 'one for each state, though two ReplicaSets have the last');
    const word = (await current()).spec.template.spec.containers[0]?.envFrom?.[0]?.configMapRef?.name;
    assert.equal(word, 'conf', 'the Deployment is as its user wrote it');
    await colour('red');
    await until('red again', () => runs('red', 'b'));
    // What the same data make is the same: nothing is rolled for a change of metadata, or of the object's order.
    const before = (await active()).map(({ metadata }) => metadata.uid).sort();
    await cluster.client.patch('configmaps', 'default/conf', { metadata: { labels: { changed: 'yes' } } });
    await cluster.clock.advance(40_000);
    assert.deepEqual((await active()).map(({ metadata }) => metadata.uid).sort(), before);
    counts.stop();
    await cluster.client.delete('deployments', key);
    await until('the copies to go', async () => (await copiesOf('conf')).length === 0);
    assert.ok(await cluster.client.get('configmaps', 'default/conf'), 'what the user made stays');
  });

  it('goes back to the data before where the new ones fail, and forward with the next', async () => {
    await colour('bad');
    await until('the way back', async () => (await condition('Reverted')) !== undefined && (await runs('red', 'a')));
    isWhole();
    const { reason, message = '' } = (await condition('ConfigHeld')) ?? {};
    assert.equal(reason, 'RolloutReverted');
    assert.match(message, /^ConfigMap "conf" has other data: pods keep the former, "conf-\w{10}", until/);
    assert.equal(
      (await cluster.client.get('configmaps', 'default/conf'))?.data?.['COLOUR'],
      'bad',
      'what the user wrote stays as it is',
    );
    // A pod made anew has the former data, too, and so it is after a new start of the controller.
    const [victim] = await active();
    assert.ok(victim);
    counts.stop();
    await cluster.client.delete('pods', `default/${victim.metadata.name}`);
    await cluster.restart('deployment-controller');
    await until('its successor', () => runs('red', 'a'));
    assert.equal((await sets()).length, 2, 'the bad data are not tried again');
    await colour('green');
    await until('green', () => runs('green', 'a'));
    await until('no word of it', async () => (await condition('ConfigHeld')) === undefined);
    assert.equal((await condition('Reverted')) === undefined, true);
    assert.equal((await current()).metadata.annotations?.['troupe.dev/config-held'], undefined);
  });

  it('takes new data together with a new template, though the data failed with the old one', async () => {
    await colour('bad');
    await until('the way back', async () => (await condition('ConfigHeld')) !== undefined && (await runs('red', 'a')));
    for (const node of nodes) cluster.engineOf(node).onStart = () => undefined; // the new image can do with it
    const containers = [{ ...(await current()).spec.template.spec.containers[0], image: 'example/web:2' }];
    await cluster.client.patch('deployments', key, { spec: { template: { spec: { containers } } } });
    await until('both', () => runs('bad', 'a'));
    isWhole();
    assert.ok((await active()).every(({ spec }) => spec.containers[0]?.image === 'example/web:2'));
  });

  it('undoes as kubectl does, and keeps what a ConfigMap was when that is gone', async () => {
    const [first] = await sets();
    assert.ok(first);
    await colour('blue');
    await until('blue', () => runs('blue', 'a'));
    // `kubectl rollout undo` writes the former ReplicaSet's template, without its hash, into the Deployment.
    const { labels, ...metadata } = first.spec.template.metadata ?? {};
    const template = {
      ...first.spec.template,
      metadata: { ...metadata, labels: { ...labels, 'pod-template-hash': null } },
    };
    await cluster.client.patch('deployments', key, { spec: { template } });
    await until('red', () => runs('red', 'a'));
    isWhole();
    assert.equal((await condition('ConfigHeld'))?.reason, 'RolledBack');
    const { template: written } = (await current()).spec;
    assert.equal(written.spec.containers[0]?.envFrom?.[0]?.configMapRef?.name, 'conf', 'in the words of the user');
    await colour('green');
    await until('green', () => runs('green', 'a'));
    await cluster.client.delete('configmaps', 'default/conf');
    await until('word of it', async () => (await condition('ConfigHeld'))?.reason === 'ConfigMissing');
    assert.ok(await runs('green', 'a'));
  });
});
