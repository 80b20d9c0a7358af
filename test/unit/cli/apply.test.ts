import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lastAppliedAnnotation } from '../../../cli/apply/apply.ts';
import { threeWayMerge } from '../../../cli/apply/merge.ts';
import { invalid } from '../../../lib/base/errors.ts';
import type { Json } from '../../../lib/api/json.ts';
import { anRc, aService } from '../../support/builders.ts';
import { FakeClient, troupe, withFiles } from './run.ts';

const rcManifest = (replicas: number, more = ''): string => `apiVersion: v1
kind: ReplicationController
metadata:
  name: web
spec:
  replicas: ${replicas}
  selector: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: main
          image: example/web:1${more}
`;
const serviceManifest = `apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
    - port: 80
`;

describe('cli/apply', () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
  });
  const apply = (stdin: string, words = ''): ReturnType<typeof troupe> =>
    troupe(client, `apply -f -${words === '' ? '' : ` ${words}`}`, { stdin });

  it('creates, then finds nothing to do, then changes what differs', async () => {
    assert.deepEqual(await apply(rcManifest(3)), { code: 0, out: 'replicationcontroller/web created\n', err: '' });
    assert.deepEqual(await apply(rcManifest(3)), { code: 0, out: 'replicationcontroller/web unchanged\n', err: '' });
    assert.equal(client.writes.length, 1, 'nothing is sent for an object that is as declared');
    assert.equal((await apply(rcManifest(5))).out, 'replicationcontroller/web configured\n');
    assert.equal(client.peek('replicationcontrollers', 'default/web')?.spec.replicas, 5);
  });

  it('keeps a record of the manifest on the object', async () => {
    await apply(serviceManifest);
    const record = client.peek('services', 'default/web')?.metadata.annotations?.[lastAppliedAnnotation] ?? '';
    assert.deepEqual(JSON.parse(record), {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default', annotations: {} },
      spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
  });

  it('leaves alone what others set and takes away what the manifest says no more', async () => {
    await apply(rcManifest(3, '\n          env: [{name: A, value: a}, {name: B, value: b}]'));
    const made = client.peek('replicationcontrollers', 'default/web');
    assert.ok(made);
    client.put('replicationcontrollers', {
      ...made,
      metadata: { ...made.metadata, labels: { added: 'by-another' } },
      status: { replicas: 3 },
    });
    await apply(rcManifest(3, '\n          env: [{name: B, value: bb}]'));
    const now = client.peek('replicationcontrollers', 'default/web');
    assert.deepEqual(now?.spec.template.spec.containers[0]?.env, [{ name: 'B', value: 'bb' }]);
    assert.deepEqual(now.metadata.labels, { added: 'by-another' });
    assert.deepEqual(now.status, { replicas: 3 });
  });

  it('keeps what the server filled into the items of a list', async () => {
    await apply(serviceManifest);
    const made = client.peek('services', 'default/web');
    assert.ok(made);
    const ports = [{ port: 80, targetPort: 80, protocol: 'TCP', nodePort: 30080 }] as const;
    client.put('services', { ...made, spec: { ...aService().spec, ...made.spec, ports } });
    assert.equal((await apply(serviceManifest)).out, 'service/web unchanged\n');
    await apply(serviceManifest.replace('- port: 80', '- port: 80\n      name: http'));
    assert.equal(client.peek('services', 'default/web')?.spec.ports?.[0]?.nodePort, 30080);
  });

  it('takes over an object that was made another way', async () => {
    client.put('replicationcontrollers', anRc({ name: 'web', replicas: 1 }));
    assert.equal((await apply(rcManifest(3))).out, 'replicationcontroller/web configured\n');
    assert.equal(client.peek('replicationcontrollers', 'default/web')?.spec.replicas, 3);
  });

  it('looks again when someone was quicker', async () => {
    let quicker = 2;
    client.beforeWrite = () => {
      if (quicker-- > 0) client.put('replicationcontrollers', anRc({ name: 'web', replicas: quicker }));
    };
    const said = await apply(rcManifest(3));
    assert.equal(said.code, 0, said.err);
    assert.equal(client.peek('replicationcontrollers', 'default/web')?.spec.replicas, 3);
  });

  it('applies services and configuration before what uses them, in whatever order they are written', async () => {
    const said = await apply(`${rcManifest(1)}---\n${serviceManifest}`);
    assert.equal(said.out, 'service/web created\nreplicationcontroller/web created\n');
  });

  it('reads folders, several documents, Lists and JSON', async () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: ['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: {} })),
    };
    await withFiles(
      {
        '1.yaml': `---\n${serviceManifest}---\n# nothing\n---\n${rcManifest(1)}`,
        '2.json': JSON.stringify(list, undefined, '\t'),
        'notes.txt': '{',
      },
      async (folder) => {
        const said = await troupe(client, `apply -f ${folder} -o name`);
        assert.equal(said.out, 'configmap/a\nconfigmap/b\nservice/web\nreplicationcontroller/web\n', said.err);
        assert.equal((await troupe(client, `delete -f ${folder}`)).code, 0);
        assert.equal((await troupe(client, 'get configmaps,services,rc -o name')).out, '');
      },
    );
  });

  it('sends the namespace it was told, and refuses a manifest that names another', async () => {
    await apply(serviceManifest, '-n shop');
    assert.ok(client.peek('services', 'shop/web'));
    const said = await apply(serviceManifest.replace('name: web', 'name: web\n  namespace: data'), '-n shop');
    assert.equal(said.code, 2);
    assert.match(said.err, /standard input:1: service\/web says namespace "data", but -n says "shop"/);
  });

  it('checks all before it writes anything', async () => {
    const bad = `${serviceManifest}---\napiVersion: v1\nkind: Gizmo\nmetadata: {name: x}\n---\nkind: Pod\n---\n- a\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n---\n${serviceManifest}`;
    const said = await apply(bad);
    assert.equal(said.code, 1);
    assert.equal(client.writes.length, 0);
    assert.match(said.err, /^error: the manifests have 5 errors:$/m);
    assert.match(said.err, /standard input:10: there is no kind "Gizmo" in version "v1"\. There are Namespace \(v1\)/);
    assert.match(said.err, /standard input:14: apiVersion: missing/);
    assert.match(said.err, /standard input:16: not an object but a list/);
    assert.match(said.err, /standard input:18: Pod: metadata\.name: missing/);
    assert.match(said.err, /standard input:22: Service "web" is declared twice; the first is at standard input:1/);
  });

  const syntax: { it: string; text: string; says: RegExp }[] = [
    { it: 'an indentation error', text: 'apiVersion: v1\n kind: Pod\n', says: /standard input:1:13: / },
    {
      it: 'a key given twice',
      text: 'apiVersion: v1\nkind: Pod\nkind: Pod\n',
      says: /standard input:3:1: Map keys must be unique/,
    },
    {
      it: 'broken JSON',
      text: '{"apiVersion": "v1",\n "kind": }',
      says: /^error: standard input:2:10: not valid JSON: /,
    },
    { it: 'an alias without anchor', text: 'a: *nowhere\n', says: /standard input:1:\d*: .*nowhere/ },
    { it: 'nothing at all', text: '# empty\n', says: /standard input: no object in it/ },
  ];
  for (const { it: title, text, says } of syntax) {
    it(`says where there is ${title}`, async () => {
      const said = await apply(text);
      assert.equal(said.code, 1);
      assert.match(said.err, says);
    });
  }

  it('refuses a URL and says why and what to do', async () => {
    const said = await troupe(client, 'apply -f https://example.org/x/web.yaml?raw=1');
    assert.equal(said.code, 2, said.err);
    assert.match(said.err, /manifests are not read from the network/);
    assert.match(said.err, /curl -fLo web\.yaml https:\/\/example\.org\/x\/web\.yaml\?raw=1/);
  });

  it('says which rule a field breaks, with its value and its place in the manifest', async () => {
    client.beforeWrite = (what) => {
      if (!what.includes('replicationcontrollers')) return;
      throw invalid('ReplicationController', 'web', [
        {
          field: 'spec.replicas',
          reason: 'FieldValueInvalid',
          message: 'Invalid value: -1: must be greater than or equal to 0',
        },
        {
          field: 'spec.template.spec.containers[0].ports[0].containerPort',
          reason: 'FieldValueRequired',
          message: 'Required value',
        },
        {
          field: 'spec',
          reason: 'FieldValueInvalid',
          message: 'Invalid value: "object": a rule on the whole of it',
        },
      ]);
    };
    const said = await apply(`${rcManifest(-1)}---\n${serviceManifest}`);
    assert.equal(said.code, 1);
    assert.equal(said.out, 'service/web created\n', 'the others are applied all the same');
    assert.equal(
      said.err,
      [
        'error: could not apply replicationcontroller/web (standard input:1): it breaks 3 rules',
        '  field: spec.replicas (standard input:6:3)',
        '  value: -1',
        '  rule:  must be greater than or equal to 0',
        '  field: spec.template.spec.containers[0].ports[0].containerPort (standard input:13:11)',
        '  rule:  Required value',
        '  field: spec (standard input:5:1)',
        '  rule:  a rule on the whole of it',
        '1 of 2 objects could not be applied',
        '',
      ].join('\n'),
    );
  });

  it('passes warnings on with their place, and asks for strictness with --strict', async () => {
    client.warning = 'unknown field "spec.replica"';
    const said = await apply(rcManifest(1));
    assert.equal(said.err, 'warning: standard input:1: replicationcontroller/web: unknown field "spec.replica"\n');
    await apply(rcManifest(2), '--strict');
    assert.deepEqual(
      client.writes.map(({ options }) => (options as { fieldValidation: string }).fieldValidation),
      ['Warn', 'Strict'],
    );
  });

  it('changes nothing with --dry-run', async () => {
    assert.equal((await apply(rcManifest(1), '--dry-run')).out, 'replicationcontroller/web created (dry run)\n');
    assert.equal((client.writes[0]?.options as { dryRun: boolean }).dryRun, true);
    assert.equal((await apply(rcManifest(1), '--dry-run=client')).out, 'replicationcontroller/web created (dry run)\n');
    assert.equal(client.writes.length, 1);
    assert.equal((await apply(rcManifest(1), '--dry-run=maybe')).code, 2);
  });

  it('reads file modes as YAML 1.1 wrote them', async () => {
    const manifest =
      'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  volumes:\n    - {name: v, configMap: {name: c, defaultMode: 0644}}\n  containers: []\n';
    await apply(manifest);
    assert.equal(client.peek('pods', 'default/p')?.spec.volumes?.[0]?.configMap?.defaultMode, 0o644);
  });

  describe('threeWayMerge', () => {
    const json = fc.letrec<{ value: unknown; object: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.integer(),
        fc.string(),
        fc.boolean(),
        tie('object'),
        fc.array(tie('value'), { maxLength: 3 }),
      ),
      object: fc.dictionary(fc.constantFrom('a', 'b', 'ports', 'containers', '__proto__'), tie('value'), {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    })).object;

    it('makes the manifest true, and is then at rest', () => {
      fc.assert(
        fc.property(json, json, json, (last, wanted, current) => {
          const merged = threeWayMerge(last, wanted, current);
          for (const [field, value] of Object.entries(wanted)) {
            if (typeof value !== 'object') assert.deepEqual(merged[field], value);
          }
          for (const field of Object.keys(last))
            if (!Object.hasOwn(wanted, field)) assert.ok(!Object.hasOwn(merged, field));
          for (const [field, value] of Object.entries(current)) {
            if (!Object.hasOwn(wanted, field) && !Object.hasOwn(last, field)) assert.deepEqual(merged[field], value);
          }
          assert.deepEqual(threeWayMerge(wanted, wanted, merged), merged);
        }),
      );
    });

    it('replaces a volume as a whole, since it has one source', () => {
      const volumes = (source: object): Json => ({ volumes: [{ name: 'data', ...source }] });
      const merged = threeWayMerge(
        { volumes: [{ name: 'data' }] },
        volumes({ hostPath: { path: '/x' } }),
        volumes({ emptyDir: {} }),
      );
      assert.deepEqual(merged, volumes({ hostPath: { path: '/x' } }));
    });
  });
});
