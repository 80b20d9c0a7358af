import assert from 'node:assert/strict';
import fc from 'fast-check';
import { sameJson, type Json } from '../../../lib/api/json.ts';
import { applyMergePatch, mergePatchBetween } from '../../../lib/api/patch/merge.ts';

describe('api/patch', () => {
  /** RFC 7386, appendix A. */
  const examples: readonly (readonly [document: unknown, patch: unknown, result: unknown])[] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [document, patch, result] of examples)
    it(`merges ${JSON.stringify(patch)} into ${JSON.stringify(document)}`, () =>
      assert.deepEqual(applyMergePatch(document, patch), result));

  it('leaves the document as it was', () => {
    const document = Object.freeze({ a: Object.freeze({ b: 1 }) });
    assert.deepEqual(applyMergePatch(document, { a: { b: null, c: 2 } }), { a: { c: 2 } });
    assert.deepEqual(document, { a: { b: 1 } });
  });

  it('shares nothing with the document or the patch', () => {
    const document = { kept: [{ a: 1 }], b: { c: {} } };
    const patch = { list: [{ a: 1 }], b: { d: { e: 1 } } };
    const parts = new Set<unknown>();
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      parts.add(value);
      Object.values(value).forEach(collect);
    };
    collect(document);
    collect(patch);
    const result = applyMergePatch(document, patch);
    const check = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      assert.ok(!parts.has(value), JSON.stringify(value));
      Object.values(value).forEach(check);
    };
    check(result);
    assert.deepEqual(result, { ...document, ...patch, b: { c: {}, d: { e: 1 } } });
  });

  it('takes a member called __proto__ for a member', () => {
    const patch = JSON.parse('{"__proto__":{"x":1}}') as Json;
    assert.equal(JSON.stringify(applyMergePatch({}, patch)), '{"__proto__":{"x":1}}');
    assert.equal(JSON.stringify(mergePatchBetween({}, patch, {})), '{"__proto__":{"x":1}}');
  });

  const between: readonly {
    readonly it: string;
    readonly original: Json;
    readonly modified: Json;
    readonly current: Json;
    readonly want: Json;
  }[] = [
    {
      it: 'is empty when nothing changed',
      original: { a: 1 },
      modified: { a: 1 },
      current: { a: 1, other: 2 },
      want: {},
    },
    { it: 'sets what is new', original: {}, modified: { a: { b: 1 } }, current: {}, want: { a: { b: 1 } } },
    { it: 'sets back what others changed', original: { a: 1 }, modified: { a: 1 }, current: { a: 2 }, want: { a: 1 } },
    {
      it: 'takes away what is no longer named',
      original: { a: 1, b: 2 },
      modified: { a: 1 },
      current: { a: 1, b: 3 },
      want: { b: null },
    },
    { it: 'does not take away what is gone', original: { b: 2 }, modified: {}, current: {}, want: {} },
    {
      it: 'leaves what others wrote',
      original: { a: {} },
      modified: { a: {} },
      current: { a: { theirs: 1 } },
      want: {},
    },
    {
      it: 'replaces lists whole',
      original: { a: [1] },
      modified: { a: [1, 2] },
      current: { a: [1, 9] },
      want: { a: [1, 2] },
    },
    {
      it: 'replaces a value by an object',
      original: { a: 1 },
      modified: { a: { b: 1 } },
      current: { a: 1 },
      want: { a: { b: 1 } },
    },
    {
      it: 'goes down only where it must',
      original: { a: { b: 1, c: 1 } },
      modified: { a: { b: 2 } },
      current: { a: { b: 1, c: 1, d: 1 } },
      want: { a: { b: 2, c: null } },
    },
    {
      it: 'takes null for absence',
      original: {},
      modified: { a: null, b: { c: null } },
      current: { a: 1 },
      want: { a: null, b: {} },
    },
  ];
  for (const c of between)
    it(c.it, () => assert.deepEqual(mergePatchBetween(c.original, c.modified, c.current), c.want));

  const leaf = fc.oneof(fc.nat(3), fc.constantFrom('x', 'y'), fc.boolean(), fc.array(fc.nat(2), { maxLength: 2 }));
  const json = fc.letrec<{ value: unknown; object: Json }>((tie) => ({
    object: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), tie('value')),
    value: fc.oneof({ maxDepth: 3 }, leaf, tie('object')),
  })).object;

  /** Every path of the modified object, its objects entered, has its value in the result. */
  const holds = (modified: Json, result: unknown): boolean =>
    typeof result === 'object' &&
    result !== null &&
    Object.entries(modified).every(([key, value]) => {
      const got = (result as Json)[key];
      return typeof value === 'object' && value !== null && !Array.isArray(value)
        ? holds(value as Json, got)
        : sameJson(got, value);
    });

  it('brings every document to what was asked, and then has nothing to do', () => {
    fc.assert(
      fc.property(json, json, json, (original, modified, current) => {
        const patch = mergePatchBetween(original, modified, current);
        const result = applyMergePatch(current, patch) as Json;
        assert.ok(holds(modified, result), JSON.stringify({ patch, result }));
        for (const key of Object.keys(original)) if (!(key in modified)) assert.ok(!(key in result));
        for (const key of Object.keys(current))
          if (!(key in original) && !(key in modified)) assert.ok(sameJson(result[key], current[key]));
        assert.deepEqual(mergePatchBetween(original, modified, result), {});
      }),
    );
  });

  it('turns one document into another when there is no third', () => {
    fc.assert(
      fc.property(json, json, (a, b) => assert.ok(sameJson(applyMergePatch(a, mergePatchBetween(a, b, a)), b))),
    );
  });
});
