import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  formatSelector,
  matches,
  matchesMap,
  parseSelector,
  selectorOf,
  type Requirement,
} from '../../../lib/api/labels.ts';
import { hasReason, messageOf } from '../../../lib/base/errors.ts';

describe('api/labels', () => {
  const parsed: readonly (readonly [string, readonly Requirement[]])[] = [
    ['', []],
    ['  ', []],
    ['a=b', [{ key: 'a', operator: 'In', values: ['b'] }]],
    ['a==b', [{ key: 'a', operator: 'In', values: ['b'] }]],
    [' tier = frontend ', [{ key: 'tier', operator: 'In', values: ['frontend'] }]],
    ['a!=b', [{ key: 'a', operator: 'NotIn', values: ['b'] }]],
    ['a=', [{ key: 'a', operator: 'In', values: [''] }]],
    [
      'a=,b',
      [
        { key: 'a', operator: 'In', values: [''] },
        { key: 'b', operator: 'Exists', values: [] },
      ],
    ],
    ['a in (y, x ,x)', [{ key: 'a', operator: 'In', values: ['x', 'y'] }]],
    ['a in ()', [{ key: 'a', operator: 'In', values: [''] }]],
    ['a in (,b)', [{ key: 'a', operator: 'In', values: ['', 'b'] }]],
    ['a notin(x)', [{ key: 'a', operator: 'NotIn', values: ['x'] }]],
    ['partition', [{ key: 'partition', operator: 'Exists', values: [] }]],
    ['!partition', [{ key: 'partition', operator: 'DoesNotExist', values: [] }]],
    ['! partition', [{ key: 'partition', operator: 'DoesNotExist', values: [] }]],
    ['a>1', [{ key: 'a', operator: 'GreaterThan', values: ['1'] }]],
    ['a < 10', [{ key: 'a', operator: 'LessThan', values: ['10'] }]],
    ['in in (in,notin)', [{ key: 'in', operator: 'In', values: ['in', 'notin'] }]],
    ['example.com/tier=web', [{ key: 'example.com/tier', operator: 'In', values: ['web'] }]],
    [
      'environment in (production, qa),tier!=x',
      [
        { key: 'environment', operator: 'In', values: ['production', 'qa'] },
        { key: 'tier', operator: 'NotIn', values: ['x'] },
      ],
    ],
  ];
  for (const [text, want] of parsed)
    it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parseSelector(text), want));

  const refused: readonly (readonly [string, RegExp])[] = [
    [',a', /found character ',' at position 1, expected a label key/],
    ['a,', /found the end at position 3, expected a label key/],
    ['a=b c', /found character 'c' at position 5, expected ',' or the end/],
    ['a b', /found character 'b' at position 3, expected one of =/],
    ['a===b', /found character '=' at position 4, expected a label value/],
    ['a=!b', /found character '!' at position 3/],
    ['a=b&&c=d', /label value "b&&c" at position 3: .*character '&' at position 2/],
    ['stage==production && x=y', /found "&&" at position 19/],
    ['a in b', /found character 'b' at position 6, expected '\('/],
    ['a in (b', /found the end at position 8, expected ',' or '\)'/],
    ['a in (b c)', /found character 'c' at position 9/],
    ['(a)', /found character '\(' at position 1/],
    ['!', /found the end at position 2/],
    ['!a=b', /found character '=' at position 3, expected ',' or the end/],
    ['a>b', /expected a whole number/],
    ['a>', /expected a whole number/],
    ['a/b/c=d', /label key "a\/b\/c" at position 1/],
    [`a=${'x'.repeat(64)}`, /no more than 63 characters/],
    ['-a=b', /label key "-a"/],
  ];
  for (const [text, why] of refused)
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseSelector(text),
        (error) => {
          assert.ok(hasReason(error, 'BadRequest'));
          assert.match(messageOf(error), why);
          assert.ok(messageOf(error).includes(JSON.stringify(text)));
          return true;
        },
      );
    });

  const found: readonly (readonly [string, Record<string, string> | undefined, boolean])[] = [
    ['', undefined, true],
    ['a=b', { a: 'b' }, true],
    ['a=b', {}, false],
    ['a=', {}, false],
    ['a!=b', {}, true],
    ['a notin (b)', undefined, true],
    ['a notin (b)', { a: 'b' }, false],
    ['!a', { a: '' }, false],
    ['a', { a: '' }, true],
    ['a>1', { a: '2' }, true],
    ['a>1', { a: '1' }, false],
    ['a>1', { a: 'x' }, false],
    ['a<1', {}, false],
    ['a>9007199254740992', { a: '9007199254740993' }, true],
    ['constructor', {}, false],
    ['a=b,c=d', { a: 'b' }, false],
  ];
  for (const [text, labels, want] of found)
    it(`${JSON.stringify(text)} ${want ? 'matches' : 'does not match'} ${JSON.stringify(labels)}`, () =>
      assert.equal(matches(parseSelector(text), labels), want));

  const key = fc.constantFrom('a', 'b', 'tier', 'example.com/x');
  const value = fc.constantFrom('', 'x', 'y', '1', '2', '10');
  const number = fc.constantFrom('0', '1', '5', '12');
  const operators = fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist', 'GreaterThan', 'LessThan');
  const requirement = fc
    .tuple(key, operators, fc.uniqueArray(value, { minLength: 1, maxLength: 3 }), number)
    .map(([key, operator, values, number]): Requirement => ({
      key,
      operator,
      values:
        operator === 'In' || operator === 'NotIn'
          ? values.toSorted()
          : operator === 'GreaterThan' || operator === 'LessThan'
            ? [number]
            : [],
    }));
  const selector = fc.array(requirement, { maxLength: 4 });
  const labels = fc.dictionary(key, value, { maxKeys: 4 });

  /** The same in the fewest words, over numbers that fit. */
  const naive = (each: Requirement, labels: Record<string, string>): boolean => {
    const value = labels[each.key];
    const is = each.values.some((wanted) => wanted === value);
    const [limit] = each.values;
    return {
      In: is,
      NotIn: !is,
      Exists: each.key in labels,
      DoesNotExist: !(each.key in labels),
      GreaterThan: value !== undefined && value !== '' && Number(value) > Number(limit),
      LessThan: value !== undefined && value !== '' && Number(value) < Number(limit),
    }[each.operator];
  };

  it('matches as the naive model does', () => {
    fc.assert(
      fc.property(selector, labels, (selector, labels) =>
        assert.equal(
          matches(selector, labels),
          selector.every((each) => naive(each, labels)),
        ),
      ),
    );
  });

  it('reads back what it writes', () => {
    fc.assert(fc.property(selector, (selector) => assert.deepEqual(parseSelector(formatSelector(selector)), selector)));
  });

  it('reads any text or says why not', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      ' ',
      '=',
      '==',
      '!',
      '!=',
      '(',
      ')',
      ',',
      ' in ',
      ' notin ',
      '>',
      '<',
      '1',
      '&',
      '/',
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
        (text) => {
          try {
            const selector = parseSelector(text);
            assert.deepEqual(parseSelector(formatSelector(selector)), selector);
          } catch (error) {
            assert.ok(hasReason(error, 'BadRequest'), messageOf(error));
            assert.match(messageOf(error), /position [0-9]+/);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes a plain map as equalities', () => {
    const map = { b: 'y', a: 'x' };
    assert.deepEqual(selectorOf(map), [
      { key: 'a', operator: 'In', values: ['x'] },
      { key: 'b', operator: 'In', values: ['y'] },
    ]);
    assert.equal(formatSelector(selectorOf(map)), 'a=x,b=y');
    fc.assert(
      fc.property(labels, labels, (map, labels) =>
        assert.equal(matchesMap(map, labels), matches(selectorOf(map), labels)),
      ),
    );
  });
});
