import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatIndexes, parseIndexes } from '../../../services/job-controller/indexes.ts';
import { namesFor } from '../../../services/job-controller/template.ts';
import { aJob } from '../../support/batch-builders.ts';

describe('job-controller/indexes', () => {
  it('writes runs as ranges and reads them back', () => {
    assert.equal(formatIndexes([5, 0, 2, 1, 3]), '0-3,5');
    assert.equal(formatIndexes([]), '');
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(200)), (indexes) => {
        const back = parseIndexes(formatIndexes(indexes), 201);
        assert.deepEqual(
          [...back].sort((a, b) => a - b),
          indexes.toSorted((a, b) => a - b),
        );
      }),
    );
  });
  it('leaves out what is out of range or unreadable', () => {
    assert.deepEqual([...parseIndexes('0-9,x,12', 3)], [0, 1, 2]);
    assert.deepEqual([...parseIndexes(undefined, 3)], []);
  });
});

describe('job-controller/names', () => {
  it('gives each pod a name of its own, the same to all who ask, and none that is taken', () => {
    const job = aJob();
    const wanted = Array.from({ length: 2_000 }, () => ({}));
    const names = namesFor(job, wanted, () => false);
    assert.equal(new Set(names).size, 2_000);
    assert.deepEqual(
      namesFor(job, wanted, () => false),
      names,
    );
    const [first = ''] = names;
    assert.match(first, /^pi-[a-z0-9]{5}$/);
    assert.notEqual(namesFor(job, [{}], (name) => name === first)[0], first);
  });
  it('says the index, and stays short enough for a host name', () => {
    const job = aJob({ name: 'x'.repeat(63), spec: { completionMode: 'Indexed', completions: 3, parallelism: 3 } });
    for (const name of namesFor(job, [{ index: 2 }], () => false)) assert.ok(name.length <= 63);
    assert.match(namesFor(aJob(), [{ index: 2 }], () => false)[0] ?? '', /^pi-2-/);
  });
});
