import assert from 'node:assert/strict';
import fc from 'fast-check';
import { sameJson, type Json } from '../../../lib/api/json.ts';
import { applyMergePatch } from '../../../lib/api/patch/merge.ts';
import { applyStrategicPatch } from '../../../lib/api/patch/strategic.ts';
import { ApiError } from '../../../lib/base/errors.ts';

const pod = {
  metadata: { name: 'web', labels: { a: '1', b: '2' }, finalizers: ['x', 'y'] },
  spec: {
    containers: [
      { name: 'one', image: 'a:1', env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 80 }] },
      { name: 'two', image: 'b:1', command: ['sh', '-c'] },
    ],
    tolerations: [{ key: 'k' }],
    volumes: [{ name: 'v', emptyDir: {} }],
  },
};
const spec = (patch: Json): Json => (applyStrategicPatch('Pod', pod, { spec: patch }) as typeof pod).spec;
const containers = (patch: Json): readonly Json[] => spec(patch)['containers'] as readonly Json[];

describe('api/patch: strategic merge', () => {
  it('merges items that have a key by it, and adds those that are new', () => {
    const [one, two, three] = containers({
      containers: [
        { name: 'two', image: 'b:2' },
        { name: 'three', image: 'c:1' },
      ],
    });
    assert.equal(one?.['image'], 'a:1');
    assert.deepEqual(two, { name: 'two', image: 'b:2', command: ['sh', '-c'] });
    assert.deepEqual(three, { name: 'three', image: 'c:1' });
  });

  it('merges lists within items by their own keys', () => {
    const [one] = containers({
      containers: [
        {
          name: 'one',
          env: [
            { name: 'B', value: '2' },
            { name: 'A', value: '3' },
          ],
          ports: [{ containerPort: 80, name: 'http' }],
        },
      ],
    });
    assert.deepEqual(one?.['env'], [
      { name: 'A', value: '3' },
      { name: 'B', value: '2' },
    ]);
    assert.deepEqual(one?.['ports'], [{ containerPort: 80, name: 'http' }]);
  });

  it('replaces lists that have no key', () => {
    assert.deepEqual(spec({ tolerations: [{ key: 'm' }] })['tolerations'], [{ key: 'm' }]);
    assert.deepEqual(containers({ containers: [{ name: 'two', command: ['true'] }] })[1]?.['command'], ['true']);
  });

  it('takes members away by null, and adds to lists of single values', () => {
    const result = applyStrategicPatch('Pod', pod, {
      metadata: { labels: { a: null, c: '3' }, finalizers: ['y', 'z'] },
    });
    assert.deepEqual((result['metadata'] as Json)['labels'], { b: '2', c: '3' });
    assert.deepEqual((result['metadata'] as Json)['finalizers'], ['x', 'y', 'z']);
  });

  it('takes an item away by $patch: delete, and a whole object', () => {
    assert.deepEqual(
      containers({ containers: [{ name: 'one', $patch: 'delete' }] }).map((each) => each['name']),
      ['two'],
    );
    assert.deepEqual(
      (applyStrategicPatch('Pod', pod, { metadata: { labels: { $patch: 'delete' } } })['metadata'] as Json)['labels'],
      {},
    );
  });

  it('replaces a list or an object by $patch: replace', () => {
    assert.deepEqual(containers({ containers: [{ name: 'new', image: 'n' }, { $patch: 'replace' }] }), [
      { name: 'new', image: 'n' },
    ]);
    const result = applyStrategicPatch('Pod', pod, { metadata: { labels: { $patch: 'replace', only: 'this' } } });
    assert.deepEqual((result['metadata'] as Json)['labels'], { only: 'this' });
  });

  it('keeps only what $retainKeys names', () => {
    assert.deepEqual(
      spec({ volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] })['volumes'],
      [{ name: 'v', hostPath: { path: '/x' } }],
    );
  });

  it('orders by $setElementOrder; what it does not name follows what it followed', () => {
    const order = [{ name: 'two' }, { name: 'zero' }, { name: 'one' }];
    const patch = {
      $setElementOrder: undefined,
      '$setElementOrder/containers': order,
      containers: [{ name: 'zero', image: 'z' }],
    };
    assert.deepEqual(
      containers(patch).map((each) => each['name']),
      ['two', 'zero', 'one'],
    );
    const partial = {
      '$setElementOrder/containers': [{ name: 'three' }, { name: 'one' }],
      containers: [{ name: 'three' }],
    };
    assert.deepEqual(
      containers(partial).map((each) => each['name']),
      ['three', 'one', 'two'],
    );
  });

  it('takes single values away by $deleteFromPrimitiveList', () => {
    const patch = {
      metadata: {
        '$deleteFromPrimitiveList/finalizers': ['x'],
        '$setElementOrder/finalizers': ['z', 'y'],
        finalizers: ['z'],
      },
    };
    assert.deepEqual((applyStrategicPatch('Pod', pod, patch)['metadata'] as Json)['finalizers'], ['z', 'y']);
  });

  for (const [what, patch, word] of [
    ['a directive that is none', { $patch: 'remove' }, '\\$patch "remove"'],
    ['an item without its key', { spec: { containers: [{ image: 'x' }] } }, 'without name'],
    ['an item that is no object', { spec: { containers: ['x'] } }, 'spec.containers: items are objects'],
    [
      '$retainKeys that is no list',
      { spec: { volumes: [{ name: 'v', $retainKeys: 'name' }] } },
      'retainKeys must be a list',
    ],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.throws(
        () => applyStrategicPatch('Pod', pod, patch),
        (error) => error instanceof ApiError && error.reason === 'BadRequest' && new RegExp(word).test(error.message),
      );
    });

  it('is a merge patch where no list has a key', () => {
    const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.integer(), { maxLength: 3 }));
    const tree = fc.letrec<{ node: Record<string, unknown> }>((tie) => ({
      node: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof({ depthSize: 'small' }, leaf, tie('node')), {
        maxKeys: 3,
      }),
    })).node;
    fc.assert(
      fc.property(tree, tree, (document, patch) => {
        assert.ok(sameJson(applyStrategicPatch('ConfigMap', document, patch), applyMergePatch(document, patch)));
      }),
    );
  });

  it('changes neither argument', () => {
    const [before, patch] = [structuredClone(pod), { spec: { containers: [{ name: 'one', $patch: 'delete' }] } }];
    const given = structuredClone(patch);
    applyStrategicPatch('Pod', before, patch);
    assert.deepEqual([before, patch], [pod, given]);
  });
});
