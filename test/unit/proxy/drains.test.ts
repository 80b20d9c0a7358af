import assert from 'node:assert/strict';
import { Drains } from '../../../services/proxy/kernel/drains.ts';
import type { LostBackend } from '../../../services/proxy/table/diff.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const lost = (backend: string): LostBackend =>
  ({ frontend: { ip: '10.96.0.1', port: 80, protocol: 'TCP' }, backend }) as unknown as LostBackend;

describe('proxy/kernel: drains', () => {
  const make = (most = 100) => {
    const clock = new FakeClock();
    const over: string[] = [];
    const drains = new Drains({
      drainMs: 1000,
      clock,
      most,
      end: (list) => over.push(...list.map(({ backend }) => backend)),
    });
    return { clock, drains, over };
  };

  it('ends each when its own time is over', async () => {
    const { clock, drains, over } = make();
    drains.add([lost('a'), lost('b')]);
    await clock.advance(400);
    drains.add([lost('c')]);
    await clock.advance(599);
    assert.deepEqual(over, []);
    await clock.advance(1);
    assert.deepEqual(over, ['a', 'b']);
    await clock.advance(400);
    assert.deepEqual(over, ['a', 'b', 'c']);
  });

  it('gives one that is lost again its whole time again', async () => {
    const { clock, drains, over } = make();
    drains.add([lost('a'), lost('b')]);
    await clock.advance(900);
    drains.add([lost('a')]);
    await clock.advance(900);
    assert.deepEqual(over, ['b']);
    await clock.advance(100);
    assert.deepEqual(over, ['b', 'a']);
  });

  it('holds no more than it may: those that left first have had their time', async () => {
    const { clock, drains, over } = make(2);
    drains.add([lost('a'), lost('b'), lost('c')]);
    assert.deepEqual(over, ['a']);
    drains.add([lost('d')]);
    assert.deepEqual(over, ['a', 'b']);
    await clock.advance(1000);
    assert.deepEqual(over, ['a', 'b', 'c', 'd']);
  });

  it('ends nothing any more once closed', async () => {
    const { clock, drains, over } = make();
    drains.add([lost('a')]);
    drains.close();
    await clock.advance(5000);
    assert.deepEqual(over, []);
  });
});
