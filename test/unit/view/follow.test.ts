import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import type { ConfigMap } from '../../../lib/api/objects.ts';
import { toStored } from '../../../lib/api/stored.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { newObjectFollower, type Following, type ObjectFollower } from '../../../lib/view/follow.ts';
import { startRelay } from '../../../services/apiserver/relay/relay.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { StoreReader } from '../../support/store-reader.ts';

/** A store with its relay, and a follower that reads it over a bus of its own. */
class World {
  readonly clock = new FakeClock();
  readonly store = new MemoryStore({ clock: this.clock });
  readonly reader = new StoreReader(this.store);
  readonly broker = new MemoryBroker();
  readonly bus = new MemoryBus(this.broker);
  readonly follower: ObjectFollower;
  readonly #stop = new AbortController();
  #relay = new AbortController();
  #relayEnded = Promise.resolve();

  constructor() {
    const { reader: client, bus, clock } = this;
    this.follower = newObjectFollower({
      ...{ client, bus, cluster: 'test', clock, log: silentLog, signal: this.#stop.signal },
      random: () => 0.5,
    });
  }
  startRelay(): void {
    this.#relay = new AbortController();
    const bus = new MemoryBus(this.broker);
    this.#relayEnded = startRelay({
      ...{ store: this.store, bus, stream: bus.stream, cluster: 'test', clock: this.clock, log: silentLog },
      ...{ meter: createNoopMeter(), signal: this.#relay.signal, exclusive: true },
    }).ended;
  }
  async killRelay(): Promise<void> {
    this.#relay.abort();
    await this.#relayEnded;
  }
  put(path: string, text: string, rest: Partial<ConfigMap> = {}): Promise<number> {
    const [resource = '', , name = ''] = path.split('/');
    const kind = resource === 'secrets' ? 'Secret' : 'ConfigMap';
    const metadata = { name, namespace: 'default', uid: name, creationTimestamp: '', resourceVersion: '' };
    const value = toStored({ apiVersion: 'v1', kind, metadata, data: { text }, ...rest });
    return this.store.commit([{ key: path, value }]);
  }
  remove(path: string): Promise<number> {
    return this.store.commit([{ key: path, value: undefined }]);
  }
  async close(): Promise<void> {
    this.#stop.abort();
    await this.killRelay();
    await settle();
    await this.store.close();
  }
}

describe('view/follow', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
    world.startRelay();
  });
  afterEach(() => world.close());

  const follow = (resource: 'configmaps' | 'secrets', name: string) => {
    const heard = { times: 0 };
    const following = world.follower.follow(resource, `default/${name}`, () => heard.times++);
    return { following: following as Following<ConfigMap>, heard };
  };
  const text = async (following: Following<ConfigMap>): Promise<string | undefined> =>
    (await following.read(1_000))?.data?.['text'];
  const untilText = (following: Following<ConfigMap>, wanted: string | undefined, limitMs = 2_000): Promise<number> => {
    let now: string | undefined | null = null;
    return world.clock.advanceUntil(
      () => {
        void text(following).then((found) => (now = found));
        return now === wanted;
      },
      `it reads ${wanted}`,
      limitMs,
    );
  };

  for (const resource of ['configmaps', 'secrets'] as const) {
    it(`follows one of the ${resource} through change, deletion and return, at once`, async () => {
      await world.put(`${resource}/default/a`, 'one');
      const { following, heard } = follow(resource, 'a');
      await untilText(following, 'one');
      await world.put(`${resource}/default/b`, 'another');
      await world.put(`${resource}/default/a`, 'two');
      await untilText(following, 'two', 100);
      await world.remove(`${resource}/default/a`);
      await untilText(following, undefined, 100);
      await world.put(`${resource}/default/a`, 'three');
      await untilText(following, 'three', 100);
      assert.equal(heard.times, 4);
    });
  }

  it('costs one watch or one subscription for however many', async () => {
    await world.put('configmaps/default/a', 'one');
    await world.put('secrets/default/s', 'key');
    const many = Array.from({ length: 100 }, () => [follow('configmaps', 'a'), follow('secrets', 's')]).flat();
    await untilText(many[0]?.following ?? assert.fail(), 'one');
    await untilText(many[1]?.following ?? assert.fail(), 'key');
    await world.clock.advance(60_000);
    assert.deepEqual([world.follower.size, world.reader.openWatches], [2, 1]);
    assert.ok(world.reader.asked.list <= 4, `${world.reader.asked.list} lists`);
    assert.ok(world.reader.asked.watch <= 2, `${world.reader.asked.watch} watches`);
    await world.put('secrets/default/s', 'new');
    await world.clock.advance(10);
    assert.ok(many.filter((_, index) => index % 2 === 1).every(({ heard }) => heard.times === 2));
    for (const { following } of many) following.stop();
    await settle();
    assert.deepEqual([world.follower.size, world.reader.openWatches], [0, 0]);
  });

  it('reads what is immutable once for each who asks, and asks no more', async () => {
    await world.put('configmaps/default/a', 'fixed', { immutable: true });
    await world.put('secrets/default/s', 'fixed', { immutable: true });
    const one = [follow('configmaps', 'a'), follow('secrets', 's')];
    for (const { following } of one) await untilText(following, 'fixed');
    const { list, watch } = world.reader.asked;
    await world.clock.advance(3_600_000);
    assert.deepEqual([world.reader.asked.list, world.reader.asked.watch, world.reader.openWatches], [list, watch, 0]);
    await world.put('secrets/default/s', 'made anew', { immutable: true });
    const late = follow('secrets', 's');
    await untilText(late.following, 'made anew');
  });

  it('goes on by watch while the relay or the bus is away, and comes back to the bus', async () => {
    await world.put('configmaps/default/a', 'one');
    const { following } = follow('configmaps', 'a');
    await untilText(following, 'one');
    await world.killRelay();
    await world.put('configmaps/default/a', 'two');
    await untilText(following, 'two', 6_000);
    await world.clock.advanceUntil(() => world.reader.openWatches === 1, 'it watches', 2_000);
    await world.put('configmaps/default/a', 'three');
    await untilText(following, 'three', 100);
    world.startRelay();
    await world.clock.advanceUntil(() => world.reader.openWatches === 0, 'the bus carries again', 10_000);
    await world.put('configmaps/default/a', 'four');
    await untilText(following, 'four', 1_000);
  });

  it('finds out by itself what the bus lost', async () => {
    await world.put('configmaps/default/a', 'one');
    const { following } = follow('configmaps', 'a');
    await untilText(following, 'one');
    await world.clock.advance(10_000);
    world.bus.dropEvery(1);
    await world.put('configmaps/default/a', 'two');
    await settle();
    world.bus.dropEvery(0);
    await world.clock.advance(10_000);
    assert.equal(await text(following), 'one');
    await untilText(following, 'two', 400_000);
  });

  it('says that the API is away, and answers when it is back', async () => {
    await world.put('secrets/default/s', 'key');
    world.reader.goAway(true);
    const { following, heard } = follow('secrets', 's');
    const read = following.read(1_000);
    const failed = assert.rejects(read, /could not be read within 1000 ms: the API cannot be reached/);
    await world.clock.advance(1_500);
    await failed;
    world.reader.goAway(false);
    await untilText(following, 'key', 10_000);
    assert.equal(heard.times, 1);
    // And it survives that again.
    world.reader.goAway(true);
    await world.clock.advance(3_000);
    await world.put('secrets/default/s', 'new');
    world.reader.goAway(false);
    await untilText(following, 'new', 10_000);
  });
});
