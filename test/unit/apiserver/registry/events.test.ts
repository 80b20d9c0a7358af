import assert from 'node:assert/strict';
import { until } from '../../../support/until.ts';
import { aRegistry, closeAll, objectOf, rejects } from './a-registry.ts';

const event = (name: string, more: object = {}) => ({
  metadata: { name },
  involvedObject: { kind: 'Pod', namespace: 'default', name: 'web', uid: `uid-of-${name}` },
  reason: 'Started',
  message: 'x'.repeat(500),
  type: 'Normal',
  firstTimestamp: '2026-01-01T00:00:00Z',
  lastTimestamp: '2026-01-01T00:00:00Z',
  count: 1,
  ...more,
});

describe('apiserver/registry events', () => {
  afterEach(closeAll);

  it('are found by what they are about', async () => {
    const { registry } = await aRegistry();
    for (const name of ['a', 'b', 'c']) await registry.create('events', 'default', event(name), {});
    const fieldSelector = 'involvedObject.uid=uid-of-b,involvedObject.name=web,reason=Started';
    const { items } = await registry.list('events', { fieldSelector });
    assert.deepEqual(
      items.map((served) => objectOf({ served }).metadata.name),
      ['b'],
    );
  });

  it('are in the namespace of what they are about', async () => {
    const { registry } = await aRegistry();
    const involvedObject = { kind: 'Pod', namespace: 'other', name: 'web' };
    await rejects(
      registry.create('events', 'default', event('a', { involvedObject }), {}),
      'Invalid',
      /does not match/,
    );
  });

  it('stay within their size, those that happened last', async () => {
    const { registry } = await aRegistry({ events: { maxBytes: 20_000, maxAgeMs: 1e9 } });
    const bytes = (): number => registry.cache.filing('events').bytes;
    for (let i = 0; i < 100; i++) {
      await registry.create('events', 'default', event(`e${i}`), {});
      if (registry.cache.get('events', 'default/e0') !== undefined) {
        await registry.patch('events', 'default/e0', { count: i + 2 }, {});
      }
    }
    await until(() => bytes() <= 20_000, { what: 'Events are within their bound' });
    const kept = (await registry.list('events', {})).items.map((served) => objectOf({ served }).metadata.name);
    assert.ok(kept.length > 10, `${kept.length} kept`);
    assert.ok(kept.includes('e0'), 'it happened again and again');
    assert.ok(kept.includes('e99'));
    assert.ok(!kept.includes('e1'));
  });

  it('go when they are old', async () => {
    const { registry, clock } = await aRegistry({ events: { maxBytes: 1e9, maxAgeMs: 3_600_000 } });
    await registry.create('events', 'default', event('old'), {});
    await registry.create('events', 'default', event('new', { lastTimestamp: '2026-01-01T00:50:00Z' }), {});
    await clock.advance(75 * 60_000);
    await until(() => registry.cache.get('events', 'default/old') === undefined, { what: 'the old one is gone' });
    assert.ok(await registry.get('events', 'default/new'));
  });
});
