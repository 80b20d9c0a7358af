import assert from 'node:assert/strict';
import { encodeMessage } from '../../../../lib/api/codec/message.ts';
import { copyJson, type Json, type MutableJson } from '../../../../lib/api/json.ts';
import { apiVersionOf, kinds, resources, type KindInfo } from '../../../../lib/api/kinds.ts';
import { columnsOf } from '../../../../lib/api/printing/index.ts';
import { aDefinition, kindSamples } from '../../../support/kind-samples.ts';
import { aDoor, closeDoors, type ADoor } from './a-door.ts';

interface Told {
  readonly type: string;
  readonly object: { readonly kind: string; readonly metadata: Readonly<Record<string, unknown>> };
}

/** As a client sends it: what only the server says is left out. */
function draftOf(info: KindInfo, sample: object): MutableJson {
  const object = copyJson(sample) as MutableJson;
  const {
    uid: _,
    resourceVersion: _r,
    creationTimestamp: _c,
    generation: _g,
    ...metadata
  } = object['metadata'] as Json;
  const { namespace: _n, ...rest } = metadata;
  delete object['status'];
  return {
    ...object,
    ...{ apiVersion: apiVersionOf(info), kind: info.kind },
    metadata: info.namespaced ? metadata : rest,
  };
}

/** What is served of every kind, built in or defined by users: kinds that come later are tried as soon as they are in the table. */
describe('apiserver/rest: every kind', () => {
  let door: ADoor;
  before(async () => {
    door = await aDoor();
    const made = await door.ask(
      'POST',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      draftOf(kinds.customresourcedefinitions, aDefinition()),
    );
    assert.equal(made.status, 201, JSON.stringify(made.json));
  });
  after(closeDoors);

  const widget: KindInfo = {
    ...{ resource: 'widgets', kind: 'Widget', singular: 'widget', shortNames: ['wix'], group: 'example.com' },
    ...{ version: 'v1', namespaced: true, hasStatus: true },
  };
  const samples: readonly (readonly [KindInfo, object])[] = [
    ...resources.map((resource) => [kinds[resource], kindSamples[resource]] as const),
    [widget, { metadata: { name: 'x', namespace: 'default' }, spec: { size: 3 } }],
  ];

  for (const [info, sample] of samples) {
    const root = info.group === '' ? `/api/${info.version}` : `/apis/${info.group}/${info.version}`;
    const path = `${root}${info.namespaced ? '/namespaces/default' : ''}/${info.resource}`;
    const isOwn = info.group === 'example.com';

    it(`makes, shows, lists, watches, changes in every way, explains and removes ${info.resource}`, async () => {
      const draft = draftOf(info, sample);
      const name = String((draft['metadata'] as Json)['name']);
      const one = `${path}/${encodeURIComponent(name)}`;
      await door.ask('DELETE', one, { gracePeriodSeconds: 0 });
      await gone(one);
      const from = (await door.ask<{ metadata: { resourceVersion: string } }>('GET', path)).json.metadata;
      const created = await door.ask('POST', path, draft);
      assert.equal(created.status, 201, JSON.stringify(created.json));
      assert.deepEqual([created.json['kind'], created.json['apiVersion']], [info.kind, apiVersionOf(info)]);

      const again = await door.ask('POST', path, draft);
      assert.deepEqual([again.status, again.json['reason']], [409, 'AlreadyExists']);
      const got = await door.ask('GET', one);
      assert.deepEqual([got.status, got.json], [200, created.json]);
      const list = await door.ask<{ kind: string; items: readonly Json[] }>(
        'GET',
        `${path}?fieldSelector=metadata.name=${encodeURIComponent(name)}`,
      );
      assert.equal(list.json.kind, `${info.kind}List`);
      assert.deepEqual(list.json.items, [created.json]);

      const table = await door.ask<{
        kind: string;
        columnDefinitions: readonly Json[];
        rows: readonly { cells: Json[] }[];
      }>('GET', path, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
      assert.equal(table.json.kind, 'Table');
      for (const { cells } of table.json.rows) assert.equal(cells.length, table.json.columnDefinitions.length);
      if (!isOwn)
        assert.equal(
          table.json.columnDefinitions.length,
          columnsOf(info.resource as (typeof resources)[number]).length,
        );
      assert.ok(table.json.columnDefinitions.some((column) => column['format'] === 'name'));

      const patches = [
        ['merge', 'application/merge-patch+json', { metadata: { labels: { by: 'merge' } } }],
        ['json', 'application/json-patch+json', [{ op: 'add', path: '/metadata/labels/by', value: 'json' }]],
        ['strategic', 'application/strategic-merge-patch+json', { metadata: { labels: { by: 'strategic' } } }],
      ] as const;
      for (const [by, type, patch] of patches) {
        const patched = await door.ask<{ metadata: { labels: Json } }>('PATCH', one, patch, { 'content-type': type });
        if (isOwn && by === 'strategic') assert.equal(patched.status, 415);
        else {
          assert.equal(patched.status, 200, `${by}: ${JSON.stringify(patched.json)}`);
          assert.equal(patched.json.metadata.labels['by'], by);
        }
      }
      const wish = {
        ...{ apiVersion: apiVersionOf(info), kind: info.kind },
        metadata: { name, annotations: { 'example.com/by': 'apply' } },
      };
      const applied = await door.ask<{ metadata: { annotations: Json; managedFields: readonly Json[] } }>(
        'PATCH',
        `${one}?fieldManager=me`,
        JSON.stringify(wish),
        { 'content-type': 'application/apply-patch+yaml' },
      );
      assert.equal(applied.status, 200, JSON.stringify(applied.json));
      assert.equal(applied.json.metadata.annotations['example.com/by'], 'apply');
      assert.ok(applied.json.metadata.managedFields.some(({ manager }) => manager === 'me'));

      const strange = { ...draft, metadata: { ...(draft['metadata'] as Json), name: 'strange' }, strangeField: 1 };
      const strict = await door.ask('POST', `${path}?fieldValidation=Strict&dryRun=All`, strange);
      assert.deepEqual(
        [strict.status, /unknown field "strangeField"/.test(String(strict.json['message']))],
        [400, true],
      );

      const removed = await door.ask('DELETE', one, { gracePeriodSeconds: 0, propagationPolicy: 'Background' });
      assert.ok(removed.status < 300, JSON.stringify(removed.json));
      await gone(one);
      const missing = await door.ask('GET', one);
      assert.deepEqual([missing.status, missing.json['reason']], [404, 'NotFound']);
      assert.deepEqual(await typesSince(path, from.resourceVersion, name), ['ADDED', 'MODIFIED', 'DELETED']);
    });

    it(`is told of by discovery and described: ${info.resource}`, async () => {
      const found = await door.ask<{ resources: readonly { name: string; kind: string; verbs: string[] }[] }>(
        'GET',
        root,
      );
      const told = found.json.resources.find(({ name }) => name === info.resource);
      assert.deepEqual([told?.kind, told?.verbs.includes('deletecollection')], [info.kind, true]);
      const api = await door.ask<{ components: { schemas: Readonly<Record<string, Json>> } }>(
        'GET',
        `/openapi/v3${root}`,
      );
      const described = Object.values(api.json.components.schemas).find((schema) =>
        (schema['x-kubernetes-group-version-kind'] as readonly Json[] | undefined)?.some(
          ({ kind, group }) => kind === info.kind && group === info.group,
        ),
      );
      assert.ok(described !== undefined, 'a schema with the kind');
      assert.ok(JSON.stringify(described).includes('"metadata"'));
    });

    if (!isOwn)
      it(`takes the protobuf of ${info.resource}`, async () => {
        const draft = draftOf(info, sample);
        const { apiVersion, kind, ...rest } = draft;
        const raw = encodeMessage(info.kind as 'Pod', rest);
        const body = Buffer.concat([
          Buffer.from([0x6b, 0x38, 0x73, 0x00]),
          encodeMessage('Unknown', { apiVersion, kind, raw } as never),
        ]);
        const made = await door.ask('POST', `${path}?dryRun=All`, body, {
          'content-type': 'application/vnd.kubernetes.protobuf',
        });
        assert.ok(made.status === 201 || made.status === 409, JSON.stringify(made.json));
      });
  }

  /** Takes away what holds an object that was asked to go, as its controllers do. */
  async function gone(one: string): Promise<void> {
    const { status, json } = await door.ask<{ spec?: Json; metadata: Json }>('GET', one);
    if (status === 404) return;
    await door.ask(
      'PATCH',
      one,
      { metadata: { finalizers: null } },
      { 'content-type': 'application/merge-patch+json' },
    );
    if (one.startsWith('/api/v1/namespaces/') && one.split('/').length === 5) {
      await door.ask('DELETE', `${one}/serviceaccounts/default`);
      await door.ask('PUT', `${one}/finalize`, { ...json, spec: { finalizers: [] } });
    }
  }

  /** The kinds of news of one object since a revision, each once. */
  async function typesSince(path: string, revision: string, name: string): Promise<readonly string[]> {
    const ending = new AbortController();
    const reply = await fetch(
      `${door.url}${path}?watch=true&resourceVersion=${revision}&fieldSelector=metadata.name=${encodeURIComponent(name)}`,
      { signal: ending.signal },
    );
    const types = new Set<string>();
    let text = '';
    try {
      for await (const bytes of reply.body ?? []) {
        text += Buffer.from(bytes as Uint8Array).toString('utf8');
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) types.add((JSON.parse(line) as Told).type);
        if (types.has('DELETED')) break;
      }
    } finally {
      ending.abort();
    }
    return [...types];
  }
});
