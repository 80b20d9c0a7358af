import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../support/until.ts';
import { image, rc, type KubectlBed } from './bed.ts';

/** What a tutorial does with pods that run: one story in order, each step stands on the one before. */
export function runningTopic(bed: KubectlBed): void {
  describe('runs', () => {
    const n = 'running';
    const ready = (count: number): readonly [string, RegExp] => [
      `wait rc/web --for=jsonpath={.status.readyReplicas}=${count} --timeout=60s`,
      /condition met/,
    ];
    const names = async (): Promise<readonly string[]> =>
      (await bed.kubectl(`-n ${n} get pods -l app=web -o name`)).trim().split('\n').filter(Boolean);
    const count = (wanted: number): Promise<unknown> =>
      until(async () => (await names()).length === wanted, { timeoutMs: 30_000, everyMs: 200, what: `${wanted} pods` });
    const only = async (): Promise<string> => {
      await count(1);
      return (await names())[0]?.replace('pod/', '') ?? '';
    };
    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('comes up, is exposed and found', async () => {
      await bed.kubectl(`-n ${n} apply -f -`, { input: rc(2) });
      await bed.says(
        n,
        ready(2),
        ['wait pod -l app=web --for=condition=Ready --timeout=30s', /condition met\n.*condition met/],
        ['expose rc web --port=80 --target-port=http', /service\/web exposed/],
        ['get all', /pod\/web-\w+ +1\/1 +Running[\s\S]*replicationcontroller\/web +2 +2 +2[\s\S]*service\/web/],
        ['get rc -o wide', new RegExp(`SELECTOR\nweb .* main +${image} +app=web`)],
        [
          'get pods -o wide',
          /IP +NODE +NOMINATED NODE +READINESS GATES\nweb-\w+ .* 10\.\d+\.\d+\.\d+ +node-1 +<none> +<none>/,
        ],
      );
      await bed.comesToSay(
        n,
        ['get endpoints web', /^web +10\.\S+:8080,10\.\S+:8080 /m],
        ['describe svc web', /^TargetPort: +http\/TCP$/m],
      );
    });

    it('prints objects in every form', async () => {
      const get = `-n ${n} get`;
      const [byName, template, columns, sorted, labels, shown, json] = await Promise.all([
        bed.kubectl(`${get} pods -o name --sort-by=.metadata.name`),
        bed.kubectl(['-n', n, 'get', 'pods', '-o', 'go-template={{range .items}}{{.metadata.name}},{{end}}']),
        bed.kubectl(`${get} pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName`),
        bed.kubectl(`${get} pods --sort-by=.metadata.name --no-headers`),
        bed.kubectl(`${get} pods -L app --show-labels`),
        bed.kubectl(`${get} pods -A -l app=web --field-selector=status.phase=Running,spec.nodeName=node-1`),
        bed.kubectl(`${get} rc,svc -o json`),
      ]);
      const all = await names();
      assert.deepEqual(byName.trim().split('\n'), [...all].sort());
      assert.equal(template.split(',').length, 3);
      assert.match(columns, /^NAME +NODE\nweb-\w+ +node-1\n/);
      assert.deepEqual(
        sorted
          .trim()
          .split('\n')
          .map((line) => `pod/${line.split(' ')[0] ?? ''}`),
        [...all].sort(),
      );
      assert.match(labels, /APP +LABELS\n.* web +app=web/);
      assert.match(shown, /^NAMESPACE +NAME[\s\S]*\nrunning +web-/);
      assert.deepEqual(
        (JSON.parse(json) as { items: readonly { kind: string }[] }).items.map(({ kind }) => kind),
        ['ReplicationController', 'Service'],
      );
      assert.match(await bed.kubectl(`${get} pods --chunk-size=1`), /web-\w+[\s\S]*web-\w+/);
      assert.match(await bed.kubectl(`${get} pods --server-print=false`), /^NAME +AGE/);
      assert.match(await bed.refused(`${get} pods none`), /pods "none" not found/);
      assert.equal(await bed.kubectl(`${get} pods none --ignore-not-found`), '');
      assert.match(
        await bed.refused(`${get} pods --field-selector=spec.colour=red`),
        /field label not supported: spec.colour/,
      );
    });

    it('watches, as a table and as events', async () => {
      const table = bed.raw(`-n ${n} get pods -w --request-timeout=5s`);
      const events = bed.raw(`-n ${n} get pods -w --output-watch-events --request-timeout=5s`);
      await bed.says(n, ['label pods -l app=web seen=1', /labeled/]);
      assert.match((await table).stdout, /^NAME +READY +STATUS +RESTARTS +AGE\nweb-\w+ +1\/1 +Running/);
      assert.match((await events).stdout, /^EVENT +NAME .*\nADDED +web-/);
    });

    it('scales, also only if it is as expected', async () => {
      await bed.says(n, ['scale rc web --replicas=1 --current-replicas=2', /scaled/]);
      assert.match(
        await bed.refused(`-n ${n} scale rc web --replicas=3 --current-replicas=7`),
        /Expected replicas to be 7, was 1/,
      );
      await only();
      assert.match(
        await bed.refused(`-n ${n} rollout status rc/web`),
        /no status viewer has been implemented for ReplicationController/,
      );
    });

    it('reads logs', async () => {
      const name = await only();
      await bed.says(
        n,
        [`logs ${name} --tail=1`, /^serving\n$/],
        [`logs rc/web`, /^serving\n$/],
        [`logs -l app=web --prefix`, new RegExp(`^\\[pod/${name}/main\\] serving\n$`)],
        [`logs ${name} --timestamps --since=1h --limit-bytes=1000 --all-containers`, /^\d{4}-\S+Z serving\n$/],
      );
      const followed = await bed.raw(`-n ${n} logs -f ${name} --request-timeout=4s`);
      assert.equal(followed.stdout, 'serving\n', followed.stderr);
      assert.match(await bed.refused(`-n ${n} logs ${name} --previous`), /before this one/);
      assert.match(
        await bed.refused(`-n ${n} logs ${name} -c side`),
        /container side is not valid|has no container "side"/,
      );
    });

    it('runs commands in it and copies files', async () => {
      const name = await only();
      assert.equal(await bed.kubectl(`-n ${n} exec -i ${name} -- cat`, { input: 'from here' }), 'from here');
      const failed = await bed.raw(['-n', n, 'exec', name, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
      assert.deepEqual([failed.code, failed.stdout], [7, 'out\n']);
      assert.match(failed.stderr, /^err\n/);
      const from = bed.file('from', 'x'.repeat(300_000));
      const back = join(bed.home, 'back');
      await bed.kubectl(`-n ${n} cp ${from} ${name}:/tmp/there`);
      await bed.kubectl(`-n ${n} cp ${name}:/tmp/there ${back}`);
      assert.equal(readFileSync(back, 'utf8'), readFileSync(from, 'utf8'));
      assert.match(
        await bed.refused(`-n ${n} exec ${name} -c side -- true`),
        /container side is not valid|has no container "side"/,
      );
    });

    it('describes every kind', async () => {
      const name = await only();
      const told = ['Scheduled', 'Pulled', 'Created', 'Started'].map((reason) => `(?=[^]*Normal +${reason} )`).join('');
      const described = new RegExp(`^${told}[^]*\\nControlled By: +ReplicationController/web\\n`);
      await bed.comesToSay(n, [`describe pod ${name}`, described]);
      await bed.comesToSay(
        n,
        ['describe rc web', /^Replicas: +1 current \/ 1 desired\nPods Status: +1 Running/m],
        ['describe svc web', /^Endpoints: +10\.\d+\.\d+\.\d+:8080$/m],
        ['create token default', /^ey[\w-]+\.[\w-]+\.[\w-]+$/m],
        ['describe endpoints web', /Addresses: +10\.\d+\.\d+\.\d+\n/],
        ['describe serviceaccount default', /^Name: +default$/m],
        [`describe namespace ${n}`, /^Status: +Active$/m],
        ['describe node node-1', new RegExp(`^ +running +${name} `, 'm')],
      );
    });

    it('tells what happened and what is used', async () => {
      const name = await only();
      await bed.says(
        n,
        [`events --for pod/${name}`, /Started/],
        ['events --types=Normal', /SuccessfulCreate +ReplicationController\/web/],
        [
          'get events --field-selector=involvedObject.kind=Pod,reason=Started',
          /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/,
        ],
        ['get events --sort-by=.lastTimestamp', /pod\/web-/],
        ['top nodes', /^NAME +CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\) *\nnode-1 +\d+m/],
      );
      await until(async () => (await bed.raw(`-n ${n} top pods --containers`)).stdout.includes(name), {
        timeoutMs: 20_000,
        everyMs: 300,
        what: 'the figures of the pod',
      });
    });

    it('runs pods by themselves, and waits for their end', async () => {
      const run = ['-n', n, 'run', 'once', `--image=${image}`, '--restart=Never', '--env=A=1', '--labels=of=run'];
      await bed.kubectl([...run, '--command', '--', 'sh', '-c', 'echo done $A']);
      await bed.says(
        n,
        ['wait pod/once --for=jsonpath={.status.phase}=Succeeded --timeout=60s', /condition met/],
        ['wait pod/once --for=create --timeout=5s', /condition met/],
        ['logs once', /^done 1\n$/],
        ['get pod once', /0\/1 +Completed/],
        ['delete pod once --force --grace-period=0', /force deleted/],
        ['wait pod/once --for=delete --timeout=30s', /^$|condition met/],
        [`run web2 --image=${image} --port=80 --expose`, /service\/web2 created\npod\/web2 created/],
        ['delete pod,svc web2 --now', /deleted/],
      );
      assert.match(await bed.refused(`-n ${n} wait rc/web --for=delete --timeout=1s`), /timed out waiting/);
    });

    it('takes a node out of use and back', async () => {
      const before = await only();
      await bed.kubectl('cordon node-1');
      assert.match(await bed.kubectl('get nodes'), /Ready,SchedulingDisabled/);
      await bed.says(
        n,
        ['create poddisruptionbudget web --selector=app=web --min-available=1', /created/],
        ['wait pdb/web --for=jsonpath={.status.currentHealthy}=1 --timeout=30s', /condition met/],
        ['get pdb', /NAME +MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS +AGE\nweb +1 +N\/A +0 /],
        ['describe pdb web', /Allowed disruptions: +0\s+Current: +1\s+Desired: +1\s+Total: +1/],
      );
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: before, namespace: n } };
      assert.match(
        await bed.refused(`create --raw /api/v1/namespaces/${n}/pods/${before}/eviction -f -`, {
          input: JSON.stringify(eviction),
        }),
        /TooManyRequests.*violate the pod's disruption budget web, which needs 1 healthy pods and has 1 currently/,
      );
      await bed.says(n, ['delete pdb web', /deleted/]);
      const drained = await bed.kubectl(
        'drain node-1 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s',
      );
      assert.match(drained, /pod\/web-\w+ evicted[\s\S]*node\/node-1 drained/);
      assert.match(await bed.refused(`-n ${n} get pod ${before}`), /not found/);
      assert.match(await bed.kubectl('taint node node-1 a=b:NoSchedule'), /tainted/);
      assert.match(await bed.kubectl('taint node node-1 a-'), /untainted/);
      assert.match(await bed.kubectl('uncordon node-1'), /uncordoned/);
      await bed.says(n, ready(1));
    });

    it('lets pods be orphaned and taken over, or go with their owner', async () => {
      const one = await only();
      await bed.says(n, ['delete rc web --cascade=orphan', /deleted/]);
      assert.equal(await only(), one);
      await bed.kubectl(`-n ${n} apply -f -`, { input: rc(1) });
      await bed.says(n, ready(1));
      assert.equal(await only(), one);
      await bed.says(n, ['delete rc web --cascade=foreground --timeout=60s', /deleted/]);
      assert.deepEqual(await names(), []);
      await bed.kubectl(`-n ${n} apply -f -`, { input: rc(1) });
      await bed.says(n, ready(1), ['delete rc web', /deleted/]);
      await count(0);
    });
  });
}
