import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import fc from 'fast-check';
import { toStored } from '../../../lib/api/stored.ts';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import type { BusMessage, EventStream } from '../../../lib/bus/bus.ts';
import { readHeaders } from '../../../lib/bus/change.ts';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { header, relaySubject, type RelayStatus } from '../../../lib/bus/subjects.ts';
import { startRelay, type Relay } from '../../../services/apiserver/relay/relay.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import type { StoreOp } from '../../../services/apiserver/store/store.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const cluster = 'test';

const stored = (kind: string, name: string, rest: object = {}, annotations?: Record<string, string>): Buffer =>
  toStored({
    apiVersion: 'v1',
    kind,
    metadata: { name, namespace: 'default', uid: name, creationTimestamp: '', resourceVersion: '', annotations },
    ...rest,
  } as unknown as ApiObject);
const pod = (name: string, nodeName?: string, n = 0): StoreOp => ({
  key: `pods/default/${name}`,
  value: stored('Pod', name, { spec: { nodeName, n } }),
});
const gone = (name: string): StoreOp => ({ key: `pods/default/${name}`, value: undefined });
const service = (name: string): StoreOp => ({ key: `services/default/${name}`, value: stored('Service', name) });

class World {
  readonly clock = new FakeClock();
  readonly store = new MemoryStore({ clock: this.clock });
  readonly broker = new MemoryBroker();
  readonly #relays: { stop: AbortController; relay: Relay; bus: MemoryBus }[] = [];

  start(options: { exclusive?: boolean; stream?: (stream: EventStream) => EventStream; store?: MemoryStore } = {}): {
    bus: MemoryBus;
    relay: Relay;
    kill: () => Promise<void>;
  } {
    const bus = new MemoryBus(this.broker);
    const stop = new AbortController();
    const relay = startRelay({
      store: options.store ?? this.store,
      bus,
      stream: options.stream?.(bus.stream) ?? bus.stream,
      cluster,
      clock: this.clock,
      log: silentLog,
      meter: createNoopMeter(),
      signal: stop.signal,
      exclusive: options.exclusive ?? true,
    });
    this.#relays.push({ stop, relay, bus });
    const kill = async (): Promise<void> => {
      stop.abort();
      await relay.ended;
      await bus.close();
    };
    return { bus, relay, kill };
  }

  get captured(): readonly BusMessage[] {
    return this.broker.captured;
  }
  told(): string[] {
    return this.captured.map((m) => `${m.headers[header.id]} ${m.headers[header.type]} ${m.headers[header.subject]}`);
  }
  async until(count: number): Promise<void> {
    await this.clock.advanceUntil(() => this.captured.length >= count, `${count} messages captured`);
    await settle();
    assert.equal(this.captured.length, count, 'no more than wanted');
  }
  async close(): Promise<void> {
    for (const { stop, relay } of this.#relays) {
      stop.abort();
      await relay.ended;
    }
    await this.store.close();
  }
}

/** Within an epoch every message names the one before it on its channel, and on its resource. */
function checkChain(messages: readonly BusMessage[]): void {
  const ends = new Map<string, number>();
  let epoch = '';
  for (const message of messages) {
    const headers = readHeaders(message);
    assert.ok(headers);
    if (headers.epoch !== epoch) ends.clear();
    epoch = headers.epoch;
    const start = Number(epoch.split('-')[0]);
    const [, , resource = '', node = ''] = message.subject.split('.');
    assert.equal(headers.previous, ends.get(`${resource}.${node}`) ?? start, `previous of ${headers.revision}`);
    assert.equal(headers.resourcePrevious, ends.get(resource) ?? start, `resource previous of ${headers.revision}`);
    ends.set(`${resource}.${node}`, headers.revision).set(resource, headers.revision);
  }
}

describe('relay', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });
  afterEach(() => world.close());

  it('publishes each change once, in order, with what the change was', async () => {
    world.start();
    await world.store.commit([pod('a')]);
    await world.store.commit([pod('a', 'n.1')]);
    await world.store.commit([service('s')]);
    await world.store.commit([gone('a')]);
    await world.until(4);
    assert.deepEqual(world.told(), [
      '1 troupe.v1.pods.added default/a',
      '2 troupe.v1.pods.modified default/a',
      '3 troupe.v1.services.added default/s',
      '4 troupe.v1.pods.deleted default/a',
    ]);
    assert.deepEqual(
      world.captured.map((m) => m.subject),
      [
        'test.v1.pods.-.default.a',
        'test.v1.pods.n_1.default.a',
        'test.v1.services.-.default.s',
        'test.v1.pods.n_1.default.a',
      ],
    );
    const last = JSON.parse(Buffer.from(world.captured[3]?.data ?? []).toString()) as ApiObject & { spec: object };
    assert.equal(last.metadata.resourceVersion, '4');
    assert.deepEqual(last.spec, { nodeName: 'n.1', n: 0 });
    checkChain(world.captured);
  });

  it('carries the trace of the object, the time of the commit and an id of its own', async () => {
    world.start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const annotations = { 'troupe.dev/traceparent': traceparent };
    await world.store.commit([{ key: 'pods/default/a', value: stored('Pod', 'a', {}, annotations) }, service('s')]);
    await world.until(2);
    const [a, s] = world.captured.map((m) => m.headers);
    assert.equal(a?.['traceparent'], traceparent);
    assert.equal(a?.['ce-time'], new Date(world.clock.now()).toISOString());
    assert.equal(a?.['ce-specversion'], '1.0');
    assert.equal(s?.['traceparent'], undefined);
    assert.notEqual(a?.['Nats-Msg-Id'], s?.['Nats-Msg-Id']);
  });

  it('keeps claims, leases and secrets to itself', async () => {
    world.start();
    await world.store.commit([{ key: 'claims/clusterip/10.0.0.1', value: Buffer.from('{}') }]);
    await world.store.commit([{ key: 'leases/default/l', value: stored('Lease', 'l') }]);
    await world.store.commit([{ key: 'secrets/default/s', value: stored('Secret', 's') }, service('s')]);
    await world.until(1);
    assert.deepEqual(world.told(), ['3 troupe.v1.services.added default/s']);
  });

  it('sends an object that is too large without its body', async () => {
    world.start();
    await world.store.commit([
      { key: 'pods/default/big', value: stored('Pod', 'big', { spec: { text: 'x'.repeat(1 << 20) } }) },
    ]);
    await world.until(1);
    assert.equal(world.captured[0]?.headers[header.omitted], 'too-large');
    assert.equal(world.captured[0]?.data.length, 0);
  });

  it('goes on where the stream ends after a restart, also in the middle of a commit', async () => {
    // This stream takes the first message of an append of two, then fails: as a server that is killed.
    let isHalf = true;
    const half = (stream: EventStream): EventStream => ({
      ...stream,
      append: async (messages, expected) => {
        if (!isHalf || messages.length < 2) return stream.append(messages, expected);
        await stream.append(messages.slice(0, 1), expected);
        throw new Error('killed');
      },
    });
    const first = world.start({ stream: half });
    await world.store.commit([pod('a'), service('a')]);
    await settle();
    assert.equal(world.captured.length, 1);
    await first.kill();
    isHalf = false;
    world.start();
    await world.store.commit([pod('b', 'n1')]);
    await world.until(3);
    assert.deepEqual(world.told(), [
      '1 troupe.v1.pods.added default/a',
      '1 troupe.v1.services.added default/a',
      '2 troupe.v1.pods.added default/b',
    ]);
    checkChain(world.captured);
  });

  it('catches up in order when the bus returns', async () => {
    const { bus, relay } = world.start();
    await world.store.commit([pod('a')]);
    await world.until(1);
    bus.disconnect();
    for (let n = 0; n < 700; n++) await world.store.commit([pod(`p${n}`, `n${n % 5}`)]);
    await world.clock.advance(5_000);
    assert.match(relay.notPublishing() ?? '', /bus is away/);
    bus.reconnect();
    await world.until(701);
    assert.equal(relay.notPublishing(), undefined);
    checkChain(world.captured);
  });

  it('begins a new epoch when the stream was wiped, or the store was restored to an older state', async () => {
    const first = world.start();
    await world.store.commit([pod('a')]);
    await world.store.commit([pod('b')]);
    await world.until(2);
    const epoch = world.captured[0]?.headers[header.epoch];
    world.broker.wipeStream();
    await world.store.commit([pod('c')]);
    await world.until(3); // all of history again, in the new epoch
    assert.notEqual(world.captured[0]?.headers[header.epoch], epoch);
    checkChain(world.captured);
    await first.kill();

    const older = new MemoryStore({ clock: world.clock });
    await older.commit([pod('x')]);
    world.start({ store: older });
    await world.until(4);
    assert.equal(new Set(world.captured.map((m) => m.headers[header.epoch])).size, 2);
    checkChain(world.captured);
    await older.close();
  });

  it('says every second how far it is', async () => {
    const { bus } = world.start();
    const heard: RelayStatus[] = [];
    bus.subscribe(
      relaySubject(cluster),
      (m) => heard.push(JSON.parse(Buffer.from(m.data).toString()) as RelayStatus),
      () => undefined,
    );
    await world.store.commit([pod('a')]);
    await world.store.commit([service('s')]);
    await world.clock.advance(1_100);
    assert.deepEqual(heard.at(-1)?.positions, { pods: 1, services: 2 });
    assert.equal(heard.at(-1)?.revision, 2);
    assert.ok(heard.length >= 1 && heard.length <= 3, 'when it begins, when it has caught up, and every second');
  });

  it('says that it is behind until it has published what it missed, and lets others have their turn meanwhile', async () => {
    for (let i = 0; i < 20_000; i++) await world.store.commit([pod(`p${i}`)]);
    const bus = new MemoryBus(world.broker);
    const heard: RelayStatus[] = [];
    let capturedWhenHeard = 0;
    bus.subscribe(
      relaySubject(cluster),
      (m) => {
        const status = JSON.parse(Buffer.from(m.data).toString()) as RelayStatus;
        heard.push(status);
        capturedWhenHeard = world.captured.length;
      },
      () => undefined,
    );
    let turns = 0;
    const next = (): void => {
      turns++;
      turn = setImmediate(next);
    };
    let turn = setImmediate(next);
    world.start();
    await until(() => heard.length >= 2, { what: 'two words' });
    clearImmediate(turn);
    assert.deepEqual(heard.map(({ catchingUp }) => catchingUp).slice(0, 2), [true, undefined]);
    assert.deepEqual([heard[1]?.revision, capturedWhenHeard], [20_000, 20_000]);
    assert.ok(turns > 5, `${turns} turns for others`);
  });

  it('lets one of several publish, and another take over within 4 s when it dies', async () => {
    const one = world.start({ exclusive: false });
    const two = world.start({ exclusive: false });
    let live = 0;
    new MemoryBus(world.broker).subscribe(
      `${cluster}.v1.>`,
      () => live++,
      () => undefined,
    );
    await world.store.commit([pod('a')]);
    await world.until(1);
    await world.clock.advance(10_000);
    for (let n = 0; n < 20; n++) await world.store.commit([pod(`p${n}`)]);
    await world.until(21);
    assert.ok(live <= 22, `subscribers heard ${live} messages: both publish`);
    const speaking = new Set<string>();
    const ear = new MemoryBus(world.broker);
    ear.subscribe(
      relaySubject(cluster),
      (m) => speaking.add((JSON.parse(Buffer.from(m.data).toString()) as RelayStatus).relay),
      () => undefined,
    );
    await world.clock.advance(5_000);
    assert.equal(speaking.size, 1);
    // Whichever leads: killing one after the other always leaves the rest of the changes published.
    await one.kill();
    await world.store.commit([pod('x')]);
    await world.clock.advanceUntil(() => world.captured.length === 22, 'taken over', 4_000);
    await two.kill();
    checkChain(world.captured);
  });

  it('captures every change exactly once and in order, whatever is interrupted', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('commit' as const), name: fc.nat(5), node: fc.nat(3) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), name: fc.nat(5) }) },
      fc.record({
        do: fc.constantFrom(
          'disconnect' as const,
          'reconnect' as const,
          'restart' as const,
          'break' as const,
          'mend' as const,
        ),
      }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat(3_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const w = new World();
        let { bus, kill } = w.start();
        const want: string[] = [];
        try {
          for (const s of steps) {
            if (s.do === 'commit') {
              const isNew = (await w.store.get(`pods/default/p${s.name}`)) === undefined;
              const revision = await w.store.commit([
                pod(`p${s.name}`, s.node === 0 ? undefined : `n${s.node}`, want.length),
              ]);
              want.push(`${revision} troupe.v1.pods.${isNew ? 'added' : 'modified'} default/p${s.name}`);
            } else if (s.do === 'delete') {
              if ((await w.store.get(`pods/default/p${s.name}`)) === undefined) continue;
              want.push(`${await w.store.commit([gone(`p${s.name}`)])} troupe.v1.pods.deleted default/p${s.name}`);
            } else if (s.do === 'disconnect') bus.disconnect();
            else if (s.do === 'reconnect') bus.reconnect();
            else if (s.do === 'break') w.broker.breakStream(true);
            else if (s.do === 'mend') w.broker.breakStream(false);
            else if (s.do === 'restart') {
              await kill();
              ({ bus, kill } = w.start());
            } else if (s.do === 'wait') await w.clock.advance(s.ms);
          }
          bus.reconnect();
          w.broker.breakStream(false);
          await w.until(want.length);
          assert.deepEqual(w.told(), want);
          checkChain(w.captured);
        } finally {
          await w.close();
        }
      }),
      { numRuns: 100 },
    );
  });
});
