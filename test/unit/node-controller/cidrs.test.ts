import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseCidr } from '../../../lib/api/net.ts';
import { CidrPool } from '../../../services/node-controller/cidrs.ts';

const pool = (cluster = '10.244.0.0/22', bits = 24): CidrPool =>
  new CidrPool(parseCidr(cluster) ?? { base: 0, bits: 0 }, bits);

describe('node-controller/cidrs', () => {
  it('gives each node its own block, and the same when asked again', () => {
    const some = pool();
    assert.deepEqual(
      ['a', 'b', 'a', 'c'].map((node) => some.assign(node)),
      ['10.244.0.0/24', '10.244.1.0/24', '10.244.0.0/24', '10.244.2.0/24'],
    );
  });

  it('says when there is none left, and gives a released one again', () => {
    const some = pool();
    for (const node of ['a', 'b', 'c', 'd']) some.assign(node);
    assert.equal(some.assign('e'), undefined);
    some.release('b');
    assert.equal(some.assign('e'), '10.244.1.0/24');
  });

  it('does not give away what a node has already, whatever its size', () => {
    const some = pool();
    assert.equal(some.occupy('old', '10.244.0.0/23'), undefined);
    assert.equal(some.occupy('far', '192.0.2.0/24'), undefined);
    assert.equal(some.assign('new'), '10.244.2.0/24');
    assert.equal(some.occupy('twin', '10.244.2.128/25'), 'new');
  });

  it('never gives one block to two nodes', () => {
    const step = fc.record({ do: fc.constantFrom('assign', 'release'), node: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const some = pool();
        const held = new Map<string, string>();
        for (const { do: verb, node } of steps) {
          const name = `n${node}`;
          if (verb === 'release') {
            some.release(name);
            held.delete(name);
            continue;
          }
          const block = some.assign(name);
          if (block === undefined) assert.equal(held.size, some.size);
          else held.set(name, block);
        }
        assert.equal(new Set(held.values()).size, held.size);
      }),
    );
  });
});
