import assert from 'node:assert/strict';
import fc from 'fast-check';
import { apply, type Applied } from '../../../lib/api/apply/apply.ts';
import { fromFieldsV1, pathText, toFieldsV1 } from '../../../lib/api/apply/field-set.ts';
import { afterUpdate, managersOf, ownable, toManagedFields, type Hand } from '../../../lib/api/apply/managers.ts';
import { shapeOf, shapeOfCustom } from '../../../lib/api/apply/shape.ts';
import { sameJson, type Json } from '../../../lib/api/json.ts';
import type { CustomSchema } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';

const hand = (manager: string, operation: Hand['operation'] = 'Apply'): Hand => ({
  manager,
  operation,
  apiVersion: 'v1',
  subresource: '',
  time: '2026-01-01T00:00:00Z',
});

const rc = (spec: Json, labels?: Json): Json => ({
  apiVersion: 'v1',
  kind: 'ReplicationController',
  metadata: { name: 'web', ...(labels === undefined ? {} : { labels }) },
  spec,
});
const container = (name: string, more: Json = {}): Json => ({ name, image: `${name}:1`, ...more });
const template = (...containers: readonly Json[]): Json => ({ spec: { containers } });
const stored = ({ object, managers }: Applied): Json => ({
  ...object,
  metadata: { ...(object['metadata'] as Json), managedFields: toManagedFields(managers) },
});
const applied = (live: Json | undefined, wanted: Json, manager = 'me', force = false): Json =>
  stored(apply(shapeOf('ReplicationController'), live, wanted, { hand: hand(manager), force }));
const spec = (object: Json): Json => (object['spec'] ?? {}) as Json;

describe('api/apply', () => {
  it('makes, and owns what was named', () => {
    const object = applied(undefined, rc({ replicas: 2 }, { a: '1' }));
    assert.deepEqual(
      managersOf(object['metadata'] as Json).map(({ manager, fields }) => [manager, [...fields].map(pathText).sort()]),
      [['me', ['.metadata.labels.a', '.spec.replicas']]],
    );
  });

  it('takes away what is no longer named, and leaves what others set', () => {
    let object = applied(undefined, rc({ replicas: 2, minReadySeconds: 5 }, { a: '1', b: '2' }));
    object = applied(object, rc({ minReadySeconds: 5 }, { b: '2', c: '3' }), 'you');
    object = applied(object, rc({ replicas: 2 }, { a: '1' }));
    assert.deepEqual(spec(object), { replicas: 2, minReadySeconds: 5 });
    assert.deepEqual((object['metadata'] as Json)['labels'], { a: '1', b: '2', c: '3' });
    object = applied(object, rc({}), 'you');
    assert.deepEqual(spec(object), { replicas: 2 });
    assert.deepEqual((object['metadata'] as Json)['labels'], { a: '1' });
  });

  it('keeps items of a list apart by their keys', () => {
    let object = applied(
      undefined,
      rc({
        template: template(
          container('one', {
            env: [
              { name: 'A', value: '1' },
              { name: 'B', value: '2' },
            ],
          }),
          container('two'),
        ),
      }),
    );
    object = applied(object, rc({ template: template({ name: 'one', env: [{ name: 'C', value: '3' }] }) }), 'you');
    object = applied(object, rc({ template: template(container('one', { env: [{ name: 'B', value: '9' }] })) }));
    const { containers } = (spec(object)['template'] as { spec: { containers: readonly Json[] } }).spec;
    assert.deepEqual(containers, [
      container('one', {
        env: [
          { name: 'B', value: '9' },
          { name: 'C', value: '3' },
        ],
      }),
    ]);
  });

  it('refuses to set what another set to something else, naming him and the field; force takes it', () => {
    const object = applied(undefined, rc({ replicas: 2, minReadySeconds: 1 }), 'you');
    assert.throws(
      () => applied(object, rc({ replicas: 3, minReadySeconds: 1 })),
      (error) =>
        error instanceof ApiError &&
        error.reason === 'Conflict' &&
        error.message === 'Apply failed with 1 conflict: conflict with "you" using v1: .spec.replicas' &&
        sameJson(error.details.causes, [
          { field: '.spec.replicas', reason: 'FieldManagerConflict', message: 'conflict with "you" using v1' },
        ]),
    );
    const forced = applied(object, rc({ replicas: 3 }), 'me', true);
    assert.equal(spec(forced)['replicas'], 3);
    const yours = managersOf(forced['metadata'] as Json).find(({ manager }) => manager === 'you');
    assert.deepEqual([...(yours?.fields ?? [])].map(pathText), ['.spec.minReadySeconds']);
  });

  it('shares a field that two want to be the same', () => {
    let object = applied(applied(undefined, rc({ replicas: 2 })), rc({ replicas: 2 }), 'you');
    object = applied(object, rc({}));
    assert.equal(spec(object)['replicas'], 2, 'the other still wants it');
    object = applied(object, rc({}), 'you');
    assert.equal(spec(object)['replicas'], undefined);
  });

  it('knows an object from before as somebody’s', () => {
    const live = rc({ replicas: 2 });
    assert.throws(() => applied(live, rc({ replicas: 3 })), /conflict with "before-first-apply"/);
    assert.equal(spec(applied(live, rc({ minReadySeconds: 3 })))['replicas'], 2);
  });

  it('gives to whoever updates what he changed', () => {
    const before = applied(undefined, rc({ replicas: 2, minReadySeconds: 1 }));
    const after = { ...before, spec: { replicas: 4, minReadySeconds: 1 } };
    const managers = afterUpdate(managersOf(before['metadata'] as Json), hand('kubectl-scale', 'Update'), {
      shape: shapeOf('ReplicationController'),
      before,
      after,
    });
    assert.deepEqual(
      managers.map(({ manager, fields }) => [manager, [...fields].map(pathText)]),
      [
        ['me', ['.spec.minReadySeconds']],
        ['kubectl-scale', ['.spec.replicas']],
      ],
    );
  });

  const names = fc.subarray(['a', 'b', 'c', 'd'], { minLength: 0 });
  const wishes = fc.record({
    replicas: fc.option(fc.nat(3), { nil: undefined }),
    labels: fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.constantFrom('1', '2'), { maxKeys: 3 }),
    containers: names.chain((chosen) =>
      fc.tuple(
        ...chosen.map((name) =>
          fc
            .dictionary(fc.constantFrom('A', 'B'), fc.constantFrom('1', '2'), { maxKeys: 2 })
            .map((env) => container(name, { env: Object.entries(env).map(([key, value]) => ({ name: key, value })) })),
        ),
      ),
    ),
  });
  const wanted = (wish: {
    replicas?: number | undefined;
    labels: Record<string, string>;
    containers: readonly Json[];
  }): Json =>
    rc(
      { ...(wish.replicas === undefined ? {} : { replicas: wish.replicas }), template: template(...wish.containers) },
      wish.labels,
    );

  it('leaves exactly what was wanted last, when one alone applies', () => {
    fc.assert(
      fc.property(fc.array(wishes, { minLength: 1, maxLength: 6 }), (all) => {
        let object: Json | undefined;
        for (const wish of all) object = applied(object, wanted(wish));
        const last = wanted(all.at(-1) ?? all[0]!);
        const fields = ownable(shapeOf('ReplicationController'), object ?? {}, hand('me'));
        const expected = ownable(shapeOf('ReplicationController'), last, hand('me'));
        // What became empty may be there or not: it says nothing.
        const full = (of: Map<string, unknown>) =>
          [...of].filter(([, value]) => JSON.stringify(value) !== '{}' && JSON.stringify(value) !== '[]').sort();
        assert.deepEqual(full(fields), full(expected));
      }),
      { numRuns: 300 },
    );
  });

  it('does nothing the second time', () => {
    fc.assert(
      fc.property(wishes, wishes, (first, second) => {
        const object = applied(applied(undefined, wanted(first), 'you'), wanted(second), 'me', true);
        assert.deepEqual(applied(object, wanted(second), 'me'), object);
      }),
    );
  });

  it('writes sets of fields so that they read the same', () => {
    fc.assert(
      fc.property(wishes, (wish) => {
        const fields = new Set(ownable(shapeOf('ReplicationController'), wanted(wish), hand('me')).keys());
        assert.deepEqual([...fromFieldsV1(toFieldsV1(fields))].sort(), [...fields].sort());
      }),
    );
  });
});

describe('api/apply: kinds that users defined', () => {
  const schema: CustomSchema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          doors: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['port', 'protocol'],
            items: {
              type: 'object',
              properties: {
                port: { type: 'integer' },
                protocol: { type: 'string', default: 'TCP' },
                open: { type: 'boolean' },
              },
            },
          },
          colors: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
          steps: { type: 'array', items: { type: 'string' } },
          place: { type: 'object', 'x-kubernetes-map-type': 'atomic', properties: { x: { type: 'integer' } } },
          limits: {
            type: 'object',
            additionalProperties: { type: 'object', properties: { most: { type: 'integer' } } },
          },
        },
      },
    },
  };
  const house = (spec: Json): Json => ({ apiVersion: 'example.com/v1', kind: 'House', metadata: { name: 'h' }, spec });
  const by = (manager: string, live: Json | undefined, spec: Json): Json =>
    stored(apply(shapeOfCustom(schema), live, house(spec), { hand: hand(manager), force: false }));

  it('merge lists by their keys, sets by their values, and take other lists as one value', () => {
    let object = by('me', undefined, { doors: [{ port: 80, open: true }], colors: ['red'], steps: ['a'] });
    object = by('you', object, {
      doors: [
        { port: 80, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
      colors: ['blue'],
    });
    assert.deepEqual(spec(object), {
      doors: [
        { port: 80, open: true, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
      colors: ['red', 'blue'],
      steps: ['a'],
    });
    assert.throws(() => by('you', object, { steps: ['b'] }), /conflict with "me".*\.spec\.steps/);
    object = by('me', object, { colors: ['red'] });
    assert.deepEqual(spec(object)['colors'], ['red', 'blue']);
    assert.deepEqual((spec(object)['doors'] as readonly Json[])[0], { port: 80, protocol: 'TCP' });
    assert.equal(spec(object)['steps'], undefined);
  });

  it('have one owner for a map that is one value, and many for the members of one that is not', () => {
    let object = by('me', undefined, { place: { x: 1 }, limits: { cpu: { most: 1 } } });
    assert.throws(() => by('you', object, { place: { x: 2 } }), /\.spec\.place/);
    object = by('you', object, { limits: { memory: { most: 2 } } });
    assert.deepEqual(spec(object)['limits'], { cpu: { most: 1 }, memory: { most: 2 } });
  });

  it('are known by their metadata, as all objects', () => {
    const labels = (labels: Json): Json => ({
      ...house({}),
      metadata: { name: 'h', labels, finalizers: ['example.com/a'] },
    });
    const object = stored(
      apply(shapeOfCustom(undefined), undefined, labels({ a: '1' }), { hand: hand('me'), force: false }),
    );
    const more = { ...house({}), metadata: { name: 'h', labels: { b: '2' }, finalizers: ['example.com/b'] } };
    const after = apply(shapeOfCustom(undefined), object, more, { hand: hand('you'), force: false }).object;
    assert.deepEqual((after['metadata'] as Json)['labels'], { a: '1', b: '2' });
    assert.deepEqual((after['metadata'] as Json)['finalizers'], ['example.com/a', 'example.com/b']);
  });
});
