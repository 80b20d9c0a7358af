import assert from 'node:assert/strict';
import type { Secret } from '../../lib/api/objects.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import { newObjectFollower } from '../../lib/view/follow.ts';
import { DoorFixture } from '../support/grpc-door.ts';
import { until } from '../support/until.ts';

describe('gRPC door: objects followed by name', () => {
  let fixture: DoorFixture;
  const stop = new AbortController();
  beforeEach(async () => {
    fixture = await DoorFixture.open();
  });
  afterEach(async () => {
    stop.abort();
    await fixture.close();
  });

  it('hears of one Secret by one watch, however many follow it, and of no other', async () => {
    const secret = (name: string, text: string) => ({
      metadata: { name, namespace: 'default' },
      data: { text: Buffer.from(text).toString('base64') },
    });
    const follower = newObjectFollower({
      ...{ client: fixture.api, bus: undefined, cluster: 'test', clock: systemClock, log: silentLog },
      signal: stop.signal,
    });
    let heard = 0;
    const all = Array.from({ length: 100 }, () => follower.follow('secrets', 'default/mine', () => heard++));
    const text = async (): Promise<string | undefined> => {
      const found: Secret | undefined = await all[0]?.read(5_000);
      return found === undefined ? undefined : Buffer.from(found.data?.['text'] ?? '', 'base64').toString();
    };
    assert.equal(await text(), undefined);
    await until(() => fixture.spied.watches === 1, { what: 'one watch is open' });

    await fixture.api.create('secrets', secret('other', 'x'));
    await fixture.api.create('secrets', secret('mine', 'one'));
    await until(async () => (await text()) === 'one', { what: 'it is heard of' });
    await fixture.api.patch('secrets', 'default/mine', secret('mine', 'two'));
    await until(async () => (await text()) === 'two', { what: 'its change is heard of' });
    assert.equal(heard, 300, 'the first answer, its making and its change, and nothing of the other');
    assert.equal(fixture.spied.watches, 1);

    for (const one of all) one.stop();
    await until(() => fixture.spied.watches === 0, { what: 'the watch is closed' });
  });
});
