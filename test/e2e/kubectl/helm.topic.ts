import assert from 'node:assert/strict';
import type { Said } from '../../support/cluster.ts';
import { clientProgramsOf } from '../../support/kubectl.ts';
import { until } from '../../support/until.ts';
import type { KubectlBed } from './bed.ts';

const chart = 'test/support/charts/guestbook';
const volume = '--set persistence.enabled=true';

/** A chart of the usual kind through its life, by helm 4 and helm 3. */
export function helmTopic(bed: KubectlBed): void {
  for (const version of ['4', '3'] as const) {
    describe(`works with helm ${version}`, () => {
      const n = `helm${version}`;
      /** By the pods of each controller; helm 4 looks at status alone unless it is told this. */
      const wait = version === '4' ? '--wait=legacy' : '--wait';
      let program: string | undefined;
      const raw = (words: string): Promise<Said> => bed.helm(`${words} -n ${n}`, program);
      const helm = async (words: string): Promise<string> => {
        const said = await raw(words);
        assert.equal(said.code, 0, `helm ${words}\n${said.stdout}${said.stderr}`);
        return said.stdout;
      };
      const replicas = (): Promise<string> =>
        bed.kubectl(`-n ${n} get rc web-guestbook -o jsonpath={.status.readyReplicas}/{.spec.replicas}`);
      /** Helm looks at the pods; their controller counts them a moment later. */
      const counts = (wanted: string): Promise<unknown> =>
        until(async () => (await replicas()) === wanted, { what: `${wanted} ready`, timeoutMs: 30_000, everyMs: 200 });
      const page = (): Promise<string> => bed.kubectl(`-n ${n} get cm web-guestbook -o jsonpath={.data.index\\.html}`);

      before(function () {
        program = clientProgramsOf(version === '4' ? '1.35' : '1.32')?.helm;
        if (program === undefined) {
          process.stderr.write(`      SKIPPED: helm ${version}: the package that carries it cannot be fetched\n`);
          this.skip();
        }
      });
      after(async () => {
        if (program !== undefined) await bed.kubectl(`delete namespace ${n} --ignore-not-found --timeout=60s`);
      });

      it('tries, installs with a volume, and waits until it serves', async () => {
        const tried = await helm(`install web ${chart} --create-namespace --dry-run=server`);
        assert.match(tried, /STATUS: pending-install/);
        const installed = await helm(`install web ${chart} --create-namespace ${volume} ${wait} --timeout 60s`);
        assert.match(installed, /STATUS: deployed[\s\S]*http:\/\/web-guestbook\.helm\d:80\//);
        await counts('1/1');
        assert.match(await bed.kubectl(`-n ${n} get pvc web-guestbook`), /Bound/);
        assert.match(await helm('list'), /^web +\thelm\d +\t1 +\t.*\tdeployed\tguestbook-0\.1\.0/m);
        assert.match(await helm('status web'), /STATUS: deployed/);
        assert.match(
          await bed.kubectl(`-n ${n} get secret -l owner=helm`),
          /sh\.helm\.release\.v1\.web\.v1 +helm\.sh\/release\.v1 +1/,
        );
        const again = await raw(`install web ${chart}`);
        assert.deepEqual(
          [again.code, /cannot re-?use a name that is still in use/.test(again.stderr)],
          [1, true],
          again.stderr,
        );
      });

      it('runs the tests of the chart, and shows what they write', async () => {
        const tested = await helm('test web --logs --timeout 60s');
        assert.match(tested, /Phase: +Succeeded[\s\S]*POD LOGS: web-guestbook-test\nhello/);
      });

      it('upgrades and rolls back', async () => {
        const values = `${volume} --set replicaCount=2,page=second`;
        assert.match(await helm(`upgrade web ${chart} ${values} ${wait} --timeout 60s`), /has been upgraded/);
        assert.equal(await page(), 'second');
        await counts('2/2');
        assert.match(await helm('get values web'), /page: second/);
        await helm(`rollback web 1 ${wait} --timeout 60s`);
        assert.equal(await page(), 'hello');
        await counts('1/1');
        const history = await helm('history web');
        assert.match(history, /superseded[\s\S]*superseded[\s\S]*deployed.*Rollback to 1/);
      });

      // Helm 3 does the same by the same code, and it takes its time.
      if (version === '4')
        it('takes back what does not come up, and what is refused', async () => {
          // The second pod is the first one of the new template, and never ready.
          const bad = `${volume} --set readinessPath=/none,replicaCount=2`;
          const failed = await raw(`upgrade web ${chart} ${bad} --rollback-on-failure ${wait} --timeout 4s`);
          assert.equal(failed.code, 1, failed.stdout);
          assert.equal(
            await bed.kubectl(`-n ${n} get rc web-guestbook -o jsonpath={.spec.replicas}`),
            '1',
            failed.stderr,
          );
          const invalid = await raw(`upgrade web ${chart} --set-string replicaCount=x`);
          assert.equal(invalid.code, 1);
          assert.match(invalid.stderr, /spec\.replicas/);
          assert.match(await helm(`upgrade web ${chart} ${volume} --set page=third`), /has been upgraded/);
          assert.equal(await page(), 'third');
        });

      it('uninstalls, and leaves nothing', async () => {
        assert.match(await helm('uninstall web --wait --timeout 60s'), /release "web" uninstalled/);
        const left = (): Promise<string> =>
          bed.kubectl(`-n ${n} get rc,svc,cm,secret,sa,pvc -l app.kubernetes.io/instance=web -o name`);
        // A claim stays as long as a pod that ends uses it.
        await until(async () => (await left()) === '', { timeoutMs: 30_000, everyMs: 300, what: 'nothing to be left' });
        assert.doesNotMatch(await helm('list'), /web/);
        assert.match((await raw('uninstall web')).stderr, /not found/);
      });
    });
  }
}
