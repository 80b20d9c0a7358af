import assert from 'node:assert/strict';
import { rc, type KubectlBed } from './bed.ts';

interface Managed {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly managedFields: readonly { readonly manager: string; readonly operation: string }[];
  };
  readonly spec: { readonly replicas: number };
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** `troupe` and kubectl by turns on the same objects: neither loses what the other keeps. */
export function mixingTopic(bed: KubectlBed): void {
  describe('mixes with troupe', () => {
    const n = 'mixed';
    const troupe = async (...words: readonly string[]): Promise<string> => {
      const said = await bed.cluster.troupe(...words, '-n', n);
      assert.equal(said.code, 0, `troupe ${words.join(' ')}\n${said.stdout}${said.stderr}`);
      return said.stdout;
    };
    const seen = async (): Promise<Managed> =>
      JSON.parse(await bed.kubectl(`-n ${n} get rc web -o json --show-managed-fields`)) as Managed;
    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --wait=false`));

    it('applies by one and changes by the other', async () => {
      await bed.kubectl(`-n ${n} apply -f -`, { input: rc(0) });
      const applied = (await seen()).metadata.annotations[lastApplied];
      assert.ok(applied !== undefined);
      await troupe('scale', 'rc', 'web', '--replicas', '2');
      await troupe('label', 'rc', 'web', 'by=troupe');
      assert.match(await troupe('get', 'rc', 'web'), /web +2 /);
      assert.equal((await seen()).metadata.annotations[lastApplied], applied);
      // kubectl takes back what it applied, and leaves what it knows nothing of.
      assert.match(await bed.kubectl(`-n ${n} apply -f -`, { input: rc(0) }), /configured/);
      const { spec, metadata } = await seen();
      assert.deepEqual([spec.replicas, metadata.labels], [0, { app: 'web', by: 'troupe' }]);
      const file = bed.file('web.yaml', rc(1));
      // The other writes down, too, what it applied: the next apply of either knows what to take back.
      assert.match(await troupe('apply', '-f', file), /web configured/);
      assert.match(await troupe('apply', '-f', file), /web unchanged/);
      assert.match((await seen()).metadata.annotations[lastApplied] ?? '', /"replicas":1/);
      await bed.kubectl(`-n ${n} scale rc web --replicas=0`);
    });

    it('keeps in mind who set which fields, whoever changes them', async () => {
      await bed.kubectl(`-n ${n} apply --server-side --force-conflicts -f -`, { input: rc(0) });
      await troupe('scale', 'rc', 'web', '--replicas', '1');
      await troupe('annotate', 'rc', 'web', 'note=here');
      const { metadata } = await seen();
      const managers = metadata.managedFields.map(({ manager, operation }) => `${manager} ${operation}`);
      assert.ok(managers.includes('kubectl Apply'), managers.join());
      const conflict = await bed.refused(`-n ${n} apply --server-side -f -`, { input: rc(0) });
      assert.match(conflict, /conflict with .*\.spec\.replicas/);
      await bed.kubectl(`-n ${n} apply --server-side --force-conflicts -f -`, { input: rc(0) });
      assert.equal((await seen()).metadata.annotations['note'], 'here');
    });

    it('sees the same, and deletes what the other made', async () => {
      await troupe('delete', 'rc', 'web');
      assert.match(await bed.refused(`-n ${n} get rc web`), /not found/);
      await bed.kubectl(`-n ${n} create configmap one --from-literal=a=1`);
      assert.match(await troupe('get', 'configmaps'), /^one /m);
      await troupe('delete', 'configmap', 'one');
      assert.equal(await bed.kubectl(`-n ${n} get cm one --ignore-not-found`), '');
    });
  });
}
