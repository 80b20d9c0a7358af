import assert from 'node:assert/strict';
import * as names from '../../../lib/api/names.ts';

describe('api/names', () => {
  const long = (length: number): string => 'a'.repeat(length);
  const subdomain = (length: number): string =>
    Array.from({ length: Math.ceil(length / 63) }, () => long(62))
      .join('.')
      .slice(0, length);

  const cases: readonly {
    readonly check: names.Check;
    readonly good: readonly string[];
    readonly bad: readonly (readonly [string, RegExp])[];
  }[] = [
    {
      check: names.dnsLabel,
      good: ['a', '0', 'a-b', '123-abc', long(63)],
      bad: [
        ['', /RFC 1123 label/],
        [long(64), /no more than 63 characters, and this has 64/],
        ['A', /character 'A' at position 1/],
        ['-a', /letter or digit at both ends/],
        ['a-', /letter or digit at both ends/],
        ['a.b', /character '\.' at position 2/],
        ['my name', /a space at position 3/],
        ['a_b', /character '_' at position 2/],
      ],
    },
    {
      check: names.dnsSubdomain,
      good: ['a', 'web.example.com', '1.2', subdomain(253)],
      bad: [
        ['', /RFC 1123 subdomain/],
        [subdomain(254), /no more than 253/],
        ['a..b', /each part/],
        ['.a', /each part/],
        ['a.-b', /each part/],
        ['Web', /character 'W' at position 1/],
      ],
    },
    {
      check: names.dns1035Label,
      good: ['a', 'a1', 'my-name', long(63)],
      bad: [
        ['1a', /beginning with a letter/],
        ['', /DNS-1035/],
        ['a.b', /character '\.' at position 2/],
        [long(64), /63/],
      ],
    },
    {
      check: names.qualifiedName,
      good: ['a', 'A', 'a_b.c-d', 'example.com/a', `${subdomain(253)}/${long(63)}`],
      bad: [
        ['', /not empty/],
        ['a/b/c', /one '\/'/],
        ['/a', /a prefix before/],
        ['a/', /name part/],
        [long(64), /63/],
        [`${subdomain(254)}/a`, /prefix part .* no more than 253/],
        [`a/${long(64)}`, /name part must be no more than 63/],
        ['Example.com/a', /prefix part 'Example.com'/],
        ['a b', /a space at position 2/],
        ['-a', /letter or digit at both ends/],
        ['a&b', /character '&' at position 2/],
      ],
    },
    {
      check: names.annotationKey,
      good: ['a', 'Example.COM/Key', 'kubectl.kubernetes.io/last-applied-configuration'],
      bad: [['a b', /a space/]],
    },
    {
      check: names.labelValue,
      good: ['', 'a', 'A_b.c-9', long(63)],
      bad: [
        [long(64), /63 characters, and this has 64/],
        ['my value', /a space at position 3/],
        ['a/b', /character '\/' at position 2/],
        ['a-', /both ends/],
        ['\t', /a tab at position 1/],
      ],
    },
    {
      check: names.portName,
      good: ['http', 'a', '9p', 'a-b-c', 'a'.repeat(15)],
      bad: [
        ['', /empty/],
        ['a'.repeat(16), /15/],
        ['123', /at least one letter/],
        ['a--b', /two '-' in a row/],
        ['-a', /begin or end/],
        ['a-', /begin or end/],
        ['Http', /character 'H' at position 1/],
      ],
    },
    {
      check: names.envName,
      good: ['A', 'my.var', 'a b', '1-x'],
      bad: [
        ['', /empty/],
        ['A=B', /character '=' at position 2/],
        ['ä', /printable ASCII/],
      ],
    },
    {
      check: names.dataKey,
      good: ['a', 'redis.conf', '_x-1', 'a'.repeat(253)],
      bad: [
        ['', /must consist/],
        ['.', /must not be/],
        ['..', /must not be/],
        ['..a', /begin with/],
        ['a/b', /'\/' at position 2/],
        ['a'.repeat(254), /253/],
      ],
    },
  ];
  for (const { check, good, bad } of cases) {
    describe(check.name, () => {
      for (const value of good)
        it(`takes ${JSON.stringify(value.slice(0, 40))} (${value.length})`, () =>
          assert.equal(check(value), undefined));
      for (const [value, why] of bad)
        it(`refuses ${JSON.stringify(value.slice(0, 40))} (${value.length})`, () =>
          assert.match(check(value) ?? 'taken', why));
    });
  }

  it('takes port numbers from 1 to 65535', () => {
    assert.deepEqual(
      [0, 1, 65535, 65536, 1.5, -1].map((port) => names.portNumber(port) === undefined),
      [false, true, true, false, false, false],
    );
  });
});
