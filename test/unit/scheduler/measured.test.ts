import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { allRooms, readRoom, roomSubject, tellRoom, type NodeRoom } from '../../../lib/bus/node-room.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { reckonedBytes, type Measured } from '../../../lib/placing/node-facts.ts';
import { RoomTeller } from '../../../node-agent/node/room-teller.ts';
import { parseThresholds } from '../../../node-agent/eviction/thresholds.ts';
import { followRooms } from '../../../services/scheduler/measured.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
const left = (spare: number, cpuIdle = 1): Measured => ({ memorySpareBytes: spare, memoryBytes: 8 * gib, cpuIdle });
const options = { start: 0, sample: 64 };

function clusterOf(rooms: Readonly<Record<string, Measured | undefined>>): Cluster {
  const cluster = new Cluster();
  for (const [name, room] of Object.entries(rooms)) {
    cluster.setNode(aNode({ name, cpu: '4', memory: '8Gi' }));
    cluster.setRoom(name, room);
  }
  return cluster;
}
const wantsNothing = (name = 'p') => aPod({ name });
const placesOf = (cluster: Cluster, ...pods: ReturnType<typeof aPod>[]): readonly string[] =>
  schedule(pods, cluster, options).placements.map(({ nodeName }) => nodeName);

describe('scheduler: what nodes measure', function () {
  this.timeout(120_000);
  it('keeps pods that ask for nothing from nodes without memory to spare, and says so', () => {
    const cluster = clusterOf({ a: left(10 * mib), b: left(gib), c: left(0) });
    assert.deepEqual(placesOf(cluster, wantsNothing()), ['b']);
    cluster.setRoom('b', left(0));
    assert.equal(
      schedule([wantsNothing()], cluster, options).refusals[0]?.message,
      '0/3 nodes are available: 3 without memory to spare for pods that ask for none.',
    );
  });

  it('places those that say what they need by what is promised alone', () => {
    const cluster = clusterOf({ a: left(0) });
    assert.deepEqual(placesOf(cluster, aPod({ cpu: '100m' })), ['a']);
  });

  it('places a daemon, which tolerates the shortage, all the same', () => {
    const key = 'node.kubernetes.io/memory-pressure';
    const pod = aPod({ tolerations: [{ key, operator: 'Exists', effect: 'NoSchedule' }] });
    assert.deepEqual(placesOf(clusterOf({ a: left(0) }), pod), ['a']);
  });

  it('prefers the node that is used least, whatever is promised there', () => {
    const cluster = clusterOf({ promised: left(6 * gib, 0.9), busy: left(gib, 0.1) });
    cluster.setPod(aPod({ name: 'reserves', cpu: '4', memory: '7Gi', nodeName: 'promised' }));
    assert.deepEqual(placesOf(cluster, wantsNothing()), ['promised']);
    cluster.setRoom('promised', undefined);
    cluster.setRoom('busy', undefined);
    assert.deepEqual(placesOf(cluster, wantsNothing()), ['busy'], 'without figures by what is promised');
  });

  it('reckons with those that came lately until the node has measured twice', () => {
    const cluster = clusterOf({ a: left(3 * reckonedBytes) });
    const many = [1, 2, 3, 4].map((i) => wantsNothing(`p${i}`));
    const { placements } = schedule(many, cluster, options);
    assert.equal(placements.length, 3);
    for (const { ask, nodeName } of placements) cluster.setPod({ ...ask.pod, spec: { ...ask.pod.spec, nodeName } });
    assert.deepEqual(placesOf(cluster, wantsNothing('late')), []);
    assert.equal(cluster.setRoom('a', left(3 * reckonedBytes)), false);
    assert.deepEqual(placesOf(cluster, wantsNothing('late')), [], 'they may just have started');
    assert.equal(cluster.setRoom('a', left(3 * reckonedBytes)), true, 'somebody who waits may fit');
    assert.deepEqual(placesOf(cluster, wantsNothing('late')), ['a']);
    cluster.removePod('default/p1');
  });

  it('believes nothing that is no figure, and nothing that is old', async () => {
    const clock = new FakeClock();
    const broker = new MemoryBroker();
    const [agent, listener] = [new MemoryBus(broker), new MemoryBus(broker)];
    const stop = new AbortController();
    const heard: [string, NodeRoom | undefined][] = [];
    followRooms({ bus: listener, cluster: 't', clock, signal: stop.signal }, (node, room) => heard.push([node, room]));
    const room: NodeRoom = { node: 'n.1', memorySpareBytes: 1, memoryBytes: 2, cpuIdle: 0.5 };
    tellRoom(agent, 't', room);
    for (const wrong of ['', '{}', '[]', '{"node":"n","memorySpareBytes":-1,"memoryBytes":1,"cpuIdle":0}'])
      agent.publish({ subject: roomSubject('t', 'x'), headers: {}, data: Buffer.from(wrong) });
    await clock.advance(40_000);
    assert.deepEqual(heard, [['n.1', room]]);
    await clock.advance(15_000);
    assert.deepEqual(heard.slice(1), [['n.1', undefined]]);
    stop.abort();
    tellRoom(agent, 't', room);
    await clock.advance(100);
    assert.equal(heard.length, 2);
    await agent.close();
    await listener.close();
  });

  it('is told by agents when it differs by much, not too often, and now and then', async () => {
    const clock = new FakeClock();
    const broker = new MemoryBroker();
    const [bus, listener] = [new MemoryBus(broker), new MemoryBus(broker)];
    const told: NodeRoom[] = [];
    listener.subscribe(
      allRooms('t'),
      (message) => {
        const room = readRoom(message);
        if (room !== undefined) told.push(room);
      },
      () => undefined,
    );
    const times = { idle: 0, all: 0 };
    const thresholds = parseThresholds('memory.available<100Mi');
    const teller = new RoomTeller({ node: 'n1', cluster: 't', bus, thresholds, clock, cpuTimes: () => ({ ...times }) });
    const saw = async (availableMib: number, afterMs: number): Promise<number> => {
      await clock.advance(afterMs);
      times.all += 100;
      times.idle += 25;
      teller.saw({ 'memory.available': { available: availableMib * mib, capacity: 1000 * mib } });
      await clock.advance(1);
      return told.length;
    };
    assert.equal(await saw(500, 0), 1);
    assert.deepEqual(told[0], { node: 'n1', memorySpareBytes: 400 * mib, memoryBytes: 1000 * mib, cpuIdle: 0.25 });
    assert.equal(await saw(100, 1_000), 1, 'too soon');
    assert.equal(await saw(100, 1_000), 2);
    assert.equal(told[1]?.memorySpareBytes, 0);
    assert.equal(await saw(110, 5_000), 2, 'no news');
    assert.equal(await saw(110, 10_000), 3, 'a sign of life');
    assert.equal(await saw(50, 2_000), 3, 'none to spare, as before');
    bus.disconnect();
    assert.equal(await saw(900, 20_000), 3);
    bus.reconnect();
    assert.equal(await saw(900, 1_000), 4, 'said as soon as it can be');
    await bus.close();
    await listener.close();
  });

  it('in random clusters: nobody who asks for nothing goes where nothing is to spare, and no node is promised more than it has', () => {
    const worlds = fc.record({
      spare: fc.array(fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined }), { minLength: 1, maxLength: 4 }),
      pods: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 20 }),
    });
    fc.assert(
      fc.property(worlds, ({ spare, pods }) => {
        const rooms = spare.map((units) => (units === undefined ? undefined : left(units * reckonedBytes)));
        const cluster = clusterOf(Object.fromEntries(rooms.map((room, i) => [`n${i}`, room])));
        const batch = pods.map((cpu, i) => aPod({ name: `p${i}`, ...(cpu === 0 ? {} : { cpu: String(cpu) }) }));
        const { placements } = schedule(batch, cluster, options);
        for (const [i, units] of spare.entries()) {
          const here = placements.filter(({ nodeName }) => nodeName === `n${i}`);
          const free = here.filter(({ ask }) => ask.needs.cpuMilli === 0).length;
          assert.ok(units === undefined || free <= units, `${free} pods on n${i}, which has room for ${units}`);
          assert.ok(here.reduce((sum, { ask }) => sum + ask.needs.cpuMilli, 0) <= 4_000);
          assert.equal(cluster.node(`n${i}`)?.unmeasured, 0, 'the picture is as it was');
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
