import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ShardedMap } from '../../../services/proxy/table/sharded-map.ts';

describe('proxy/sharded-map', () => {
  const key = fc.integer({ min: 0, max: 40 }).map((n) => `default/s${n}/tcp/80`);
  const change = fc.tuple(key, fc.option(fc.integer(), { nil: undefined }));
  const sorted = (map: ReadonlyMap<string, number>): unknown => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

  it('holds what a map holds, and leaves what it was made from as it was', () => {
    fc.assert(
      fc.property(fc.array(change), fc.array(change), (first, second) => {
        const plain = new Map<string, number>();
        for (const [at, value] of first) if (value !== undefined) plain.set(at, value);
        const before = ShardedMap.from(plain);
        const was = sorted(before);
        const edit = before.edit();
        for (const [at, value] of second) {
          if (value === undefined) plain.delete(at);
          else plain.set(at, value);
          if (value === undefined) edit.delete(at);
          else edit.set(at, value);
          assert.equal(edit.get(at), value);
          assert.equal(edit.has(at), value !== undefined);
        }
        const after = edit.done();
        assert.deepEqual(sorted(after), sorted(plain));
        assert.deepEqual([...after.keys()].sort(), [...plain.keys()].sort());
        assert.deepEqual([...after.values()].sort(), [...plain.values()].sort());
        assert.equal(after.size, plain.size);
        for (const [at] of [...first, ...second]) assert.equal(after.get(at), plain.get(at));
        assert.deepEqual(sorted(before), was);
      }),
    );
  });

  it('is itself when made from itself', () => {
    const map = ShardedMap.from(new Map([['a', 1]]));
    assert.equal(ShardedMap.from(map), map);
  });
});
