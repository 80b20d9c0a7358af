import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  addQuantities,
  bytesQuantity,
  canonical,
  canonicalMilli,
  compareQuantities,
  isQuantity,
  milliOf,
  milliQuantity,
  nanos,
  unitsOf,
} from '../../../lib/api/quantity.ts';

describe('api/quantity', () => {
  const spellings: readonly (readonly [string | number, string])[] = [
    ['0', '0'],
    [0, '0'],
    ['0Ki', '0'],
    ['1', '1'],
    [1, '1'],
    [0.1, '100m'],
    ['0.1', '100m'],
    ['.5', '500m'],
    ['1.', '1'],
    ['1000m', '1'],
    ['1500m', '1500m'],
    ['250m', '250m'],
    ['1000', '1k'],
    ['1001', '1001'],
    ['2000k', '2M'],
    ['1024', '1024'],
    ['1024Ki', '1Mi'],
    ['1Gi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['0.5Ki', '512'],
    ['1.5Ki', '1536'],
    ['1000Ki', '1000Ki'],
    ['100Ti', '100Ti'],
    ['9E', '9E'],
    ['1E', '1E'],
    ['1E3', '1e3'],
    ['1e3', '1e3'],
    ['1.25e3', '1250'],
    ['12e6', '12e6'],
    ['1u', '1u'],
    ['1n', '1n'],
    ['0.1n', '1n'],
    ['+1', '1'],
    ['-1', '-1'],
    ['-1500m', '-1500m'],
    [1e21, '9223372036854775807'],
    ['100E', '9223372036854775807'],
    ['1e999999999', '9223372036854775807'],
    ['1e-999999999', '1e-9'],
  ];
  for (const [text, want] of spellings)
    it(`writes ${JSON.stringify(text)} as ${want}`, () => assert.equal(canonical(text), want));

  for (const text of [
    '',
    ' ',
    'a',
    '1 ',
    ' 1',
    '1.2.3',
    '1kk',
    '1ki',
    '1K',
    'Ki',
    '.',
    '-',
    '1e',
    '0x1',
    '1,5',
    '1_000',
    NaN,
    Infinity,
    '9'.repeat(65),
  ])
    it(`refuses ${JSON.stringify(text)} (${String(text).slice(0, 8)})`, () => {
      assert.equal(isQuantity(text), false);
      assert.throws(() => nanos(text), RangeError);
    });

  it('rounds up: cpu to thousandths, memory to bytes', () => {
    assert.deepEqual(['1', '250m', '0.0001', '1u', '100', '2.5'].map(milliOf), [1000, 250, 1, 1, 100_000, 2500]);
    assert.deepEqual(
      ['1Ki', '1.5Gi', '100m', '1M', '8Gi', '110', '5000Gi'].map(unitsOf),
      [1024, 1610612736, 1, 1e6, 8589934592, 110, 5368709120000],
    );
    assert.deepEqual(['1u', '0.5', '1Ki'].map(canonicalMilli), ['1m', '500m', '1Ki']);
  });

  it('compares and adds across notations', () => {
    assert.equal(compareQuantities('1Gi', '1G'), 1);
    assert.equal(compareQuantities('1000m', 1), 0);
    assert.equal(compareQuantities('999m', '1'), -1);
    assert.equal(addQuantities('1Gi', '1Gi'), '2Gi');
    assert.equal(addQuantities('500m', '1'), '1500m');
  });

  it('writes numbers of its own', () => {
    assert.equal(bytesQuantity(1024 ** 3), '1Gi');
    assert.equal(milliQuantity(1500), '1500m');
    assert.equal(milliQuantity(4000), '4');
  });

  const quantity = fc
    .tuple(
      fc.nat(1_000_000),
      fc.nat(999),
      fc.constantFrom('n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'e2', 'E-3'),
    )
    .map(([whole, fraction, suffix]) => `${whole}.${fraction}${suffix}`);

  it('keeps the amount and settles after one rewriting', () => {
    assert.equal(canonical('397812.5Ki'), '407360k');
    fc.assert(
      fc.property(quantity, (text) => {
        const once = canonical(text);
        assert.equal(canonical(once), once);
        assert.match(once, /^-?[0-9]+([a-zA-Z]{0,2}|e-?[0-9]+)$/);
        const difference = nanos(once) - nanos(text);
        // bytes lose their fraction upwards; everything else is exact
        assert.ok(
          difference === 0n || (/[KMG]i$/.test(text) && difference > 0n && difference < 1_000_000_000n),
          `${text} became ${once}`,
        );
      }),
      { numRuns: 1_000 },
    );
  });

  it('agrees with itself on every short cut', () => {
    fc.assert(
      fc.property(quantity, fc.nat(2 ** 31), (text, number) => {
        assert.equal(milliOf(text), Number((nanos(text) + 999_999n) / 1_000_000n));
        assert.equal(unitsOf(text), Number((nanos(text) + 999_999_999n) / 1_000_000_000n));
        assert.equal(milliOf(`${number}m`), number);
        assert.equal(unitsOf(`${number}Mi`), Number(nanos(`${number}Mi`) / 1_000_000_000n));
      }),
    );
  });
});
