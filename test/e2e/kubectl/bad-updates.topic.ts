import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { image, rc, type KubectlBed } from './bed.ts';

const polite = ['sh', '-c', 'trap exit TERM; sleep 3600 & wait'];
/** Never, so that nothing depends on how soon a container dies on a busy machine. */
const readinessProbe = { exec: { command: ['test', '-e', '/none'] }, periodSeconds: 1 };

/** How a pod differs from a good one, and what the verdict names. The other kinds: test/flow/bad-updates.test.ts. */
const bads: Readonly<Record<string, { readonly pod: object; readonly cause: RegExp }>> = {
  crashes: {
    pod: { containers: [{ name: 'main', command: ['sh', '-c', 'exit 3'], readinessProbe }] },
    cause: /exit code 3/,
  },
  'out-of-memory': {
    pod: {
      containers: [
        {
          ...{ name: 'main', command: ['sh', '-c', 'tail /dev/zero'], readinessProbe },
          resources: { limits: { memory: '24Mi' } },
        },
      ],
    },
    cause: /OOMKilled/,
  },
  'no-config-map': {
    pod: {
      containers: [
        { name: 'main', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'forgotten', key: 'a' } } }] },
      ],
    },
    cause: /"forgotten" not found/,
  },
  'init-container-fails': {
    pod: { initContainers: [{ name: 'prepare', image, command: ['sh', '-c', 'exit 5'] }] },
    cause: /container prepare: .*exit code 5/,
  },
};

const deployment = (name: string): object => ({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
  metadata: { name, annotations: { 'troupe.dev/on-failed-rollout': 'revert' } },
  spec: {
    ...{ replicas: 1, minReadySeconds: 1 },
    selector: { matchLabels: { app: name } },
    strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, command: polite }] },
    },
  },
});

/** Bad updates with real containers, and rolling updates by the troupe command. */
export function badUpdatesTopic(bed: KubectlBed): void {
  describe('takes bad updates back', function () {
    this.timeout(300_000);
    const n = 'bad-updates';
    const names = Object.keys(bads);
    const uids = async (): Promise<string> =>
      bed.kubectl(['-n', n, 'get', 'pod', '--sort-by=.metadata.name', '-o', 'jsonpath={.items[*].metadata.uid}']);

    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('of Deployments: each ends with the pods it had, and names the cause', async () => {
      const documents = names.map((name) => JSON.stringify(deployment(name))).join('\n---\n');
      await bed.kubectl(`-n ${n} apply -f ${bed.file('good.yaml', documents)}`);
      const all = names.map((name) => `deploy/${name}`);
      const complete = '--for=jsonpath={.status.conditions[?(@.type=="Progressing")].reason}=NewReplicaSetAvailable';
      await bed.kubectl(['-n', n, 'wait', ...all, complete, '--timeout=90s']);
      const before = await uids();
      for (const [name, { pod }] of Object.entries(bads)) {
        const patch = { spec: { template: { spec: pod } } };
        await bed.kubectl(['-n', n, 'patch', 'deploy', name, '-p', JSON.stringify(patch)]);
      }
      await bed.kubectl(['-n', n, 'wait', ...all, '--for=condition=Reverted', '--timeout=90s']);
      for (const [name, { cause }] of Object.entries(bads)) {
        const path = 'jsonpath={.status.conditions[?(@.type=="Reverted")].message}';
        assert.match(await bed.kubectl(['-n', n, 'get', 'deploy', name, '-o', path]), cause);
      }
      await until(async () => (await uids()) === before, {
        ...{ timeoutMs: 60_000, everyMs: 500 },
        what: 'the pods that were there, and no others',
      });
    });

    it('of a ReplicationController: back with the cause, then on to a good one that takes the name', async () => {
      const troupe = (...words: readonly string[]) => bed.cluster.troupe(...words, '-n', n);
      await bed.kubectl(`-n ${n} apply -f -`, { input: rc(2) });
      await bed.kubectl([...`-n ${n} wait rc/web --for=jsonpath={.status.readyReplicas}=2 --timeout=90s`.split(' ')]);
      const bad = await troupe('rolling-update', 'web', '--image=troupe-test/none:1', '--on-failed=revert');
      assert.equal(bad.code, 1, bad.stdout + bad.stderr);
      assert.match(bad.stderr, /back at web: \w+: pod web-\w+-\w+: container main: /);
      assert.match(await bed.kubectl(`-n ${n} get rc -o name`), /^replicationcontroller\/web\n$/);

      // The same image under another name: only the steps matter here.
      const good = await troupe('rolling-update', 'web', `--image=docker.io/${image}`, '--rename', '--deadline=90s');
      assert.equal(good.code, 0, good.stdout + good.stderr);
      assert.match(
        good.stdout,
        /Progressing {2}web-\w+ 1 of 2 ready[\s\S]*Succeeded {2}web-\w+ 2 of 2 ready, web 0 left/,
      );
      const [controllers, images] = await Promise.all([
        bed.kubectl(`-n ${n} get rc -o name`),
        bed.kubectl(['-n', n, 'get', 'rc', 'web', '-o', 'jsonpath={.spec.template.spec.containers[*].image}']),
      ]);
      assert.deepEqual([controllers, images], ['replicationcontroller/web\n', `docker.io/${image}`]);
      await bed.kubectl([...`-n ${n} wait rc/web --for=jsonpath={.status.readyReplicas}=2 --timeout=60s`.split(' ')]);
    });
  });
}
