import assert from 'node:assert/strict';
import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const set = (name: string, replicas: number, tolerationSeconds?: number): never =>
  ({
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          ...(tolerationSeconds !== undefined && {
            tolerations: [
              { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds },
            ],
          }),
          containers: [{ name: 'app', image: 'example/web:1', ports: [{ containerPort: 80 }] }],
        },
      },
    },
  }) as never;

/** D3 on a clock of the test's own, so that the goals hold to the millisecond whatever else the machine does. */
for (const dropEvery of [0, 3]) {
  describe(`flow: nodes that are lost${dropEvery === 0 ? '' : ', with every third message lost'}`, function () {
    this.timeout(60_000);
    let cluster: FlowCluster;
    afterEach(() => cluster?.stop());

    const pods = async (app: string): Promise<readonly Pod[]> =>
      (await cluster.list('pods', `app=${app}`)).filter(isActive);
    const isComplete = async (app: string, replicas: number, lost: readonly string[] = []): Promise<boolean> => {
      const ready = (await pods(app)).filter(isReady);
      return ready.length === replicas && ready.every(({ spec }) => !lost.includes(spec.nodeName ?? ''));
    };
    const serving = async (): Promise<readonly string[]> =>
      ((await cluster.client.get('endpoints', 'default/web'))?.subsets ?? []).flatMap(({ addresses = [] }) =>
        addresses.map(({ nodeName = '' }) => nodeName),
      );
    const begin = async (nodes: number): Promise<void> => {
      cluster = await FlowCluster.start({ nodes, dropEvery });
      await cluster.clock.advance(6_000); // the node controller concludes nothing before
      await cluster.client.create('services', {
        metadata: { name: 'web', namespace: 'default' },
        spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
      });
    };
    /** What is lost on the way costs time, never more than until the next look. */
    const slack = dropEvery === 0 ? 0 : 35_000;

    it('replaces each pod when its own toleration has run out, and ends it where it ran on', async () => {
      await begin(4);
      const sets = { web: undefined, hasty: 0, patient: 30, loyal: 3_600 };
      for (const [name, seconds] of Object.entries(sets))
        await cluster.client.create('replicationcontrollers', set(name, 4, seconds));
      for (const name of Object.keys(sets)) await cluster.until(`all of ${name}`, () => isComplete(name, 4));
      await cluster.until('all serve', async () => (await serving()).length === 4);
      const [loyal] = (await pods('loyal')).filter(({ spec }) => spec.nodeName === 'node-2');
      await cluster.clock.advance(137);

      const strike = cluster.clock.monotonic();
      const passed = (): number => cluster.clock.monotonic() - strike;
      await cluster.kill('node-2');
      await cluster.until('out of the Endpoints', async () => !(await serving()).includes('node-2'));
      assert.ok(passed() <= 2_500 + slack, `out after ${passed()} ms`);
      await cluster.until('the hasty elsewhere', () => isComplete('hasty', 4, ['node-2']));
      assert.ok(passed() <= 3_000 + slack, `the hasty after ${passed()} ms`);
      await cluster.until('the others elsewhere', () => isComplete('web', 4, ['node-2']));
      assert.ok(passed() >= 4_500 && passed() <= 7_000 + slack, `replaced after ${passed()} ms`);
      await cluster.until('the patient elsewhere', () => isComplete('patient', 4, ['node-2']), 120_000);
      assert.ok(passed() >= 29_500 && passed() <= 32_000 + slack, `the patient after ${passed()} ms`);

      cluster.startAgent('node-2');
      await cluster.until('all are back', async () => (await isComplete('loyal', 4)) && (await isComplete('web', 4)));
      await cluster.until('what was replaced to end', async () => {
        const running = (await cluster.engineOf('node-2').list()).filter(({ state }) => state === 'running');
        const uids = new Set(running.map(({ labels }) => labels['troupe.pod.uid']));
        return uids.size === 1 && uids.has(loyal?.metadata.uid);
      });
    });

    it('evicts nobody while most nodes are lost, and goes on when fewer are', async () => {
      const [many, few] = [
        ['node-1', 'node-2', 'node-3', 'node-4', 'node-5'],
        ['node-1', 'node-2', 'node-3', 'node-4'],
      ];
      await begin(9);
      await cluster.client.create('replicationcontrollers', set('web', 9));
      await cluster.until('all', () => isComplete('web', 9));
      const before = (await pods('web')).map(({ metadata }) => metadata.uid).toSorted();
      await Promise.all(many.map((node) => cluster.kill(node)));
      await cluster.until(
        'none of them serves',
        async () => !(await serving()).some((node) => many.includes(node)),
        90_000,
      );
      await cluster.clock.advance(60_000);
      assert.deepEqual((await pods('web')).map(({ metadata }) => metadata.uid).toSorted(), before);
      cluster.startAgent('node-5');
      await cluster.until('the others are replaced', () => isComplete('web', 9, few));
      const kept = new Set((await pods('web')).map(({ metadata }) => metadata.uid));
      assert.equal(
        before.filter((uid) => kept.has(uid)).length,
        5,
        'four nodes had their pods all the time, one is back',
      );
    });
  });
}
