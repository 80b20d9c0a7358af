import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { Chain } from '../../../lib/view/chain.ts';
import { ObjectTable } from '../../../lib/view/table.ts';

const anObject = (name: string, revision: number, label = ''): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: {
    name,
    namespace: name < 'c' ? 'one' : 'two',
    uid: name,
    resourceVersion: String(revision),
    creationTimestamp: '',
    labels: { label },
  },
});
const key = (name: string): string => `${name < 'c' ? 'one' : 'two'}/${name}`;
const names = (objects: readonly ApiObject[]): string[] =>
  objects.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`).sort();

describe('view/table', () => {
  it('takes the later of two states, in whatever order they come', () => {
    const table = new ObjectTable<ApiObject>();
    assert.ok(table.put(anObject('a', 5), 5));
    assert.equal(table.put(anObject('a', 4), 4), undefined);
    assert.equal(table.put(anObject('a', 5), 5), undefined);
    assert.equal(table.remove(key('a'), 3), undefined);
    assert.deepEqual(names(table.list()), ['a@5']);
  });

  it('says which states it need not be told of', () => {
    const table = new ObjectTable<ApiObject>();
    table.put(anObject('a', 5), 5);
    assert.deepEqual(
      [4, 5, 6].map((revision) => table.knows(key('a'), revision)),
      [true, true, false],
    );
    assert.equal(table.knows(key('b'), 1), false);
  });

  it('does not bring back what was deleted', () => {
    const table = new ObjectTable<ApiObject>();
    table.put(anObject('a', 1), 1);
    assert.ok(table.remove(key('a'), 7));
    assert.equal(table.put(anObject('a', 6), 6), undefined);
    table.replace([anObject('a', 1)], 6); // a list that was taken before the deletion
    assert.equal(table.size, 0);
    assert.ok(table.put(anObject('a', 8), 8), 'a new one of the same name');
  });

  it('does not bring back by an old list what the feed has seen come and go', () => {
    const table = new ObjectTable<ApiObject>();
    table.replace([anObject('a', 1)], 1);
    table.remove(key('a'), 5);
    table.knownUpTo(9);
    table.replace([anObject('a', 1)], 4);
    assert.equal(table.size, 0);
  });

  it('goes back in time with a list only when told to', () => {
    const table = new ObjectTable<ApiObject>();
    table.put(anObject('a', 50), 50);
    table.put(anObject('b', 60), 60);
    table.replace([anObject('a', 10)], 20);
    assert.deepEqual(names(table.list()), ['a@50', 'b@60']);
    table.replace([anObject('a', 10)], 20, true);
    assert.deepEqual(names(table.list()), ['a@10']);
  });

  it('tells what a list changed', () => {
    const table = new ObjectTable<ApiObject>();
    table.replace([anObject('a', 1), anObject('b', 2), anObject('c', 3)], 3);
    const changes = table.replace([anObject('a', 1), anObject('b', 4), anObject('d', 5)], 5);
    assert.deepEqual(
      changes.map(({ key: k, before, after }) => [
        k,
        before?.metadata.resourceVersion,
        after?.metadata.resourceVersion,
      ]),
      [
        ['one/b', '2', '4'],
        ['two/d', undefined, '5'],
        ['two/c', '3', undefined],
      ],
    );
  });

  it('files objects by namespace and by index, as a search through all of them would find', () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            name: fc.constantFrom('a', 'b', 'c', 'd'),
            label: fc.constantFrom('x', 'y', ''),
            gone: fc.boolean(),
          }),
        ),
        (steps) => {
          const table = new ObjectTable<ApiObject>({
            label: (object) => Object.values(object.metadata.labels ?? {}).filter((label) => label !== ''),
          });
          for (const [n, { name, label, gone }] of steps.entries()) {
            if (gone) table.remove(key(name), n + 1);
            else table.put(anObject(name, n + 1, label), n + 1);
            const all = table.list();
            for (const place of ['one', 'two']) {
              assert.deepEqual(names(table.list(place)), names(all.filter((o) => o.metadata.namespace === place)));
            }
            for (const value of ['x', 'y']) {
              assert.deepEqual(
                names(table.by('label', value)),
                names(all.filter((o) => o.metadata.labels?.['label'] === value)),
              );
            }
            assert.equal(all.length, table.size);
          }
        },
      ),
    ));

  it('ends the same for any order of the same news', () =>
    fc.assert(
      fc.property(
        fc.array(fc.record({ name: fc.constantFrom('a', 'b'), gone: fc.boolean() }), { maxLength: 8 }).chain((news) => {
          const told = news.map((item, n) => ({ ...item, revision: n + 1 }));
          return fc.record({
            told: fc.constant(told),
            shuffled: fc.shuffledSubarray(told, { minLength: told.length }),
          });
        }),
        ({ told, shuffled }) => {
          const end = (order: typeof told): string[] => {
            const table = new ObjectTable<ApiObject>();
            for (const { name, gone, revision } of order) {
              if (gone) table.remove(key(name), revision);
              else table.put(anObject(name, revision), revision);
            }
            return names(table.list());
          };
          assert.deepEqual(end(shuffled), end(told));
        },
      ),
    ));
});

describe('view/chain', () => {
  const heard = (chain: Chain, ...messages: readonly (readonly [previous: number, revision: number])[]): Chain => {
    for (const [previous, revision] of messages) chain.heard(previous, revision);
    return chain;
  };
  const listed = (revision: number): Chain => {
    const chain = new Chain();
    chain.listed(revision);
    return chain;
  };

  const cases: readonly { it: string; chain: () => Chain; want: readonly [intact: boolean, covered: number] }[] = [
    { it: 'knows nothing before a list', chain: () => heard(new Chain(), [0, 1]), want: [false, -1] },
    { it: 'follows messages that join on', chain: () => heard(listed(5), [3, 6], [6, 9]), want: [true, 9] },
    { it: 'notices a message that does not join on', chain: () => heard(listed(5), [5, 6], [7, 9]), want: [false, 5] },
    {
      it: 'takes several messages of one commit',
      chain: () => heard(listed(5), [5, 6], [6, 6], [6, 8]),
      want: [true, 8],
    },
    { it: 'takes a message twice', chain: () => heard(listed(5), [5, 6], [6, 7], [5, 6], [7, 8]), want: [true, 8] },
    {
      it: 'is mended by a list that reaches behind the break',
      chain: () => {
        const chain = heard(listed(5), [7, 9], [9, 10]);
        chain.listed(8);
        return chain;
      },
      want: [true, 10],
    },
    {
      it: 'is not mended by a list from before the break',
      chain: () => {
        const chain = heard(listed(5), [7, 9]);
        chain.listed(6);
        return chain;
      },
      want: [false, 6],
    },
    {
      it: 'begins anew in a new epoch',
      chain: () => {
        const chain = listed(5);
        chain.entered('0-a');
        heard(chain, [5, 6]);
        assert.equal(chain.entered('0-a'), false);
        assert.equal(chain.entered('6-b'), true);
        return chain;
      },
      want: [false, -1],
    },
    {
      it: 'needs a list that reaches to where the first epoch it hears of began',
      chain: () => {
        const chain = listed(5);
        assert.equal(chain.entered('7-a'), false);
        return chain;
      },
      want: [false, 5],
    },
  ];
  for (const c of cases) {
    it(c.it, () => {
      const chain = c.chain();
      assert.deepEqual([chain.intact, chain.covered], c.want);
    });
  }
});
