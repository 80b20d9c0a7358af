import assert from 'node:assert/strict';
import { applyJsonPatch } from '../../../lib/api/patch/json-patch.ts';
import { ApiError } from '../../../lib/base/errors.ts';

describe('api/patch: JSON patch', () => {
  /** RFC 6902, appendix A. */
  const examples: readonly (readonly [document: unknown, patch: unknown, result: unknown])[] = [
    [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
    [{ foo: ['a', 'b'] }, [{ op: 'add', path: '/foo/1', value: 'x' }], { foo: ['a', 'x', 'b'] }],
    [{ foo: 1, bar: 2 }, [{ op: 'remove', path: '/bar' }], { foo: 1 }],
    [{ foo: ['a', 'b', 'c'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['a', 'c'] }],
    [{ foo: 1 }, [{ op: 'replace', path: '/foo', value: 2 }], { foo: 2 }],
    [{ a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
    [{ a: [1, 2] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1, 2], b: [1, 2] }],
    [{ a: { b: [1] } }, [{ op: 'test', path: '/a', value: { b: [1] } }], { a: { b: [1] } }],
    [{ foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['x'] }], { foo: ['bar', ['x']] }],
    [{ '/': 9, '~1': 10 }, [{ op: 'replace', path: '/~01', value: 1 }], { '/': 9, '~1': 1 }],
    [{ a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
  ];
  for (const [document, patch, result] of examples)
    it(`makes ${JSON.stringify(result)} by ${JSON.stringify(patch)}`, () =>
      assert.deepEqual(applyJsonPatch(document, patch), result));

  it('leaves the document as it was, also when it fails in the middle', () => {
    const document = { a: 1, list: [1] };
    const patch = [
      { op: 'add', path: '/b', value: 2 },
      { op: 'test', path: '/a', value: 7 },
    ];
    assert.throws(() => applyJsonPatch(document, patch), ApiError);
    assert.deepEqual(document, { a: 1, list: [1] });
  });

  const bad: readonly (readonly [what: string, patch: unknown, reason: string, word: RegExp])[] = [
    ['no list', { op: 'add' }, 'BadRequest', /list of operations/],
    ['an unknown operation', [{ op: 'set', path: '/a' }], 'BadRequest', /operation 0 .*"set".*add, remove/],
    ['a path that is none', [{ op: 'remove', path: 'a' }], 'BadRequest', /"a", which is no JSON pointer/],
    ['no value', [{ op: 'add', path: '/a' }], 'BadRequest', /has no value/],
    ['a test that fails', [{ op: 'test', path: '/a', value: 2 }], 'Invalid', /operation 0 \(test \/a\)/],
    ['a member that is not there', [{ op: 'remove', path: '/x' }], 'Invalid', /operation 0 \(remove \/x\)/],
    [
      'too many operations',
      Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/a', value: 1 })),
      'RequestEntityTooLarge',
      /10001.*10000/,
    ],
    [
      'copies without end',
      Array.from({ length: 60 }, () => ({ op: 'copy', from: '/list', path: '/list/-' })),
      'Invalid',
      /3145728/,
    ],
  ];
  for (const [what, patch, reason, word] of bad)
    it(`refuses ${what}`, () => {
      assert.throws(
        () => applyJsonPatch({ a: 1, list: ['x'.repeat(1000)] }, patch),
        (error) => error instanceof ApiError && error.reason === reason && word.test(error.message),
      );
    });

  it('does not reach into what all objects share', () => {
    for (const path of ['/__proto__/polluted', '/constructor/prototype/polluted']) {
      try {
        applyJsonPatch({ a: 1 }, [{ op: 'add', path, value: true }]);
      } catch {
        // refused, which is as good
      }
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    }
  });
});
