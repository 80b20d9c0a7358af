import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { image, rc, type KubectlBed } from './bed.ts';

/** Everything that changes objects, in a namespace of its own; nothing of it has to run. */
export function makingTopic(bed: KubectlBed): void {
  describe('makes and changes', () => {
    const n = 'making';
    const given = (input: string): { readonly input: string } => ({ input });
    const map = (name: string, data: object, labels: object = {}): string =>
      JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data });
    const data = (name: string): Promise<string> => bed.kubectl(`-n ${n} get cm ${name} -o jsonpath={.data}`);
    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --wait=false`));

    it('creates the small things in one line each', async () => {
      await bed.says(
        n,
        ['create configmap c --from-literal=a=1 --from-literal=b=2', /configmap\/c created/],
        ['create secret generic s --from-literal=a=1', /secret\/s created/],
        [
          'create secret docker-registry r --docker-server=r --docker-username=u --docker-password=p',
          /secret\/r created/,
        ],
        ['create serviceaccount robot', /serviceaccount\/robot created/],
        ['create service clusterip one --tcp=80:8080', /service\/one created/],
        ['create service nodeport two --tcp=80:8080', /service\/two created/],
        ['create service loadbalancer three --tcp=80:8080', /service\/three created/],
        ['create service externalname four --external-name=example.com', /service\/four created/],
        ['get secret r -o jsonpath={.type}', /^kubernetes\.io\/dockerconfigjson$/],
        [
          'get svc',
          /^four +ExternalName +<none> +example\.com +<none> [\s\S]*^three +LoadBalancer +\S+ +<pending> +80:3\d{4}\/TCP/m,
        ],
      );
      assert.match(await bed.refused(`-n ${n} create configmap c`), /configmaps "c" already exists/);
      assert.match(
        await bed.refused(`-n ${n} create ingress i --rule=a.example/=s:80`),
        /could not find the requested resource/,
      );
    });

    it('tries without doing, on the client and on the server', async () => {
      const words = `-n ${n} create configmap tried --from-literal=a=1 -o yaml`;
      assert.doesNotMatch(await bed.kubectl(`${words} --dry-run=client`), /uid:/);
      assert.match(await bed.kubectl(`${words} --dry-run=server`), /uid: \S+/);
      assert.match(await bed.refused(`-n ${n} get cm tried`), /configmaps "tried" not found/);
    });

    it('applies, shows the difference, applies again', async () => {
      const file = bed.file('shared.json', map('shared', { a: '1' }));
      const changed = bed.file('changed.json', map('shared', { a: '2' }));
      await bed.says(
        n,
        [`apply -f ${file}`, /configmap\/shared created/],
        [`apply -f ${file}`, /configmap\/shared unchanged/],
        [`diff -f ${file}`, /^$/],
      );
      const diff = await bed.raw(`-n ${n} diff -f ${changed}`);
      assert.deepEqual(
        [diff.code, /^-\s+a: "1"\n\+\s+a: "2"$/m.test(diff.stdout)],
        [1, true],
        diff.stdout + diff.stderr,
      );
      assert.equal(await data('shared'), '{"a":"1"}');
      await bed.says(
        n,
        [`apply -f ${changed}`, /configured/],
        [`apply view-last-applied -f ${changed}`, /a: "2"/],
        [`replace -f ${file}`, /replaced/],
        [`replace --force -f ${changed}`, /deleted[\s\S]*replaced/],
        [`delete -f ${changed}`, /deleted/],
        [`delete -f ${changed} --ignore-not-found`, /^$/],
      );
      assert.match(await bed.refused(`-n ${n} delete -f ${changed}`), /NotFound/);
    });

    it('takes away what a folder no longer has', async () => {
      const folder = join(bed.home, 'pruned');
      mkdirSync(folder, { recursive: true });
      const label = { set: 'pruned' };
      bed.file('pruned/a.json', map('kept', {}, label));
      const [first, second] = [bed.file('pruned/b.json', map('left', {}, label)), join(folder, 'c.json')];
      const prune = `apply -f ${folder} --prune -l set=pruned --prune-allowlist=core/v1/ConfigMap`;
      await bed.says(n, [prune, /kept created[\s\S]*left created/]);
      rmSync(first);
      await bed.says(n, [prune, /kept unchanged[\s\S]*configmap\/left pruned/]);
      // The newer way: a Secret keeps what belongs to the set.
      bed.file('pruned/c.json', map('third', {}, label));
      const set = `-n ${n} apply -f ${folder} --prune --applyset=mine --server-side --force-conflicts`.split(' ');
      const env = { KUBECTL_APPLYSET: 'true' };
      assert.match(await bed.kubectl(set, { env }), /third serverside-applied/);
      rmSync(second);
      assert.match(await bed.kubectl(set, { env }), /configmap\/third pruned/);
      assert.match(await bed.kubectl(`-n ${n} get cm -l set=pruned -o name`), /^configmap\/kept\n$/);
    });

    it('refuses what is wrong before anything is changed, and says where', async () => {
      const apply = `-n ${n} apply -f -`;
      const unknown = await bed.refused(apply, given(rc(1).replace('replicas:', 'replikas:')));
      assert.match(unknown, /unknown field "spec.replikas"/);
      const invalid = await bed.refused(
        apply,
        given(rc(1).replace('{app: web}\n  template', '{app: other}\n  template')),
      );
      assert.match(invalid, /spec\.template\.metadata\.labels/);
      assert.match(await bed.refused(apply, given('kind: Pod')), /apiVersion not set|apiVersion must be set/i);
    });

    it('patches in every way, labels, annotates', async () => {
      const words = (...more: readonly string[]): readonly string[] => ['-n', n, 'patch', 'rc', 'web', ...more];
      await bed.kubectl(`-n ${n} create -f -`, given(rc(0)));
      await bed.kubectl(words('--type=json', '-p', '[{"op":"add","path":"/metadata/labels/by","value":"json"}]'));
      await bed.kubectl(words('--type=merge', '-p', '{"metadata":{"labels":{"by":"merge","gone":null}}}'));
      await bed.kubectl(words('-p', '{"spec":{"template":{"spec":{"containers":[{"name":"main","tty":true}]}}}}'));
      await bed.kubectl(
        words('--type=merge', '--subresource=scale', '-p', '{"spec":{"minReadySeconds":1,"replicas":0}}'),
      );
      assert.match(await bed.kubectl(words('-p', '{"metadata":{"labels":{"by":"merge"}}}')), /patched \(no change\)/);
      const test = await bed.refused(words('--type=json', '-p', '[{"op":"test","path":"/spec/replicas","value":9}]'));
      assert.match(test, /Test failed: 0 != 9/);
      await bed.says(
        n,
        ['label rc web tier=front', /labeled/],
        ['label rc web tier=back --overwrite', /labeled/],
        ['label rc --all extra=1', /labeled/],
        ['label rc web extra-', /unlabeled/],
        ['annotate rc web note=here other=1', /annotated/],
        ['annotate rc web other-', /annotated/],
        ['get rc web --subresource=scale', /^NAME +DESIRED +AVAILABLE +AGE\nweb +0 +0 /],
      );
      assert.match(await bed.refused(`-n ${n} label rc web tier=other`), /already has a value \(back\)/);
      const seen = JSON.parse(await bed.kubectl(`-n ${n} get rc web -o json`)) as {
        metadata: { labels: object; annotations: object };
        spec: { template: { spec: { containers: readonly { tty: boolean; image: string }[] } } };
      };
      assert.deepEqual(seen.metadata.labels, { app: 'web', by: 'merge', tier: 'back' });
      assert.deepEqual(seen.metadata.annotations, { note: 'here' });
      const [main] = seen.spec.template.spec.containers;
      assert.deepEqual([main?.tty, main?.image], [true, image]);
    });

    it('sets images, variables, resources, accounts and selectors', async () => {
      await bed.says(
        n,
        ['set image rc/web main=other:2', /image updated/],
        ['set env rc/web EXTRA=1', /env updated/],
        ['set env rc/web --list', /RELEASE=1\nEXTRA=1/],
        ['set resources rc web --limits=cpu=200m,memory=64Mi', /resource requirements updated/],
        ['set serviceaccount rc web robot', /serviceaccount updated/],
        ['set selector svc one app=web', /selector updated/],
        ['get rc web -o jsonpath={..image}/{..serviceAccountName}/{..limits.cpu}', /^other:2\/robot\/200m$/],
        ['get svc one -o jsonpath={.spec.selector}', /^\{"app":"web"\}$/],
      );
      assert.match(await bed.refused(`-n ${n} set image rc/web none=x`), /unable to find container named "none"/);
    });

    it('edits with an editor, and keeps what was refused for another try', async () => {
      const edit = (script: string, words: string): Parameters<KubectlBed['raw']> => [
        `-n ${n} ${words}`,
        { env: { EDITOR: `sed -i ${script}` } },
      ];
      assert.match(await bed.kubectl(...edit('s/by:.*/by:\\ editor/', 'edit rc web')), /edited/);
      assert.match((await bed.raw(...edit('s/nothing/x/', 'edit rc web'))).stderr, /no changes made/);
      assert.match(
        await bed.refused(...edit('s/replicas:.*/replicas:\\ -1/', 'edit rc web')),
        /is invalid[\s\S]*stored to/,
      );
      assert.equal(await bed.kubectl(`-n ${n} get rc web -o jsonpath={.metadata.labels.by}`), 'editor');
    });

    it('applies on the server, names who holds what, and takes by force alone', async () => {
      const apply = `-n ${n} apply --server-side -f -`;
      assert.match(await bed.kubectl(apply, given(map('owned', { a: '1', b: '1' }))), /serverside-applied/);
      const conflict = await bed.refused(`${apply} --field-manager=other`, given(map('owned', { a: '2' })));
      assert.match(conflict, /conflict with "kubectl" using v1: \.data\.a/);
      await bed.kubectl(`${apply} --field-manager=other --force-conflicts`, given(map('owned', { a: '2' })));
      // What the first no longer applies goes, unless somebody else holds it.
      await bed.kubectl(apply, given(map('owned', {})));
      assert.equal(await data('owned'), '{"a":"2"}');
      const shown = await bed.kubectl(`-n ${n} get cm owned -o yaml --show-managed-fields`);
      assert.match(shown, /f:a: \{\}[\s\S]*manager: other\n\s+operation: Apply/);
      const diff = await bed.raw(`-n ${n} diff --server-side --force-conflicts -f -`, given(map('owned', { a: '3' })));
      assert.deepEqual([diff.code, /^\+\s+a: "3"$/m.test(diff.stdout)], [1, true], diff.stderr);
    });

    it('deletes in every form', async () => {
      for (const name of ['d1', 'd2', 'd3', 'd4', 'd5'])
        await bed.kubectl(`-n ${n} create -f -`, given(map(name, {}, { of: 'delete', name })));
      await bed.says(
        n,
        ['delete cm d1 --now', /"d1" deleted/],
        ['delete cm/d2 --wait=false', /"d2" deleted/],
        ['delete cm -l name=d3', /"d3" deleted/],
        ['delete cm d4 --dry-run=server', /"d4" deleted.*server dry run/],
        ['delete cm --field-selector=metadata.name=d5', /"d5" deleted/],
        ['delete cm -l of=nothing', /No resources found/],
        ['get cm -l of=delete -o name', /^configmap\/d4\n$/],
        ['delete cm --all', /"d4" deleted/],
      );
      assert.match(await bed.refused(`-n ${n} delete cm none`), /configmaps "none" not found/);
      assert.match(await bed.refused('delete namespace default'), /Forbidden/);
    });
  });
}
