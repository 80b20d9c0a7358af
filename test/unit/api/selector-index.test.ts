import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isGone } from '../../../lib/api/ending.ts';
import { matchesMap } from '../../../lib/api/labels.ts';
import type { Labels } from '../../../lib/api/objects.ts';
import { SelectorIndex } from '../../../lib/api/selector-index.ts';
import { aNamespace, aPod, anRc } from '../../support/builders.ts';

describe('api/selector-index', () => {
  const labels = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), { maxKeys: 3 });
  const step = fc.record({
    key: fc.constantFrom('x', 'y', 'z'),
    namespace: fc.constantFrom('n', 'm'),
    selector: fc.option(labels, { nil: undefined }),
  });

  it('finds what asking every selector would find', () => {
    fc.assert(
      fc.property(fc.array(step), labels, (steps, wanted) => {
        const index = new SelectorIndex();
        const filed = new Map<string, { namespace: string; selector: Labels }>();
        for (const { key, namespace, selector } of steps) {
          const id = `${namespace}/${key}`;
          index.set(id, namespace, selector);
          if (selector === undefined || Object.keys(selector).length === 0) filed.delete(id);
          else filed.set(id, { namespace, selector });
        }
        for (const namespace of ['n', 'm']) {
          const naive = [...filed].filter(
            ([, each]) => each.namespace === namespace && matchesMap(each.selector, wanted),
          );
          assert.deepEqual(index.matching(namespace, wanted).sort(), naive.map(([key]) => key).sort());
        }
      }),
    );
  });

  it('tells whether filing made a difference', () => {
    const index = new SelectorIndex();
    assert.equal(index.set('n/x', 'n', { a: '1' }), true);
    assert.equal(index.set('n/x', 'n', { a: '1' }), false);
    assert.equal(index.set('n/x', 'n', { a: '2' }), true);
    assert.equal(index.delete('n/x'), true);
    assert.equal(index.delete('n/x'), false);
  });
});

describe('api/ending', () => {
  const rows = [
    { it: 'a living pod is not gone', object: aPod(), want: false },
    { it: 'a pod with grace left is not gone', object: aPod({ deleted: true }), want: false },
    { it: 'an object that is held is not gone', object: anRc({ finalizers: ['orphan'] }), want: false },
    { it: 'a namespace that waits to be emptied is not gone', object: aNamespace({ deleted: true }), want: false },
  ];
  for (const row of rows) it(row.it, () => assert.equal(isGone(row.object), row.want));

  it('an object without grace and without finalizers is', () => {
    const pod = aPod({ deleted: true });
    assert.equal(isGone({ ...pod, metadata: { ...pod.metadata, deletionGracePeriodSeconds: 0 } }), true);
  });
});
