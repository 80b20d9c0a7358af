import assert from 'node:assert/strict';
import { image, type KubectlBed } from './bed.ts';
import { until } from '../../support/until.ts';

const daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - name: main
          image: ${image}
          command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]
          env: [{name: RELEASE, value: "1"}]
`;

/** A DaemonSet's life with kubectl: one story in order, each step stands on the one before. */
export function daemonsTopic(bed: KubectlBed): void {
  describe('keeps a pod on every node', () => {
    const n = 'daemons';
    const done: readonly [string, RegExp] = ['rollout status ds/agent --timeout=60s', /successfully rolled out/];

    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('creates, follows and shows', async () => {
      await bed.kubectl(`-n ${n} apply -f -`, { input: daemonSet });
      await bed.says(
        n,
        done,
        ['get ds', /^NAME +DESIRED +CURRENT +READY +UP-TO-DATE +AVAILABLE +NODE SELECTOR +AGE\nagent( +1){5} +<none>/],
        ['get all', /pod\/agent-\w+ [\s\S]*daemonset\.apps\/agent +1/],
        ['describe ds agent', /Desired Number of Nodes Scheduled: 1\n[\s\S]*Pods Status: +1 Running/],
      );
    });

    it('changes, tells its history, goes back and starts anew', async () => {
      await bed.says(
        n,
        ['set env ds/agent RELEASE=2', /env updated/],
        ['annotate ds agent kubernetes.io/change-cause=second', /annotated/],
        done,
      );
      await bed.comesToSay(n, ['rollout history ds/agent', /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +second/]);
      await bed.says(
        n,
        ['rollout history ds/agent --revision=2', /RELEASE:\s+2/],
        ['rollout undo ds/agent', /rolled back/],
        done,
        ['get controllerrevisions', /daemonset\.apps\/agent +3 /],
        ['set env ds/agent --list', /RELEASE=1/],
        ['rollout restart ds/agent', /restarted/],
        done,
      );
    });

    it('leaves them where a node is drained', async () => {
      const node = (await bed.kubectl('get nodes -o name')).trim().replace('node/', '');
      const pod = `-n ${n} get pods -l app=agent -o name`;
      const before = await until(
        async () => {
          const named = await bed.kubectl(pod);
          return named.trim().split('\n').length === 1 && named;
        },
        { what: 'the former pod is gone', timeoutMs: 60_000, everyMs: 200 },
      );
      try {
        const words = `drain ${node} --ignore-daemonsets --pod-selector=app=agent --timeout=20s`;
        assert.match(await bed.kubectl(words), /drained/);
        assert.equal(await bed.kubectl(pod), before);
      } finally {
        await bed.kubectl(`uncordon ${node}`);
      }
    });

    it('takes back the list that it has printed, and dumps what there is', async () => {
      const list = await bed.kubectl(`-n ${n} get ds,configmaps -o yaml`);
      assert.match(list, /^kind: List$/m);
      assert.match(
        await bed.kubectl(`-n ${n} apply -f -`, { input: list }),
        /daemonset\.apps\/agent (unchanged|configured)/,
      );
      assert.match(await bed.kubectl(`cluster-info dump --namespaces ${n}`), /"kind": "DaemonSetList"/);
    });
  });
}
