import assert from 'node:assert/strict';
import type { ConfigMap, DaemonSet, Pod } from '../../lib/api/objects.ts';
import { conditionOf, isActive, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const nodes = ['node-1', 'node-2', 'node-3'];
const key = 'default/agent';

/** Everything in one process on one clock, as in config-rollout.test.ts, whose pieces these are. */
describe('flow/daemon-config', function () {
  this.timeout(60_000);
  let cluster: FlowCluster;

  beforeEach(async () => {
    cluster = await FlowCluster.start({ nodes: nodes.length });
    for (const node of nodes)
      cluster.engineOf(node).onStart = ({ env }) =>
        env.includes('COLOUR=bad') ? { error: 'no such colour' } : undefined;
    await cluster.client.create('configmaps', {
      metadata: { name: 'conf', namespace: 'default' },
      data: { COLOUR: 'red' },
    });
  });
  afterEach(() => cluster.stop());

  const create = (onFailed?: string): Promise<unknown> =>
    cluster.client.create('daemonsets', {
      metadata: {
        ...{ name: 'agent', namespace: 'default' },
        ...(onFailed !== undefined && { annotations: { 'troupe.dev/on-failed-rollout': onFailed } }),
      },
      spec: {
        selector: { matchLabels: { app: 'agent' } },
        template: {
          metadata: { labels: { app: 'agent' }, annotations: { 'troupe.dev/on-config-change': 'roll' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [{ name: 'app', image: 'agent:1', envFrom: [{ configMapRef: { name: 'conf' } }] }],
          },
        },
      },
    });
  const pods = async (): Promise<readonly Pod[]> => (await cluster.list('pods', 'app=agent')).filter(isActive);
  const current = async (): Promise<DaemonSet> => (await cluster.client.get('daemonsets', key)) as DaemonSet;
  const colour = (value: string): Promise<unknown> =>
    cluster.client.patch('configmaps', 'default/conf', { data: { COLOUR: value } });
  const copies = (): Promise<readonly ConfigMap[]> => cluster.list('configmaps', 'troupe.dev/copy-of=conf');
  const condition = async (type: string): Promise<{ reason?: string; message?: string } | undefined> =>
    conditionOf((await current()).status, type);
  const nameIn = ({ spec }: Pick<Pod, 'spec'>): string | undefined =>
    spec.containers[0]?.envFrom?.[0]?.configMapRef?.name;

  /** The nodes on which there is a ready pod with these data, by the copy that it names. */
  async function having(value: string): Promise<readonly string[]> {
    const [there, maps] = [await pods(), await copies()];
    const names = maps.filter(({ data, immutable }) => immutable === true && data?.['COLOUR'] === value);
    return there
      .filter((pod) => isReady(pod) && names.some(({ metadata }) => metadata.name === nameIn(pod)))
      .map(({ spec }) => spec.nodeName ?? '')
      .sort();
  }
  const runs = (value: string) => async (): Promise<boolean> => {
    const { status, metadata } = await current();
    return (
      (await having(value)).join() === nodes.join() &&
      (await pods()).length === nodes.length &&
      status.observedGeneration === metadata.generation &&
      status.updatedNumberScheduled === nodes.length
    );
  };
  /** As `cluster.until`, while never more than one node is without a ready pod. */
  const until = (what: string, check: () => Promise<boolean>): Promise<number> =>
    cluster.until(what, async () => {
      const ready = (await pods()).filter(isReady).length;
      assert.ok(ready >= nodes.length - 1, `only ${ready} of ${nodes.length} were ready`);
      return check();
    });

  it('rolls one node at a time to what the ConfigMap holds, though the controller dies, undoes as kubectl does, and goes', async () => {
    await create();
    await cluster.until('red', runs('red'));
    const [first] = await cluster.list('controllerrevisions');
    await colour('blue');
    await until('the first of the new', async () => (await having('blue')).length === 1);
    await cluster.restart('daemonset-controller');
    await until('blue', runs('blue'));
    assert.equal(nameIn((await current()).spec.template), 'conf', 'the DaemonSet is as its user wrote it');
    // What the same data make is the same: nothing is rolled for a change of metadata.
    const before = (await pods()).map(({ metadata }) => metadata.uid).sort();
    await cluster.client.patch('configmaps', 'default/conf', { metadata: { labels: { changed: 'yes' } } });
    await cluster.clock.advance(40_000);
    assert.deepEqual((await pods()).map(({ metadata }) => metadata.uid).sort(), before);
    // `kubectl rollout undo` sends what the former ControllerRevision has, which names a copy.
    const { $patch: _, ...template } = (first?.data as { spec: { template: Record<string, unknown> } }).spec.template;
    await cluster.client.patch('daemonsets', key, { spec: { template } });
    await until('red again', runs('red'));
    assert.equal(nameIn((await current()).spec.template), 'conf', 'in the words of the user');
    assert.equal((await condition('ConfigHeld'))?.reason, 'RolledBack');
    await colour('green');
    await until('green', runs('green'));
    await until('no word of it', async () => (await condition('ConfigHeld')) === undefined);
    await cluster.client.delete('daemonsets', key, { propagationPolicy: 'Background' });
    await cluster.until('the copies to go', async () => (await copies()).length === 0);
    assert.ok(await cluster.client.get('configmaps', 'default/conf'), 'what the user made stays');
  });

  it('stops at the first node where the data are bad, says why, and goes on with better ones', async () => {
    await create();
    await cluster.until('red', runs('red'));
    await colour('bad');
    await until('word of it', async () => (await condition('Progressing')) !== undefined);
    await cluster.clock.advance(40_000);
    assert.equal((await having('red')).length, 2, 'the others are left as they were');
    assert.match((await condition('Progressing'))?.message ?? '', /^pod agent-\w+: container app: .*no such colour/);
    await colour('green');
    await until('green', runs('green'));
    await until('no word of it', async () => (await condition('Progressing')) === undefined);
  });

  it('goes back to the data before where that is asked for, stays with them, and goes forward with the next', async () => {
    await create('revert');
    await cluster.until('red', runs('red'));
    await colour('bad');
    await until('the way back', async () => (await condition('Reverted')) !== undefined && (await runs('red')()));
    assert.equal((await condition('ConfigHeld'))?.reason, 'RolloutReverted');
    assert.equal((await cluster.client.get('configmaps', 'default/conf'))?.data?.['COLOUR'], 'bad');
    const [victim] = await pods();
    await cluster.client.delete('pods', `default/${victim?.metadata.name ?? ''}`);
    await cluster.restart('daemonset-controller');
    await cluster.until('its successor', runs('red'));
    assert.equal((await cluster.list('controllerrevisions')).length, 2, 'the bad data are not tried again');
    await colour('green');
    await until('green', runs('green'));
    await until('no word of it', async () => (await condition('ConfigHeld')) === undefined);
    assert.equal(await condition('Reverted'), undefined);
    assert.equal((await current()).metadata.annotations?.['troupe.dev/config-held'], undefined);
  });
});
