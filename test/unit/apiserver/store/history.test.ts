import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compactionTarget } from '../../../../services/apiserver/store/history.ts';

describe('apiserver/store history bounds', () => {
  const bounds = { maxAgeMs: 1_000, maxBytes: 1_000 };
  /** Revision n was committed at n * 10 ms. */
  const timeOf = (revision: number): number => revision * 10;
  const cases = [
    { it: 'rests within the bounds', compacted: 0, revision: 50, bytes: 900, nowMs: 500, want: 0 },
    {
      it: 'goes up to the last revision that is too old',
      compacted: 0,
      revision: 200,
      bytes: 0,
      nowMs: 2_005,
      want: 100,
    },
    { it: 'keeps what is exactly so old', compacted: 0, revision: 200, bytes: 0, nowMs: 2_000, want: 99 },
    { it: 'takes a share when it is too large', compacted: 0, revision: 100, bytes: 1_800, nowMs: 500, want: 50 },
    {
      it: 'takes what age or size asks for, whichever is more',
      compacted: 0,
      revision: 100,
      bytes: 1_800,
      nowMs: 1_805,
      want: 80,
    },
    { it: 'never goes beyond what there is', compacted: 0, revision: 100, bytes: 1e9, nowMs: 1e9, want: 100 },
    { it: 'never goes back', compacted: 80, revision: 100, bytes: 0, nowMs: 0, want: 80 },
  ];
  for (const { it: name, want, ...state } of cases) {
    it(name, () => {
      assert.equal(compactionTarget({ ...state, bounds, timeOf }), want);
    });
  }

  it('comes within any size, step by step', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { minLength: 1, maxLength: 200 }), (sizes) => {
        let compacted = 0;
        const bytes = (): number => sizes.slice(compacted).reduce((sum, size) => sum + size, 0);
        for (let step = 0; step < 200 && bytes() > bounds.maxBytes; step++) {
          const next = compactionTarget({
            compacted,
            revision: sizes.length,
            bytes: bytes(),
            bounds,
            nowMs: 0,
            timeOf,
          });
          assert.ok(next > compacted, 'it moves');
          compacted = next;
        }
        assert.ok(bytes() <= bounds.maxBytes);
      }),
    );
  });
});
