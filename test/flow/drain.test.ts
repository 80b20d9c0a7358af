import assert from 'node:assert/strict';
import { leavingAnnotation } from '../../lib/api/leaving.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { RegistryClient } from '../support/registry-client.ts';
import { start, type Running } from '../unit/cli/run.ts';

const labels = { app: 'web' };
const apart = {
  podAntiAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: labels } },
    ],
  },
};

describe('flow: draining a node', function () {
  this.timeout(60_000);
  let cluster: FlowCluster;
  beforeEach(async () => {
    cluster = await FlowCluster.start({ nodes: 3 });
  });
  afterEach(() => cluster.stop());

  const web = (): Promise<readonly Pod[]> => cluster.list('pods', 'app=web');
  const serving = async (): Promise<number> => (await web()).filter((pod) => isActive(pod) && isReady(pod)).length;
  const onNode = async (node: string): Promise<readonly Pod[]> =>
    (await web()).filter(({ spec }) => spec.nodeName === node);
  const serve = async (replicas: number, spec: object = {}): Promise<void> => {
    await cluster.client.create('replicationcontrollers', {
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        replicas,
        selector: labels,
        template: {
          metadata: { labels },
          spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'web:1' }], ...spec },
        },
      },
    });
    await cluster.until('the pods to serve', async () => (await serving()) === replicas);
  };
  const promise = async (spec: object): Promise<void> => {
    await cluster.client.create('poddisruptionbudgets', {
      metadata: { name: 'web', namespace: 'default' },
      spec: { selector: { matchLabels: labels }, ...spec },
    });
    await cluster.until('the budget to be counted', async () => {
      const [budget] = await cluster.list('poddisruptionbudgets');
      return budget?.status.observedGeneration === 1;
    });
  };
  const troupe = (words: string): Running =>
    start(new RegistryClient(cluster.registry), words, { clock: cluster.clock });
  const drain = (words: string): Running => troupe(`drain ${words}`);
  /** Turns the clock until the command has ended; `always` must hold at every look. */
  const ended = async (running: Running, always: () => Promise<void> = async () => undefined): Promise<number> => {
    let code: number | undefined;
    void running.said.then((said) => (code = said.code));
    await cluster.until('the end of the drain', async () => {
      await always();
      return code !== undefined;
    });
    return code ?? -1;
  };

  it('has the replacements ready first, even where the budget allows nothing to be missing', async () => {
    await serve(6);
    await promise({ minAvailable: 6 });
    const before = (await onNode('node-1')).length;
    assert.ok(before > 0);
    const running = drain('node-1');
    const code = await ended(running, async () => {
      assert.ok((await serving()) >= 6, 'fewer than promised');
    });
    assert.equal(code, 0, running.err());
    assert.deepEqual(await onNode('node-1'), []);
    assert.match(running.out(), /^node\/node-1 cordoned\n/);
    assert.equal(running.out().match(/evicted\n/g)?.length, before);
    assert.match(
      running.out(),
      new RegExp(`node/node-1 drained: ${before} pods?, and the node says that their containers are gone\n$`),
    );
    await cluster.until('as many as before', async () => (await web()).filter(isActive).length === 6);
    const left = (await cluster.engineOf('node-1').list()).filter(({ state }) => state === 'running');
    assert.deepEqual(left, [], 'the containers are gone');
  });

  it('at capacity evicts nobody, says which pod lacks what, leaves nothing behind, and goes on when there is room', async () => {
    await serve(3, { affinity: apart });
    const first = drain('node-1 --timeout=5s');
    assert.equal(await ended(first), 1);
    assert.match(
      first.err(),
      /pod default\/web-\w+ waits: its replacement default\/web-\w+ has no place: 0\/3 nodes are available: .*anti-affinity/,
    );
    assert.match(first.err(), /not drained after 5 s; the node stays cordoned/);
    await cluster.until('the replacement that found no place to be taken back', async () => {
      const pods = await web();
      return pods.length === 3 && pods.every(({ metadata }) => metadata.annotations?.[leavingAnnotation] === undefined);
    });
    assert.equal(await serving(), 3);
    const second = drain('node-1');
    await cluster.until('it to wait', () => second.err().includes('has no place'));
    assert.equal((await onNode('node-1')).length, 1);
    cluster.startAgent('node-4');
    const code = await ended(second, async () => {
      assert.ok((await serving()) >= 3, 'fewer than wanted');
    });
    assert.equal(code, 0, second.err());
    assert.equal((await onNode('node-4')).length, 1);
  });

  it('without replacements first keeps the budget all the same, and says how it waits for it', async () => {
    await serve(4);
    await promise({ maxUnavailable: 1 });
    const running = drain('node-2 --no-replace-first');
    const code = await ended(running, async () => {
      assert.ok((await serving()) >= 3, 'fewer than promised');
    });
    assert.equal(code, 0, running.err());
    assert.deepEqual(await onNode('node-2'), []);
  });

  it('leaves a pod that has finished, though it finishes while others are waited for, and says so', async () => {
    const engine = cluster.engineOf('node-1');
    let atMs = 300;
    engine.onStart = ({ image }) => (image === 'work:1' ? { exitCode: 0, afterMs: atMs } : undefined);
    const work = (name: string): Promise<unknown> =>
      cluster.client.create('pods', {
        metadata: { name, namespace: 'default', labels: { app: 'work' } },
        spec: { nodeName: 'node-1', restartPolicy: 'Never', containers: [{ name: 'app', image: 'work:1' }] },
      });
    const phase = async (name: string): Promise<string | undefined> =>
      (await cluster.client.get('pods', `default/${name}`))?.status.phase;
    await work('early');
    await cluster.until('its end', async () => (await phase('early')) === 'Succeeded');
    await cluster.client.create('poddisruptionbudgets', {
      metadata: { name: 'work', namespace: 'default' },
      spec: { selector: { matchLabels: { app: 'work' } }, maxUnavailable: 0 },
    });
    atMs = 5_000;
    await work('late');
    await cluster.until('the other to run', async () => (await phase('late')) === 'Running');
    const running = drain('node-1 --force');
    assert.equal(await ended(running), 0, running.err());
    const words = 'stays: it has finished \\(Succeeded\\), and its logs can be read until it is removed';
    assert.match(running.err(), new RegExp(`pod default/early ${words}`));
    assert.match(running.err(), new RegExp(`pod default/late waits: .*\npod default/late ${words}`));
    assert.match(running.out(), /drained: 0 pods, .*gone; 2 pods that had finished stay, with the logs\n$/);
    assert.deepEqual([await phase('early'), await phase('late')], ['Succeeded', 'Succeeded']);
  });

  it('does nothing where pods would be lost, and says which', async () => {
    await cluster.client.create('pods', {
      metadata: { name: 'alone', namespace: 'default' },
      spec: { nodeName: 'node-1', containers: [{ name: 'app', image: 'web:1' }] },
    });
    const refused = drain('node-1');
    assert.equal(await ended(refused), 1);
    assert.match(refused.err(), /pod default\/alone has no controller: nobody makes it anew elsewhere/);
    assert.notEqual((await cluster.client.get('nodes', 'node-1'))?.spec.unschedulable, true);
    const forced = drain('node-1 --force --grace-period=1');
    assert.equal(await ended(forced), 0, forced.err());
    assert.equal(await cluster.client.get('pods', 'default/alone'), undefined);
    const again = troupe('uncordon node-1');
    assert.equal((await again.said).out, 'node/node-1 uncordoned\n');
  });
});
