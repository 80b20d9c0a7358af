import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import fc from 'fast-check';
import type { ApiObject, Pod } from '../../../lib/api/objects.ts';
import { fromStored, toStored } from '../../../lib/api/stored.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { relaySubject, type RelayStatus } from '../../../lib/bus/subjects.ts';
import type { Change } from '../../../lib/view/view.ts';
import { newView, newViews, type LiveView, type ViewScope } from '../../../lib/view/views.ts';
import { startRelay } from '../../../services/apiserver/relay/relay.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { StoreReader } from '../../support/store-reader.ts';

const cluster = 'test';
const stored = (name: string, node: string | undefined, n: number): Buffer =>
  toStored({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, creationTimestamp: '', resourceVersion: '' },
    spec: { ...(node === undefined ? {} : { nodeName: node }), n },
  } as ApiObject);

/** A store, a relay and a view of pods, with every connection of its own. */
class World {
  readonly clock = new FakeClock();
  readonly store = new MemoryStore({ clock: this.clock });
  readonly reader = new StoreReader(this.store);
  readonly broker = new MemoryBroker();
  readonly viewBus = new MemoryBus(this.broker);
  relayBus = new MemoryBus(this.broker);
  readonly #stop = new AbortController();
  #stopRelay = new AbortController();
  #relayEnded = Promise.resolve();
  #n = 0;
  readonly #random: () => number;

  /** The seed decides every jitter, so that a failure can be played again. */
  constructor(seed = 1) {
    this.#random = seeded(seed);
  }

  startRelay(): void {
    this.#stopRelay = new AbortController();
    this.relayBus = new MemoryBus(this.broker);
    this.#relayEnded = startRelay({
      store: this.store,
      bus: this.relayBus,
      stream: this.relayBus.stream,
      cluster,
      clock: this.clock,
      log: silentLog,
      meter: createNoopMeter(),
      signal: this.#stopRelay.signal,
      exclusive: true,
      random: this.#random,
    }).ended;
  }
  async killRelay(): Promise<void> {
    this.#stopRelay.abort();
    await this.#relayEnded;
  }

  get source() {
    const { reader: client, viewBus: bus, clock } = this;
    const { signal } = this.#stop;
    return { client, bus, cluster, clock, log: silentLog, meter: createNoopMeter(), signal, random: this.#random };
  }
  view(scope: ViewScope<'pods'> = {}): LiveView<Pod> {
    return newView('pods', { ...this.source, ...scope });
  }
  /** A pod that has a node keeps it. */
  async put(name: string, wanted?: string): Promise<Pod> {
    const held = await this.reader.peek<Pod>(`pods/default/${name}`);
    const node = held?.spec.nodeName ?? wanted;
    const value = stored(name, node, ++this.#n);
    const revision = await this.store.commit([{ key: `pods/default/${name}`, value }]);
    return fromStored<Pod>(value, revision);
  }
  async remove(name: string): Promise<void> {
    await this.store.commit([{ key: `pods/default/${name}`, value: undefined }]);
  }
  /** Forgets history, as a store does after a day. */
  async compact(): Promise<void> {
    await this.reader.caughtUp();
    await this.store.compact(await this.store.revision());
  }
  /** What the API has, as `name@revision`. */
  async truth(node?: string): Promise<string[]> {
    const options = node === undefined ? {} : { fieldSelector: `spec.nodeName=${node}` };
    return rows((await new StoreReader(this.store).list('pods', options)).items);
  }
  async close(): Promise<void> {
    this.#stop.abort();
    await this.killRelay();
    await settle();
    await this.store.close();
  }
}
/** Numbers in [0, 1) that depend on the seed alone. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
const rows = (pods: readonly Pod[]): string[] =>
  pods.map((pod) => `${pod.metadata.name}@${pod.metadata.resourceVersion}`).sort();

describe('view', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
    world.startRelay();
  });
  afterEach(() => world.close());

  it('serves nothing before the first snapshot, then all of it', async () => {
    await world.put('a');
    world.reader.goAway(true);
    const view = world.view({ indexes: { node: (pod) => [pod.spec.nodeName ?? ''] } });
    const heard: Change<Pod>[] = [];
    view.onChange((change) => heard.push(change));
    await world.clock.advance(3_000);
    assert.deepEqual(
      [view.synced, view.size, view.get('default/a'), view.list(), view.by('node', '')],
      [false, 0, undefined, [], []],
    );
    world.reader.goAway(false);
    await world.clock.advanceUntil(() => view.synced, 'synced', 5_000);
    await view.whenSynced;
    assert.deepEqual(rows(view.list()), ['a@1']);
    assert.deepEqual(
      heard.map(({ key, before }) => [key, before]),
      [['default/a', undefined]],
    );
  });

  it('follows the bus without another list, and tells each change once', async () => {
    const view = world.view({ indexes: { node: (pod) => [pod.spec.nodeName ?? 'none'] } });
    await world.clock.advanceUntil(() => view.synced, 'synced');
    const heard: string[] = [];
    view.onChange(({ key, before, after }) =>
      heard.push(`${key} ${before?.metadata.resourceVersion} ${after?.metadata.resourceVersion}`),
    );
    await world.put('a');
    await world.put('a', 'n1');
    await world.put('b');
    await world.remove('a');
    await settle();
    assert.deepEqual(rows(view.list('default')), ['b@3']);
    assert.deepEqual(view.by('node', 'n1'), []);
    assert.equal(view.by('node', 'none').length, 1);
    assert.throws(() => view.by('nonsense', ''), /no index "nonsense"/);
    assert.deepEqual(heard, [
      'default/a undefined 1',
      'default/a 1 2',
      'default/b undefined 3',
      'default/a 2 undefined',
    ]);
    for (let n = 0; n < 300; n++) {
      await world.put(`p${n % 50}`, `n${n % 7}`);
      if (n % 20 === 0) await world.clock.advance(9_000);
    }
    await settle();
    assert.deepEqual(rows(view.list()), await world.truth());
    assert.deepEqual([world.reader.asked.list, world.reader.asked.watch], [1, 0]);
  });

  it('sees its own writes at once, and is not thrown back by what comes late', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    world.viewBus.disconnect();
    const a = await world.put('a');
    view.wrote(a);
    const b = await world.put('b');
    const b2 = await world.put('b');
    view.wrote(b2);
    view.wrote(b);
    assert.deepEqual(rows(view.list()), ['a@1', 'b@3']);
    view.wroteDeletion(a);
    view.wrote(a);
    assert.equal(view.get('default/a'), undefined);
    await world.remove('a');
    world.viewBus.reconnect();
    await world.clock.advance(5_000);
    assert.deepEqual(rows(view.list()), await world.truth());
  });

  it('hears only its node when it is narrowed to one', async () => {
    await world.put('a', 'n1');
    await world.put('b', 'n2');
    const view = world.view({ node: 'n1' });
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('c', 'n1');
    await world.put('d', 'n2');
    await settle();
    assert.deepEqual(rows(view.list()), ['a@1', 'c@3']);
  });

  it('drops what does not belong to its selection any more', async () => {
    const view = world.view({ select: { labelSelector: '', matches: (pod) => pod.spec.nodeName === undefined } });
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    await settle();
    assert.equal(view.size, 1);
    await world.put('a', 'n1');
    await settle();
    assert.equal(view.size, 0);
  });

  it('notices a break in the chain with the next message, and lists', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    world.viewBus.dropEvery(1);
    await world.put('b');
    await settle();
    world.viewBus.dropEvery(0);
    await world.put('c');
    await world.clock.advance(1_500);
    assert.deepEqual(rows(view.list()), ['a@1', 'b@2', 'c@3']);
    assert.equal(world.reader.asked.list, 2);
  });

  it('notices that the very last message was lost within seconds, by the word of the relay', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    world.viewBus.dropEvery(1);
    await world.put('a');
    await settle();
    world.viewBus.dropEvery(0);
    assert.equal(view.size, 0);
    const tookMs = await world.clock.advanceUntil(() => view.size === 1, 'the view has it', 10_000);
    assert.ok(tookMs < 5_000, `took ${tookMs} ms`);
  });

  it('reads by watch while the bus is away, and hands over without a list when it is back', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    world.viewBus.disconnect();
    await world.clock.advanceUntil(() => world.reader.openWatches === 1, 'a watch', 1_000);
    assert.equal(view.source, 'watch');
    await world.put('b');
    await settle();
    assert.equal(view.size, 2);
    world.viewBus.reconnect();
    await world.put('c');
    await world.clock.advanceUntil(() => world.reader.openWatches === 0, 'the watch closed', 3_000);
    await world.put('d');
    await settle();
    assert.deepEqual(rows(view.list()), ['a@1', 'b@2', 'c@3', 'd@4']);
    assert.equal(view.source, 'bus');
    assert.equal(world.reader.asked.list, 1);
  });

  it('neither lists nor watches for a blink of the bus in which nothing happened', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    await settle();
    world.viewBus.disconnect();
    await world.clock.advance(100);
    world.viewBus.reconnect();
    await world.clock.advance(3_000);
    assert.deepEqual([view.size, world.reader.asked.list, world.reader.asked.watch], [1, 1, 0]);
  });

  it('reads by watch when the relay is silent though the bus is there', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.killRelay();
    await world.put('a');
    await world.clock.advanceUntil(() => view.size === 1, 'the change', 10_000);
    assert.equal(view.source, 'watch');
    world.startRelay();
    await world.clock.advanceUntil(
      () => view.source === 'bus' && world.reader.openWatches === 0,
      'the bus again',
      10_000,
    );
    await world.put('b');
    await settle();
    assert.equal(view.size, 2);
  });

  it('reads by watch for as long as the relay is behind, since news waits behind what it publishes', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    await settle();
    const { epoch } = view.position;
    await world.killRelay();
    world.viewBus.disconnect();
    await world.clock.advanceUntil(() => world.reader.openWatches === 1, 'a watch', 1_000);
    world.viewBus.reconnect();
    const behind: RelayStatus = { relay: 'r', epoch, revision: 1, catchingUp: true, positions: { pods: 1 } };
    const speaker = new MemoryBus(world.broker);
    for (const name of ['b', 'c', 'd', 'e']) {
      speaker.publish({ subject: relaySubject(cluster), headers: {}, data: Buffer.from(JSON.stringify(behind)) });
      await world.clock.advance(1_000);
      await world.put(name);
      await settle();
      assert.deepEqual(
        [view.source, world.reader.openWatches, view.get(`default/${name}`) !== undefined],
        ['watch', 1, true],
      );
    }
    world.startRelay();
    await world.clock.advanceUntil(() => view.source === 'bus' && world.reader.openWatches === 0, 'the bus', 10_000);
    assert.deepEqual([view.size, world.reader.asked.list], [5, 1]);
    await speaker.close();
  });

  it('lists when its watch is stuck: open, and silent', async () => {
    const view = newView('pods', { ...world.source, bus: undefined });
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await settle();
    world.reader.stall(true);
    await world.put('a');
    await world.clock.advanceUntil(() => view.size === 1, 'the change', 45_000);
    assert.equal(world.reader.asked.list, 2);
  });

  it('works without a bus, and lists again when the watch has expired', async () => {
    const view = newView('pods', { ...world.source, bus: undefined });
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.put('a');
    await settle();
    assert.equal(view.size, 1);
    world.reader.goAway(true);
    await world.put('b');
    await world.remove('a');
    await world.store.compact(3);
    world.reader.goAway(false);
    await world.clock.advanceUntil(() => view.get('default/b') !== undefined, 'listed again', 10_000);
    assert.deepEqual(rows(view.list()), ['b@2']);
  });

  it('lists again in a new epoch, also when the store has gone back in time', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    for (const name of ['a', 'b', 'c']) await world.put(name);
    await settle();
    assert.equal(view.size, 3);
    // The same view, a store restored from an older copy: other objects, lower revisions.
    const restored = new World();
    await restored.put('z');
    const swap = new StoreReader(restored.store);
    for (const verb of ['list', 'watch', 'position'] as const)
      Object.assign(world.reader, { [verb]: swap[verb].bind(swap) });
    await world.killRelay();
    Object.assign(world, { store: restored.store });
    world.startRelay();
    await world.clock.advanceUntil(() => view.get('default/z') !== undefined, 'the restored state', 10_000);
    assert.deepEqual(rows(view.list()), ['z@1']);
    await restored.close();
  });

  it('is not current from an own write that the store numbers anew until it has listed, nor are the views beside it', async () => {
    for (const name of ['a', 'b', 'c']) await world.put(name);
    const views = newViews({ pods: {}, leases: {} }, world.source);
    await world.clock.advanceUntil(() => views.pods.synced && views.leases.synced, 'synced');
    assert.ok(views.pods.current);
    const restored = new World();
    const swap = new StoreReader(restored.store);
    for (const verb of ['list', 'watch', 'position'] as const)
      Object.assign(world.reader, { [verb]: swap[verb].bind(swap) });
    views.pods.wrote(await restored.put('z'));
    assert.equal(views.pods.current, false);
    let isCurrent = false;
    void views.pods.whenCurrent().then(() => (isCurrent = true));
    await world.clock.advanceUntil(() => isCurrent && views.leases.current, 'listed', 10_000);
    assert.deepEqual(rows(views.pods.list()), ['z@1']);
    assert.ok(swap.asked.list >= 3, 'pods are listed to find out and once more to be sure, leases because of them');
    views.close();
    await restored.close();
  });

  it('stays what it was when an own write was only late', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    const own = await world.put('a');
    await world.remove('a');
    await settle();
    await world.put('b');
    await settle();
    view.wrote(own);
    await world.clock.advanceUntil(() => view.current, 'listed', 10_000);
    assert.deepEqual(rows(view.list()), ['b@3']);
  });

  it('ends with its signal: nothing is left to run', async () => {
    const view = world.view();
    await world.clock.advanceUntil(() => view.synced, 'synced');
    await world.killRelay();
    view.close();
    await settle();
    assert.equal(world.clock.pending, 0);
    const never = world.view();
    never.close();
    await assert.rejects(never.whenSynced, /ended before its first snapshot/);
  });

  it('makes several at once', async () => {
    const views = newViews({ pods: { indexes: {} }, services: {}, leases: {} }, world.source);
    await world.clock.advance(1_000);
    await views.synced();
    assert.equal(views.services.size, 0);
    await world.store.commit([{ key: 'leases/default/l', value: stored('l', undefined, 0) }]);
    await settle();
    assert.equal(views.leases.size, 1);
    views.close();
  });

  it('ends equal to the API after any storm of losses', async function () {
    this.timeout(60_000);
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant('put' as const), name: fc.nat(6), node: fc.nat(2) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('remove' as const), name: fc.nat(6) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(4_000) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('drop' as const), every: fc.nat(4) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom(
            'bus off',
            'bus on',
            'relay off',
            'relay on',
            'api off',
            'api on',
            'wipe',
            'compact',
            'kill relay',
            'new relay',
          ),
        }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(3), fc.nat(), async (steps, dropAtEnd, seed) => {
        const w = new World(seed);
        w.startRelay();
        const views = [w.view(), w.view({ node: 'n1' })];
        // What the listener heard adds up to what the view shows.
        const mirror = new Map<string, Pod>();
        views[0]?.onChange(({ key, before, after }) => {
          assert.equal(mirror.get(key), before);
          if (after === undefined) mirror.delete(key);
          else mirror.set(key, after);
        });
        try {
          for (const s of steps) {
            if ('node' in s) await w.put(`p${s.name}`, s.node === 0 ? undefined : `n${s.node}`);
            else if ('name' in s) await w.remove(`p${s.name}`);
            else if ('ms' in s) await w.clock.advance(s.ms);
            else if ('every' in s) w.viewBus.dropEvery(s.every);
            else if (s.do === 'bus off') w.viewBus.disconnect();
            else if (s.do === 'bus on') w.viewBus.reconnect();
            else if (s.do === 'relay off') w.relayBus.disconnect();
            else if (s.do === 'relay on') w.relayBus.reconnect();
            else if (s.do === 'api off' || s.do === 'api on') w.reader.goAway(s.do === 'api off');
            else if (s.do === 'wipe') w.broker.wipeStream();
            else if (s.do === 'compact') await w.compact();
            else {
              await w.killRelay();
              if (s.do === 'new relay') w.startRelay();
            }
          }
          w.viewBus.dropEvery(dropAtEnd === 1 ? 0 : dropAtEnd);
          w.viewBus.reconnect();
          w.reader.goAway(false);
          await w.killRelay();
          w.startRelay();
          const want = JSON.stringify([await w.truth(), await w.truth('n1')]);
          await w.clock.advanceUntil(
            () => JSON.stringify(views.map((view) => rows(view.list()))) === want,
            `the views are ${want}`,
            60_000,
            100,
          );
          assert.deepEqual(rows([...mirror.values()]), rows(views[0]?.list() ?? []));
        } finally {
          await w.close();
        }
      }),
      { numRuns: 60 },
    );
  });
});
