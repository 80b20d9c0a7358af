import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseJson } from '../../../lib/api/codec/json.ts';
import { hasReason } from '../../../lib/base/errors.ts';

const parse = (text: string): ReturnType<typeof parseJson> => parseJson(Buffer.from(text));

describe('codec: JSON text', () => {
  it('reads what the engine reads, and finds no duplicates in it', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 2), (text, indent) => {
        const pretty = JSON.stringify(JSON.parse(text), null, indent);
        assert.deepEqual(parse(pretty), { value: JSON.parse(pretty), duplicates: [] });
      }),
    );
  });

  it('finds members that stand twice', () => {
    const cases: [string, string[]][] = [
      ['{"a":1,"a":2}', ['a']],
      ['{"spec":{"replicas":1,"x":{},"replicas":2}}', ['spec.replicas']],
      ['{"l":[{"n":1},{"n":1,"n":2}]}', ['l[1].n']],
      ['{"m":{"a.b/c":"1","a.b/c":"2"}}', ['m[a.b/c]']],
      ['{"a":{"b":1},"b":{"b":1}}', []],
      [String.raw`{"a":1,"\u0061":2}`, ['a']],
      ['{"a":1,"a":2,"a":3}', ['a', 'a']],
    ];
    for (const [text, duplicates] of cases) assert.deepEqual(parse(text).duplicates, duplicates, text);
    assert.deepEqual(parse('{"a":1,"a":2}').value, { a: 2 });
  });

  const broken: [string, string][] = [
    ['', 'unexpected the end of the text at line 1, column 1'],
    ['{"a":1,}', 'expected a member name in quotes, found "}" at line 1, column 8'],
    ['{\n  "a": 1\n  "b": 2\n}', 'expected "," or "}", found "\\"" at line 3, column 3'],
    ['{"a" 1}', 'expected ":" after the member name, found "1" at line 1, column 6'],
    ['[1, 2', 'expected "," or "]", found the end of the text at line 1, column 6'],
    ['{"a": tru}', 'unexpected "t" at line 1, column 7'],
    ['{"a": "b\nc"}', 'a string holds a control character (write \\n for a line end) at line 1, column 9'],
    ['{"a": "b', 'a string does not end, begun at line 1, column 7'],
    ['{"a": "\\x"}', 'unknown escape in a string at line 1, column 8'],
    ['{"a": 1} true', 'unexpected "t" after the end of the value at line 1, column 10'],
    ["{'a': 1}", 'expected a member name in quotes, found "\'" at line 1, column 2'],
  ];
  for (const [text, problem] of broken) {
    it(`says what is wrong with ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parse(text),
        (error: Error) => hasReason(error, 'BadRequest') && error.message === `not valid JSON: ${problem}`,
        problem,
      );
    });
  }

  it('refuses what is not UTF-8, and what is nested without end', () => {
    assert.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22])), /not UTF-8/);
    assert.throws(() => parse('['.repeat(100_000) + ']'.repeat(100_000)), /more than 256 objects and lists/);
  });

  it('always fails where the engine fails, with a place', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom('"', '{', ',', '\\', '0', ' ', ''), (text, at, put) => {
        const spot = at % (text.length + 1);
        const changed = text.slice(0, spot) + put + text.slice(spot + 1);
        let valid = true;
        try {
          JSON.parse(changed);
        } catch {
          valid = false;
        }
        if (valid) parse(changed);
        else assert.throws(() => parse(changed), /^ApiError: not valid JSON: .* at line \d+, column \d+$/s);
      }),
    );
  });
});
