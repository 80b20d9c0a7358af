import assert from 'node:assert/strict';
import { kinds, resources } from '../../../../lib/api/kinds.ts';
import { schema } from '../../../../lib/api/gen/schema.ts';
import { aDoor, closeDoors, rc, type ADoor } from './a-door.ts';

const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';

describe('apiserver/rest: discovery, OpenAPI, forms', () => {
  let door: ADoor;
  before(async () => {
    door = await aDoor();
    await door.ask('POST', '/api/v1/namespaces/default/replicationcontrollers', rc());
  });
  after(closeDoors);

  interface Resources {
    readonly resources: readonly {
      readonly name: string;
      readonly kind: string;
      readonly group?: string;
      readonly shortNames?: readonly string[];
      readonly categories?: readonly string[];
    }[];
  }

  it('tells of every resource that is kept, under its group and version', async () => {
    for (const resource of resources) {
      const { group, version, kind } = kinds[resource];
      const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
      const list = (await door.ask<Resources>('GET', path)).json;
      assert.equal(list.resources.find(({ name }) => name === resource)?.kind, kind, resource);
    }
  });

  it('tells of what kubectl looks for: short names, all, eviction and scale of their own groups', async () => {
    const { resources: core } = (await door.ask<Resources>('GET', '/api/v1')).json;
    const named = (name: string) => core.find((each) => each.name === name);
    assert.deepEqual(named('pods')?.shortNames, ['po']);
    assert.deepEqual(named('services')?.categories, ['all']);
    assert.deepEqual([named('pods/eviction')?.kind, named('pods/eviction')?.group], ['Eviction', 'policy']);
    assert.deepEqual(
      [named('replicationcontrollers/scale')?.kind, named('replicationcontrollers/scale')?.group],
      ['Scale', 'autoscaling'],
    );
  });

  it('tells the same in one answer to those who take it', async () => {
    interface All {
      readonly items: readonly {
        readonly metadata: { readonly name?: string };
        readonly versions: readonly {
          readonly version: string;
          readonly resources: readonly { readonly resource: string }[];
        }[];
      }[];
    }
    const [core, named] = await Promise.all(
      ['/api', '/apis'].map((path) => door.ask<All>('GET', path, undefined, { accept: aggregated })),
    );
    const all = [...(core?.json.items ?? []), ...(named?.json.items ?? [])].flatMap(({ metadata, versions }) =>
      versions.flatMap((each) =>
        each.resources.map(({ resource }) => `${metadata.name ?? ''}/${each.version}/${resource}`),
      ),
    );
    for (const resource of resources)
      assert.ok(all.includes(`${kinds[resource].group}/${kinds[resource].version}/${resource}`), resource);
    assert.match(core?.headers.get('content-type') ?? '', /as=APIGroupDiscoveryList/);
  });

  it('says which version of the API it is', async () => {
    const { json } = await door.ask('GET', '/version');
    assert.deepEqual([json['major'], json['minor']], ['1', '34']);
    assert.match(String(json['gitVersion']), /^v1\.34\.0\+troupe\.\d+\.\d+\.\d+$/);
  });

  it('answers clients that ask for the older description, which has no schema', async () => {
    const { json } = await door.ask('GET', '/openapi/v2');
    assert.deepEqual([json['swagger'], json['paths']], ['2.0', {}]);
    const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const reply = await fetch(`${door.url}/openapi/v2`, { headers: { accept } });
    assert.equal(reply.headers.get('content-type'), accept.replace('@', '.'));
    const version = String((json['info'] as { version: string }).version);
    const length = version.length + 10;
    const want = `\n\x032.0\x12${String.fromCharCode(length)}\n\x06Troupe\x12${String.fromCharCode(version.length)}${version}B\0`;
    assert.equal(Buffer.from(await reply.arrayBuffer()).toString('latin1'), want);
  });

  it('describes every kind with the fields that are checked, each reference to a schema that is there', async () => {
    const index = (await door.ask<{ paths: Record<string, { serverRelativeURL: string }> }>('GET', '/openapi/v3')).json;
    for (const { serverRelativeURL } of Object.values(index.paths)) {
      interface Document {
        readonly paths: Record<string, Record<string, Record<string, unknown>>>;
        readonly components: { readonly schemas: Record<string, { readonly properties: Record<string, unknown> }> };
      }
      const { json: document } = await door.ask<Document>('GET', serverRelativeURL);
      const references = JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g);
      for (const [, name = ''] of references) assert.ok(document.components.schemas[name], name);
      for (const [name, { properties }] of Object.entries(document.components.schemas)) {
        const own = (schema[name.replace('troupe.v1.', '')] ?? '')
          .split('; ')
          .filter((text) => text !== '' && !text.includes(' inline '));
        for (const field of own) assert.ok(properties[field.split(' ')[0] ?? ''] !== undefined, `${name}: ${field}`);
      }
      for (const [path, methods] of Object.entries(document.paths)) {
        const { patch } = methods;
        if (patch !== undefined) assert.match(JSON.stringify(patch), /fieldValidation.*strategic-merge-patch/s, path);
      }
    }
  });

  it('writes tables with our columns, metadata alone, or nothing beside the cells', async () => {
    interface Table {
      readonly kind: string;
      readonly columnDefinitions: readonly { readonly name: string; readonly format: string }[];
      readonly rows: readonly {
        readonly cells: readonly string[];
        readonly object?: { readonly kind: string; readonly metadata: { readonly name: string } };
      }[];
    }
    const table = (more = '') =>
      door.ask<Table>('GET', `/api/v1/namespaces/default/replicationcontrollers?${more}`, undefined, {
        accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
      });
    const { json } = await table();
    assert.deepEqual(
      json.columnDefinitions.slice(0, 2).map(({ name, format }) => [name, format]),
      [
        ['Name', 'name'],
        ['Desired', ''],
      ],
    );
    assert.deepEqual(json.rows[0]?.cells.slice(0, 4), ['web', '2', '0', '0']);
    assert.equal(json.rows[0]?.object?.kind, 'PartialObjectMetadata');
    assert.equal((await table('includeObject=Object')).json.rows[0]?.object?.kind, 'ReplicationController');
    assert.equal((await table('includeObject=None')).json.rows[0]?.object, undefined);
    assert.equal((await table('includeObject=Some')).status, 400);
    const partial = await door.ask<{ kind: string; items: readonly { kind: string; spec?: unknown }[] }>(
      'GET',
      '/api/v1/replicationcontrollers',
      undefined,
      { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
    );
    assert.deepEqual(
      [partial.json.kind, partial.json.items[0]?.kind, partial.json.items[0]?.spec],
      ['PartialObjectMetadataList', 'PartialObjectMetadata', undefined],
    );
  });
});
