import assert from 'node:assert/strict';
import type { Json } from '../../../../lib/api/json.ts';
import { systemClock } from '../../../../lib/base/clock.ts';
import { newFanOut } from '../../../../services/apiserver/door/fan-out.ts';
import { newIdentities } from '../../../../services/apiserver/identity/identities.ts';
import { newRegistry } from '../../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import { newUsage } from '../../../../services/apiserver/usage/usage.ts';
import { aDoor, closeDoors, type ADoor } from './a-door.ts';

interface Status {
  readonly reason: string;
  readonly message: string;
  readonly details?: { readonly causes?: readonly { readonly field: string; readonly message: string }[] };
}
interface Widget {
  readonly apiVersion: string;
  readonly metadata: { readonly name: string; readonly generation: number; readonly resourceVersion: string };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const widgets = '/apis/example.com/v1/namespaces/default/widgets';
const merge = { 'content-type': 'application/merge-patch+json' };

const version = (name: string, properties: object, more: object = {}, rules: readonly object[] = []): object => ({
  ...{ name, served: true, storage: name === 'v1' },
  schema: {
    openAPIV3Schema: {
      type: 'object',
      properties: {
        spec: { type: 'object', properties, 'x-kubernetes-validations': rules },
        status: { type: 'object' },
      },
    },
  },
  ...more,
});
const definition = (properties: object, more: object = {}, names: object = {}): object => ({
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', ...names },
    versions: [version('v1', properties, more)],
  },
});
const widget = (spec: object, name = 'a'): object => ({ metadata: { name }, spec });

describe('apiserver/rest: kinds that users define', () => {
  let store: MemoryStore;
  let door: ADoor;
  const start = async (): Promise<ADoor> => {
    const registry = await newRegistry({ store, clock: systemClock });
    const identities = newIdentities({ registry, clock: systemClock });
    return aDoor({ registry, identities, fanOut: newFanOut(registry), usage: newUsage(registry, undefined) });
  };
  beforeEach(async () => {
    store = new MemoryStore({ clock: systemClock });
    door = await start();
  });
  afterEach(async () => {
    await closeDoors();
  });
  const define = async (properties: object, more: object = {}, names: object = {}): Promise<void> => {
    const { status, json } = await door.ask('POST', definitions, definition(properties, more, names));
    assert.equal(status, 201, JSON.stringify(json));
  };

  it('serves a kind at once, by way of every server, and after a restart', async () => {
    const other = await start();
    await define({ size: { type: 'integer' } });
    assert.equal((await other.ask('POST', widgets, widget({ size: 1 }))).status, 201);
    const late = await start();
    assert.equal((await late.ask<Widget>('GET', `${widgets}/a`)).json.spec['size'], 1);
    const { json } = await other.ask<{ resources: readonly { name: string }[] }>('GET', '/apis/example.com/v1');
    assert.deepEqual(
      json.resources.map(({ name }) => name),
      ['widgets'],
    );
    const groups = await late.ask<{ groups: readonly { name: string }[] }>('GET', '/apis');
    assert.ok(groups.json.groups.some(({ name }) => name === 'example.com'));
  });

  const rules: readonly (readonly [what: string, schema: object, good: unknown, bad: unknown, says: RegExp])[] = [
    ['a type', { type: 'integer' }, 3, 'x', /must be of type integer: "string"/],
    ['a minimum', { type: 'integer', minimum: 1 }, 1, 0, /should be greater than or equal to 1/],
    ['an exclusive maximum', { type: 'number', maximum: 2, exclusiveMaximum: true }, 1.9, 2, /should be less than 2/],
    ['a multiple', { type: 'number', multipleOf: 0.1 }, 0.3, 0.25, /should be a multiple of 0.1/],
    [
      'an enumeration',
      { type: 'string', enum: ['a', 'b'] },
      'a',
      'c',
      /Unsupported value: "c": supported values: "a", "b"/,
    ],
    ['a pattern', { type: 'string', pattern: '^[a-z]+$' }, 'ab', 'A', /should match '\^\[a-z\]\+\$'/],
    ['a pattern with flags in front', { type: 'string', pattern: '(?i)^ok$' }, 'OK', 'no', /should match/],
    ['a length', { type: 'string', maxLength: 2 }, 'ab', 'abc', /Too long/],
    ['a format', { type: 'string', format: 'date-time' }, '2026-01-01T00:00:00Z', 'now', /must be of type date-time/],
    ['integers or strings', { 'x-kubernetes-int-or-string': true }, '50%', 1.5, /must be an integer or a string/],
    ['a null where one is allowed', { type: 'string', nullable: true }, null, 1, /must be of type string/],
    ['no null elsewhere', { type: 'string' }, 'a', null, /must be of type string: "null"/],
    [
      'a number of items',
      { type: 'array', items: { type: 'string' }, maxItems: 1 },
      ['a'],
      ['a', 'b'],
      /at most 1 items/,
    ],
    [
      'items of a type',
      { type: 'array', items: { type: 'string' } },
      ['a'],
      [1],
      /spec.value\[0\] in body must be of type string/,
    ],
    [
      'values of a map',
      { type: 'object', additionalProperties: { type: 'integer' } },
      { a: 1 },
      { a: 'x' },
      /spec.value.a/,
    ],
    [
      'what is required',
      { type: 'object', required: ['a'], properties: { a: { type: 'string' } } },
      { a: '' },
      {},
      /spec.value.a: Required value/,
    ],
    [
      'a set',
      { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
      ['a', 'b'],
      ['a', 'a'],
      /Duplicate value/,
    ],
    [
      'a list by keys',
      {
        type: 'array',
        items: { type: 'object', required: ['n'], properties: { n: { type: 'string' } } },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['n'],
      },
      [{ n: 'a' }, { n: 'b' }],
      [{ n: 'a' }, { n: 'a' }],
      /Duplicate value/,
    ],
    [
      'one of several',
      {
        type: 'object',
        properties: { a: { type: 'string' }, b: { type: 'string' } },
        oneOf: [{ required: ['a'] }, { required: ['b'] }],
      },
      { a: 'x' },
      { a: 'x', b: 'y' },
      /one and only one schema/,
    ],
    ['what is not to be', { type: 'string', not: { enum: ['no'] } }, 'yes', 'no', /must not validate/],
    [
      'an embedded object',
      { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
      { apiVersion: 'v1', kind: 'Pod' },
      { kind: 'Pod' },
      /apiVersion: Required/,
    ],
  ];
  for (const [what, schema, good, bad, says] of rules)
    it(`holds objects to ${what}`, async () => {
      await define({ value: schema });
      const right = await door.ask<Widget>('POST', widgets, widget({ value: good }));
      assert.equal(right.status, 201, JSON.stringify(right.json));
      assert.deepEqual(right.json.spec['value'], good);
      const wrong = await door.ask<Status>('POST', widgets, widget({ value: bad }, 'b'));
      assert.deepEqual([wrong.status, wrong.json.reason], [422, 'Invalid']);
      assert.match(wrong.json.message, says);
    });

  it('drops what the schema does not know, with a warning, and keeps what it wants kept', async () => {
    await define({ known: { type: 'string' }, open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } });
    const made = await door.ask<Widget>('POST', widgets, widget({ known: 'x', other: 1, open: { any: { thing: 1 } } }));
    assert.deepEqual(made.json.spec, { known: 'x', open: { any: { thing: 1 } } });
    assert.match(made.headers.get('warning') ?? '', /unknown field \\?"spec\.other/);
    const strict = await door.ask<Status>('POST', `${widgets}?fieldValidation=Strict`, widget({ other: 1 }, 'b'));
    assert.deepEqual([strict.status, /unknown field "spec\.other"/.test(strict.json.message)], [400, true]);
  });

  it('fills in defaults, deep inside too', async () => {
    const inner = { type: 'object', default: {}, properties: { color: { type: 'string', default: 'red' } } };
    await define({
      inner,
      list: { type: 'array', items: { type: 'object', properties: { n: { type: 'integer', default: 1 } } } },
    });
    const made = await door.ask<Widget>('POST', widgets, widget({ list: [{}] }));
    assert.deepEqual(made.json.spec, { inner: { color: 'red' }, list: [{ n: 1 }] });
  });

  it('has a status with a verb of its own, and counts changes of the spec', async () => {
    await define({ size: { type: 'integer' } }, { subresources: { status: {} } });
    await door.ask('POST', widgets, { ...widget({ size: 1 }), status: { ignored: true } });
    const grown = await door.ask<Widget>('PATCH', `${widgets}/a`, { spec: { size: 2 }, status: { x: 1 } }, merge);
    assert.deepEqual([grown.json.metadata.generation, grown.json.status], [2, undefined]);
    const told = await door.ask<Widget>('PATCH', `${widgets}/a/status`, { spec: { size: 9 }, status: {} }, merge);
    assert.deepEqual([told.json.spec['size'], told.json.metadata.generation, told.json.status], [2, 2, {}]);
  });

  it('can be scaled where its definition says how', async () => {
    const scale = { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' };
    await define({ replicas: { type: 'integer' } }, { subresources: { scale } });
    await door.ask('POST', widgets, widget({ replicas: 2 }));
    const scaled = await door.ask<Widget>('PATCH', `${widgets}/a/scale`, { spec: { replicas: 5 } }, merge);
    assert.deepEqual([scaled.status, scaled.json.spec['replicas']], [200, 5]);
    assert.equal((await door.ask<Widget>('GET', `${widgets}/a`)).json.spec['replicas'], 5);
  });

  it('is served in all of its versions, which are the same objects', async () => {
    const draft = definition({ size: { type: 'integer' } }) as { spec: { versions: object[] } };
    draft.spec.versions.push(version('v1beta1', { size: { type: 'integer' } }, { deprecated: true }));
    assert.equal((await door.ask('POST', definitions, draft)).status, 201);
    const beta = widgets.replace('/v1/', '/v1beta1/');
    const made = await door.ask<Widget>('POST', beta, {
      apiVersion: 'example.com/v1beta1',
      kind: 'Widget',
      ...widget({ size: 1 }),
    });
    assert.deepEqual([made.status, made.json.apiVersion], [201, 'example.com/v1beta1']);
    assert.match(made.headers.get('warning') ?? '', /deprecated/);
    assert.equal((await door.ask<Widget>('GET', `${widgets}/a`)).json.apiVersion, 'example.com/v1');
    const list = await door.ask<{ apiVersion: string; items: readonly Widget[] }>('GET', beta);
    assert.deepEqual(
      [list.json.apiVersion, list.json.items[0]?.apiVersion],
      ['example.com/v1beta1', 'example.com/v1beta1'],
    );
    const group = await door.ask<{ preferredVersion: { version: string } }>('GET', '/apis/example.com');
    assert.equal(group.json.preferredVersion.version, 'v1');
    assert.equal((await door.ask('GET', widgets.replace('/v1/', '/v2/'))).status, 404);
  });

  it('is found by its labels and by the fields that its definition names', async () => {
    await define({ color: { type: 'string' } }, { selectableFields: [{ jsonPath: '.spec.color' }] });
    for (const color of ['red', 'blue']) await door.ask('POST', widgets, widget({ color }, color));
    const found = await door.ask<{ items: readonly Widget[] }>('GET', `${widgets}?fieldSelector=spec.color=red`);
    assert.deepEqual(
      found.json.items.map(({ metadata }) => metadata.name),
      ['red'],
    );
    assert.equal((await door.ask('GET', `${widgets}?fieldSelector=spec.size=1`)).status, 400);
  });

  it('is not served while another kind of the group has its names, and says why', async () => {
    await define({});
    const clash = definition({}, {}, { plural: 'gizmos', kind: 'Widget' }) as { metadata: { name: string } };
    clash.metadata.name = 'gizmos.example.com';
    const made = await door.ask<{
      status: { conditions: readonly { type: string; status: string; message: string }[] };
    }>('POST', definitions, clash);
    assert.deepEqual(
      made.json.status.conditions.map(({ type, status }) => `${type}=${status}`),
      ['NamesAccepted=False', 'Established=False'],
    );
    assert.match(made.json.status.conditions[0]?.message ?? '', /"widget" is already in use by widgets\.example\.com/);
    assert.equal((await door.ask('GET', '/apis/example.com/v1/gizmos')).status, 404);
  });

  it('goes at once without objects, and else waits for them, while no new ones are made', async () => {
    await define({});
    await door.ask('POST', widgets, widget({}));
    const going = await door.ask<{ metadata: Json; status: { conditions: readonly { type: string }[] } }>(
      'DELETE',
      `${definitions}/widgets.example.com`,
    );
    assert.ok('deletionTimestamp' in going.json.metadata);
    assert.ok(going.json.status.conditions.some(({ type }) => type === 'Terminating'));
    assert.equal((await door.ask('POST', widgets, widget({}, 'b'))).status, 405);
    const held = await door.ask(
      'PATCH',
      `${definitions}/widgets.example.com`,
      { metadata: { finalizers: null } },
      merge,
    );
    assert.equal(held.status, 409, 'nobody could see the objects any more');
    await door.ask('DELETE', `${widgets}/a`);
    await door.ask('PATCH', `${definitions}/widgets.example.com`, { metadata: { finalizers: null } }, merge);
    assert.equal((await door.ask('GET', widgets)).status, 404);
    await define({});
    assert.equal((await door.ask('DELETE', `${definitions}/widgets.example.com`)).json['status'], 'Success');
  });

  it('holds objects to the rules of their definition, in every way in which they are written', async () => {
    const rules = [
      { rule: 'self.size < 10', message: 'widgets are small', fieldPath: '.size' },
      { rule: '!has(oldSelf.size) || self.size >= oldSelf.size', message: 'widgets never shrink' },
    ];
    const ruled = definition({ size: { type: 'integer' } }, version('v1', { size: { type: 'integer' } }, {}, rules));
    const made = await door.ask('POST', definitions, ruled);
    assert.equal(made.status, 201, JSON.stringify(made.json));
    assert.equal(made.headers.get('warning'), null);
    const large = await door.ask('POST', widgets, widget({ size: 12 }));
    assert.equal(large.status, 422);
    assert.match(String(large.json['message']), /spec\.size: Invalid value: "object": widgets are small$/);
    assert.equal((await door.ask('POST', widgets, widget({ size: 5 }))).status, 201);
    for (const [size, status] of [
      [4, 422],
      [6, 200],
      [11, 422],
    ] as const)
      assert.equal((await door.ask('PATCH', `${widgets}/a`, { spec: { size } }, merge)).status, status, String(size));
    assert.equal((await door.ask('PUT', `${widgets}/a`, widget({ size: 2 }))).status, 422);
  });

  it('refuses a definition with rules that nobody could follow', async () => {
    const size = { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self.size > 1' }, { rule: 'self > ' }] };
    const made = await door.ask('POST', definitions, definition({ size }));
    assert.equal(made.status, 422);
    const at = 'spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size].x-kubernetes-validations';
    const { causes = [] } = (made.json as unknown as Status).details ?? {};
    assert.deepEqual(
      causes.map(({ field }) => field),
      [`${at}[0].rule`, `${at}[1].rule`],
    );
  });

  const faults: readonly (readonly [
    string,
    (draft: { metadata: { name: string }; spec: Record<string, unknown> }) => void,
    RegExp,
  ])[] = [
    ['another name than its plural and group', (d) => (d.metadata.name = 'x.example.com'), /must be spec.names.plural/],
    [
      'a group of the API itself',
      (d) => ((d.spec['group'] = 'x.k8s.io'), (d.metadata.name = 'widgets.x.k8s.io')),
      /protected groups/,
    ],
    ['conversion by webhook', (d) => (d.spec['conversion'] = { strategy: 'Webhook' }), /supported values: "None"/],
    ['no stored version', (d) => (d.spec['versions'] = [version('v2', {})]), /exactly one version marked as storage/],
    [
      'a schema that does not tell all types',
      (d) => (d.spec['versions'] = [version('v1', { a: {} })]),
      /must not be empty for specified object fields/,
    ],
    [
      'a schema with references',
      (d) => (d.spec['versions'] = [version('v1', { a: { type: 'string', $ref: '#/x' } })]),
      /not supported/,
    ],
    [
      'a pattern that is none',
      (d) => (d.spec['versions'] = [version('v1', { a: { type: 'string', pattern: '(' } })]),
      /valid regular expression/,
    ],
  ];
  for (const [what, spoil, says] of faults)
    it(`refuses ${what}`, async () => {
      const draft = definition({}) as { metadata: { name: string }; spec: Record<string, unknown> };
      spoil(draft);
      const { status, json } = await door.ask<Status>('POST', definitions, draft);
      assert.equal(status, 422);
      assert.match(json.message, says);
    });

  it('shows Events in both groups, and takes them in both', async () => {
    const young = '/apis/events.k8s.io/v1/namespaces/default/events';
    const made = await door.ask<Json>('POST', young, {
      ...{
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: 'e' },
        eventTime: '2026-01-01T00:00:00.000000Z',
      },
      ...{
        regarding: { kind: 'Pod', name: 'p', namespace: 'default' },
        note: 'so it was',
        reason: 'Tried',
        type: 'Normal',
      },
      ...{ action: 'Trying', reportingController: 'example.com/c', reportingInstance: 'c-1' },
    });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    assert.equal(made.json['note'], 'so it was');
    const core = await door.ask<Json>('GET', '/api/v1/namespaces/default/events/e');
    assert.deepEqual(
      [core.json['message'], (core.json['involvedObject'] as Json)['name'], core.json['apiVersion']],
      ['so it was', 'p', 'v1'],
    );
    const patched = await door.ask<Json>('PATCH', `${young}/e`, { note: 'no, so' }, merge);
    assert.equal(patched.json['note'], 'no, so');
    const list = await door.ask<{ apiVersion: string; items: readonly Json[] }>('GET', young);
    assert.deepEqual([list.json.apiVersion, list.json.items[0]?.['note']], ['events.k8s.io/v1', 'no, so']);
  });

  it('lists the groups that are served, and how the loops are, and says that neither can be written', async () => {
    await define({});
    const list = await door.ask<{ items: readonly { metadata: { name: string } }[] }>(
      'GET',
      '/apis/apiregistration.k8s.io/v1/apiservices',
    );
    assert.ok(list.json.items.some(({ metadata }) => metadata.name === 'v1.example.com'));
    const loops = await door.ask<{ items: readonly { metadata: { name: string } }[] }>(
      'GET',
      '/api/v1/componentstatuses',
    );
    assert.ok(loops.json.items.some(({ metadata }) => metadata.name === 'scheduler'));
    const refused = await door.ask<Status>('POST', '/apis/apiregistration.k8s.io/v1/apiservices', {});
    assert.deepEqual([refused.status, refused.json.reason], [405, 'MethodNotAllowed']);
  });
});
