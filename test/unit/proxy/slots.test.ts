import assert from 'node:assert/strict';
import fc from 'fast-check';
import { keepBase, masqueradeBase } from '../../../services/proxy/kernel/marks.ts';
import { SlotSpace } from '../../../services/proxy/nftables/slots.ts';
import type { Target } from '../../../services/proxy/table/table.ts';

const target = (id: string, backends: readonly string[], masquerade = false): Target => ({
  ...{ id, backends, masquerade },
  protocol: 'TCP',
  affinitySeconds: 0,
});

describe('proxy/slots', () => {
  it('moves only what has to move', () => {
    const space = new SlotSpace();
    const { slots } = space.place(target('a', ['x', 'y', 'z']));
    assert.deepEqual(space.place(target('a', ['y', 'z'])).changes, [
      { slot: slots.first, before: 'x', after: 'z' },
      { slot: slots.first + 2, before: 'z', after: undefined },
    ]);
    assert.deepEqual(space.place(target('a', ['n', 'y', 'z'])).changes, [
      { slot: slots.first + 2, before: undefined, after: 'n' },
    ]);
    assert.deepEqual(space.place(target('a', ['m', 'y', 'z'])).changes, [
      { slot: slots.first + 2, before: 'n', after: 'm' },
    ]);
  });

  it('tells by the number whether the sender is hidden', () => {
    const space = new SlotSpace();
    assert.equal(space.place(target('a', ['x'])).slots.first >>> 24, keepBase >>> 24);
    assert.equal(space.place(target('b', ['x'], true)).slots.first >>> 24, masqueradeBase >>> 24);
    assert.equal(space.place(target('a', ['x'], true)).slots.first >>> 24, masqueradeBase >>> 24);
  });

  it('keeps the numbers of every target together and apart from others, and its changes lead from each state to the next', () => {
    const step = fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd'),
      backends: fc.uniqueArray(fc.stringMatching(/^[a-z]$/), { maxLength: 20 }),
      masquerade: fc.boolean(),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const space = new SlotSpace();
        const kernel = new Map<number, string>();
        const wanted = new Map<string, readonly string[]>();
        for (const { id, backends, masquerade, remove } of steps) {
          const changes = remove ? space.remove(id) : space.place(target(id, backends, masquerade)).changes;
          for (const { slot, before } of changes) {
            if (before === undefined) continue;
            assert.equal(kernel.get(slot), before);
            kernel.delete(slot);
          }
          for (const { slot, after } of changes) if (after !== undefined) kernel.set(slot, after);
          if (remove) wanted.delete(id);
          else wanted.set(id, backends);

          assert.equal(
            kernel.size,
            [...wanted.values()].reduce((sum, list) => sum + list.length, 0),
          );
          for (const [each, list] of wanted) {
            const slots = space.get(each);
            assert(slots !== undefined);
            const found = list.map((_, i) => kernel.get(slots.first + i));
            assert.deepEqual(found, slots.backends);
            assert.deepEqual([...found].sort(), [...list].sort());
          }
        }
      }),
    );
  });
});
