import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { image, type KubectlBed } from './bed.ts';

/** Sleeps, but ends at once when asked to. */
const polite = ['sh', '-c', 'trap exit TERM; sleep 3600 & wait'];

const painted = `
apiVersion: v1
kind: ConfigMap
metadata: {name: paint}
data: {colour: red}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: painted}
spec:
  selector: {matchLabels: {app: painted}}
  template:
    metadata:
      labels: {app: painted}
      annotations: {troupe.dev/on-config-change: roll}
    spec:
      containers:
        - name: main
          image: ${image}
          command: ${JSON.stringify(polite)}
          envFrom: [{configMapRef: {name: paint}}]
`;

/** A Deployment's life with kubectl: one story in order, each step stands on the one before. */
export function rolloutTopic(bed: KubectlBed): void {
  describe('rolls out', () => {
    const n = 'rollout';
    const field = (path: string): Promise<string> =>
      bed.kubectl(['-n', n, 'get', 'deploy', 'web', '-o', `jsonpath=${path}`]);
    const done: readonly [string, RegExp] = ['rollout status deploy/web --timeout=90s', /successfully rolled out/];

    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('creates, follows, shows and exposes', () =>
      bed.says(
        n,
        [['create', 'deployment', 'web', `--image=${image}`, '--replicas=2', '--', ...polite], /web created/],
        done,
        ['wait deploy/web --for=condition=Available --timeout=30s', /condition met/],
        ['get deploy', /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +2\/2 +2 +2 +\d+s/],
        [
          'get rs -o wide',
          new RegExp(
            `^NAME +DESIRED +CURRENT +READY +AGE +CONTAINERS +IMAGES +SELECTOR\\nweb-\\w+ +2 +2 +2 .* ${image} `,
          ),
        ],
        ['get all', /pod\/web-\w+-\w+ [\s\S]*replicaset\.apps\/web-\w+ +2/],
        ['get all', /deployment\.apps\/web +2\/2/],
        [
          'describe deploy web',
          /Replicas: +2 desired \| 2 updated \| 2 total \| 2 available[\s\S]*NewReplicaSet: +web-\w+ \(2\/2/,
        ],
        ['expose deploy web --port=80', /service\/web exposed/],
        ['explain deployment.spec.strategy', /How pods are replaced/],
      ));

    it('changes, tells its history and goes back', async () => {
      await bed.says(
        n,
        ['set env deploy/web RELEASE=2', /env updated/],
        ['annotate deploy web kubernetes.io/change-cause=second', /annotated/],
        done,
      );
      await bed.comesToSay(n, ['rollout history deploy/web', /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +second/]);
      await bed.says(
        n,
        ['rollout history deploy/web --revision=2', /RELEASE:\s+2/],
        ['rollout undo deploy/web', /rolled back/],
        done,
        ['rollout history deploy/web', /REVISION +CHANGE-CAUSE\n2 +second\n3 /],
        ['set env deploy/web --list', /^# Deployment web, container \w+\n$/],
      );
    });

    it('pauses, resumes, restarts and scales', async () => {
      await bed.says(
        n,
        ['rollout pause deploy/web', /paused/],
        ['set env deploy/web RELEASE=3', /env updated/],
        ['scale deploy web --replicas=3', /scaled/],
        [['wait', 'deploy/web', '--for=jsonpath={.status.readyReplicas}=3', '--timeout=60s'], /condition met/],
      );
      assert.equal(await field('{.status.updatedReplicas}'), '', 'none of the new template while paused');
      await bed.says(
        n,
        ['rollout resume deploy/web', /resumed/],
        done,
        ['rollout restart deploy/web', /restarted/],
        done,
        ['scale rs,deploy -l app=web --replicas=1', /deployment.apps\/web scaled/],
        done,
      );
    });

    it('says why a rollout stands still, and takes it back where that is asked for', async () => {
      const bad = 'troupe-test/none:1';
      await bed.kubectl(`-n ${n} set image deploy/web *=${bad}`);
      const reason = (): Promise<string> => field('{.status.conditions[?(@.type=="Progressing")].message}');
      await until(async () => /container \w+: (ErrImagePull|ImagePullBackOff)/.test(await reason()), {
        timeoutMs: 60_000,
        everyMs: 300,
        what: 'the cause in the condition',
      });
      assert.equal(await field('{.status.availableReplicas}'), '1', 'the old one serves');
      await bed.kubectl(`-n ${n} annotate deploy web troupe.dev/on-failed-rollout=revert`);
      await bed.says(n, ['wait deploy/web --for=condition=Reverted --timeout=60s', /condition met/], done);
      assert.equal(await field('{.spec.template.spec.containers[0].image}'), image);
    });

    it('goes back with the configuration that the pods had', async () => {
      const colour = async (): Promise<string> =>
        (await bed.kubectl(['-n', n, 'exec', 'deploy/painted', '--', 'sh', '-c', 'echo $colour'])).trim();
      const becomes = (wanted: string): Promise<unknown> =>
        until(async () => (await colour()) === wanted, { timeoutMs: 60_000, everyMs: 300, what: wanted });
      await bed.kubectl(`-n ${n} apply -f -`, { input: painted });
      await bed.says(n, ['rollout status deploy/painted --timeout=60s', /successfully rolled out/]);
      assert.equal(await colour(), 'red');
      await bed.kubectl(['-n', n, 'patch', 'configmap', 'paint', '-p', '{"data":{"colour":"blue"}}']);
      await becomes('blue');
      await bed.says(n, ['rollout undo deploy/painted', /rolled back/]);
      await becomes('red');
      await bed.says(
        n,
        ['rollout status deploy/painted --timeout=60s', /successfully rolled out/],
        [['get', 'deploy', 'painted', '-o', 'jsonpath={..configMapRef.name}'], /^paint$/],
        [['get', 'configmap', 'paint', '-o', 'jsonpath={.data.colour}'], /^blue$/],
      );
      await bed.comesToSay(n, ['describe deploy painted', /ConfigHeld +True +RolledBack/]);
      await bed.says(n, ['delete deploy painted', /deleted/]);
    });

    it('goes with all that it has', async () => {
      await bed.says(n, ['delete deploy web --wait', /deleted/]);
      await bed.kubectl(`-n ${n} wait pod -l app=web --for=delete --timeout=60s`);
      await bed.comesToSay(n, ['get rs -o name', /^$/]);
    });
  });
}
