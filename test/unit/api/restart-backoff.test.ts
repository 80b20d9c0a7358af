import assert from 'node:assert/strict';
import fc from 'fast-check';
import { backoffMsOf, defaultBackoff, restartBackoffOf, restartDelayMs } from '../../../lib/api/restart-backoff.ts';
import { aPod } from '../../support/builders.ts';

const of = (initial?: string, max?: string) =>
  restartBackoffOf(
    aPod({
      annotations: {
        ...(initial === undefined ? {} : { 'troupe.dev/restart-backoff-initial': initial }),
        ...(max === undefined ? {} : { 'troupe.dev/restart-backoff-max': max }),
      },
    }),
  );

describe('api/restart-backoff', () => {
  it('waits 0, 10, 20, 40 … at most 300 s where nothing else is asked for', () => {
    assert.deepEqual(restartBackoffOf(aPod()), defaultBackoff);
    const waits = [0, 1, 2, 3, 4, 5, 6, 50].map((crashes) => restartDelayMs(defaultBackoff, crashes) / 1000);
    assert.deepEqual(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
  });
  it('reads durations, and takes what it cannot read as not given', () => {
    const texts = ['500ms', '1s', '2m', '1h', '99ms', '2h', '1.5s', '-1s', 's', '', undefined];
    assert.deepEqual(texts.map(backoffMsOf), [500, 1_000, 120_000, 3_600_000, ...Array<undefined>(7).fill(undefined)]);
    assert.deepEqual(of('soon'), defaultBackoff);
  });
  it('keeps the first wait within the longest, whichever of them is given', () => {
    assert.deepEqual(of('1s', '1m'), { initialMs: 1_000, maxMs: 60_000 });
    assert.deepEqual(of(undefined, '1s'), { initialMs: 1_000, maxMs: 1_000 });
    assert.deepEqual(of('10m'), { initialMs: 600_000, maxMs: 600_000 });
  });
  it('never waits longer than the longest, nor shorter after one crash more', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 3_600_000 }),
        fc.integer({ min: 100, max: 3_600_000 }),
        fc.nat(60),
        (a, b, crashes) => {
          const { initialMs, maxMs } = of(`${a}ms`, `${b}ms`);
          const [now, next] = [crashes, crashes + 1].map((count) => restartDelayMs({ initialMs, maxMs }, count));
          assert.ok((now ?? 0) <= (next ?? 0) && (next ?? 0) <= maxMs && initialMs <= maxMs);
        },
      ),
    );
  });
});
