import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isWell, sickOnes, type Answers } from '../../../examples/health-checker/checker/decide.ts';

describe('examples/health-checker', () => {
  const rule = { misses: 3, most: 2 };
  const history = (all: Readonly<Record<string, string>>): ReadonlyMap<string, Answers> =>
    new Map(Object.entries(all).map(([name, answers]) => [name, [...answers].map((each) => each === '+')]));

  it('takes who has missed often enough in a row, the sickest first, and so many at most', () => {
    assert.deepEqual(sickOnes(history({ a: '+--', b: '---', c: '-+', d: '+---', e: '--' }), 0, rule), ['b', 'd']);
    assert.deepEqual(sickOnes(history({ a: '----', b: '---', c: '---' }), 0, rule), ['a', 'b']);
    assert.deepEqual(sickOnes(history({ a: '----', b: '---' }), 1, rule), ['a']);
    assert.deepEqual(sickOnes(history({ a: '----' }), 2, rule), []);
  });

  it('never has more away than the rule lets', () => {
    const answers = fc.array(fc.boolean(), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(answers), fc.nat(4), fc.nat(4), (all, quarantined, most) => {
        const found = sickOnes(new Map(all.map((each, index) => [String(index), each])), quarantined, {
          misses: 2,
          most,
        });
        assert.ok(found.length === 0 || found.length + quarantined <= most);
        for (const name of found) assert.deepEqual(all[Number(name)]?.slice(-2), [false, false]);
      }),
    );
  });

  it('reads the length of the queue, and takes anything else for an illness', () => {
    assert.ok(isWell(200, '{"queue":99}', 100));
    for (const [status, body] of [
      [200, '{"queue":100}'],
      [500, '{"queue":1}'],
      [200, ''],
      [200, '{}'],
      [200, 'null'],
    ] as const)
      assert.equal(isWell(status, body, 100), false, body);
  });
});
