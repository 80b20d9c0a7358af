import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Pod } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { watchDiskLimits } from '../../../node-agent/eviction/disk-watch.ts';
import { watchEviction, type EvictionWatch } from '../../../node-agent/eviction/eviction-watch.ts';
import { outgrownDisk, podDisk, type PodDisk } from '../../../node-agent/eviction/pod-disk.ts';
import { tooManyEnded } from '../../../node-agent/eviction/ended-pods.ts';
import type { EndOrder } from '../../../node-agent/eviction/pod-ending.ts';
import { pressuresAfter } from '../../../node-agent/eviction/pressure.ts';
import { ranked, type Candidate } from '../../../node-agent/eviction/rank.ts';
import { parseThresholds, type Rooms } from '../../../node-agent/eviction/thresholds.ts';
import { refusalOf } from '../../../node-agent/eviction/words.ts';
import { bytesToFree } from '../../../node-agent/images/image-watch.ts';
import { aContainer, aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { AgentHarness } from './harness.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
const memoryLeft = (bytes: number): Rooms => ({ 'memory.available': { available: bytes, capacity: 8 * gib } });

interface Wish {
  readonly name: string;
  readonly used: number;
  readonly requested?: number;
  readonly priority?: number;
  readonly startTime?: string;
}
const candidate = ({ name, used, requested = 0, priority, startTime }: Wish): Candidate => ({
  pod: aPod({
    name,
    uid: name,
    nodeName: 'n1',
    ...(priority === undefined ? {} : { spec: { priority } }),
    ...(startTime === undefined ? {} : { status: { startTime } }),
  }),
  used,
  requested,
});
const names = (candidates: readonly Candidate[]): readonly string[] => candidates.map(({ pod }) => pod.metadata.name);

describe('node-agent/eviction/rank', () => {
  const rows: readonly { it: string; pods: readonly Wish[]; want: readonly string[] }[] = [
    {
      it: 'begins with who takes more than asked for, whatever the priority',
      pods: [
        { name: 'modest', used: 90, requested: 100, priority: -5 },
        { name: 'greedy', used: 20, requested: 10, priority: 1000 },
      ],
      want: ['greedy', 'modest'],
    },
    {
      it: 'of those with the lower priority',
      pods: [
        { name: 'high', used: 500, priority: 10 },
        { name: 'low', used: 20, priority: 1 },
      ],
      want: ['low', 'high'],
    },
    {
      it: 'of those with who is further beyond its request',
      pods: [
        { name: 'large', used: 500, requested: 490 },
        { name: 'small', used: 40, requested: 0 },
      ],
      want: ['small', 'large'],
    },
    {
      it: 'then with the younger',
      pods: [
        { name: 'old', used: 5, startTime: '2026-01-01T00:00:00Z' },
        { name: 'young', used: 5, startTime: '2026-01-02T00:00:00Z' },
      ],
      want: ['young', 'old'],
    },
    {
      it: 'never takes what runs the node itself',
      pods: [{ name: 'dns', used: 500, priority: 2_000_000_000 }],
      want: [],
    },
  ];
  for (const row of rows) it(row.it, () => assert.deepEqual(names(ranked(row.pods.map(candidate))), row.want));

  it('takes nobody who has ended or is going', () => {
    const over = { pod: aPod({ nodeName: 'n1', phase: 'Failed' }), used: 9, requested: 0 };
    const going = { pod: aPod({ nodeName: 'n1', deleted: true }), used: 9, requested: 0 };
    assert.deepEqual(ranked([over, going]), []);
  });

  const wishes = fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^[a-z]{1,4}$/),
      used: fc.nat(100),
      requested: fc.nat(100),
      priority: fc.integer({ min: -3, max: 3 }),
    }),
    { selector: ({ name }) => name, maxLength: 12 },
  );
  it('is one order, whatever order they come in', () => {
    fc.assert(
      fc.property(wishes, fc.integer({ min: 0, max: 11 }), (pods, by) => {
        const turned = [...pods.slice(by), ...pods.slice(0, by)];
        assert.deepEqual(names(ranked(turned.map(candidate))), names(ranked(pods.map(candidate))));
      }),
    );
  });
  it('ends nobody who keeps to its request before everybody who does not', () => {
    fc.assert(
      fc.property(wishes, (pods) => {
        const exceeds = ranked(pods.map(candidate)).map(({ used, requested }) => used > requested);
        assert.ok(exceeds.lastIndexOf(true) < (exceeds.includes(false) ? exceeds.indexOf(false) : Infinity));
      }),
    );
  });
  it('never prefers who takes less at the same priority and request', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(100), fc.nat(100), (a, b, requested) => {
        const [first] = ranked([
          candidate({ name: 'a', used: a, requested }),
          candidate({ name: 'b', used: b, requested }),
        ]);
        assert.equal(first?.used, Math.max(a, b));
      }),
    );
  });
});

describe('node-agent/eviction/pressure', () => {
  const thresholds = parseThresholds('memory.available<100Mi');
  const at = (nowMs: number) => ({ nowMs, holdMs: 60_000 });

  it('begins at once, lasts on for a while, and begins that while anew', () => {
    const begun = pressuresAfter({}, thresholds, memoryLeft(80 * mib), at(0));
    assert.equal(begun.memory?.message, 'memory.available is 80Mi, less than 100Mi');
    const held = pressuresAfter(begun, [], memoryLeft(gib), at(59_999));
    assert.deepEqual(held, begun);
    assert.deepEqual(pressuresAfter(held, [], memoryLeft(gib), at(60_000)), {});
    const again = pressuresAfter(held, thresholds, memoryLeft(90 * mib), at(50_000));
    assert.equal(pressuresAfter(again, [], memoryLeft(gib), at(109_999)).memory?.metMs, 50_000);
  });
});

describe('node-agent/eviction/refusal', () => {
  const short = { message: 'x', metMs: 0 };
  const bestEffort = (spec = {}): Pod => aPod({ spec, status: { qosClass: 'BestEffort' } });
  const burstable = aPod({ status: { qosClass: 'Burstable' } });
  const rows = [
    { it: 'takes all pods where nothing is short', pod: bestEffort(), pressures: {}, want: undefined },
    {
      it: 'takes no BestEffort pod while short of memory',
      pod: bestEffort(),
      pressures: { memory: short },
      want: '[MemoryPressure]',
    },
    { it: 'but others', pod: burstable, pressures: { memory: short }, want: undefined },
    {
      it: 'and one that tolerates it',
      pod: bestEffort({ tolerations: [{ key: 'node.kubernetes.io/memory-pressure', operator: 'Exists' }] }),
      pressures: { memory: short },
      want: undefined,
    },
    { it: 'takes nobody while short of disk', pod: burstable, pressures: { disk: short }, want: '[DiskPressure]' },
    {
      it: 'names all that is short',
      pod: bestEffort(),
      pressures: { processes: short, memory: short },
      want: '[MemoryPressure PIDPressure]',
    },
    {
      it: 'takes what runs the node itself always',
      pod: bestEffort({ priority: 2_000_001_000 }),
      pressures: { disk: short },
      want: undefined,
    },
  ];
  for (const row of rows)
    it(row.it, () => {
      const want = row.want === undefined ? undefined : `Pod was rejected: The node had condition: ${row.want}.`;
      assert.equal(refusalOf(row.pod, row.pressures)?.message, want);
    });
});

describe('node-agent/eviction on a node', () => {
  let node: AgentHarness;
  let rooms: Rooms | undefined;
  let used: Map<string, number>;
  let stop: AbortController;
  let watch: EvictionWatch;
  let reclaimed: number;
  let canReclaim: boolean;
  const told: string[] = [];

  beforeEach(async () => {
    rooms = memoryLeft(gib);
    used = new Map();
    stop = new AbortController();
    reclaimed = 0;
    canReclaim = false;
    told.length = 0;
    node = await AgentHarness.start({
      before: (harness) => {
        harness.wish = { pressure: () => watch.short(), refuse: (pod) => watch.refuse(pod) };
        watch = watchEviction({
          thresholds: parseThresholds('memory.available<100Mi,nodefs.available<10%'),
          rooms: async () => rooms ?? Promise.reject(new Error('no figures')),
          pods: () => [...harness.agent.pods()].map(({ pod }) => pod),
          candidates: async () =>
            [...harness.agent.pods()].map(({ pod }) => ({
              pod,
              used: used.get(pod.metadata.name) ?? 0,
              requested: 0,
            })),
          evict: (uid, order) => harness.agent.evict(uid, order),
          reclaim: async () => {
            reclaimed++;
            return canReclaim;
          },
          onChange: () => {
            harness.agent.checkNode();
          },
          tell: (reason, message) => told.push(`${reason} ${message}`),
          holdMs: 60_000,
          clock: harness.clock,
          log: silentLog,
          signal: stop.signal,
        });
      },
    });
  });
  afterEach(async () => {
    stop.abort();
    await node.stop();
  });

  const phases = async (): Promise<string> =>
    (await node.client.list('pods')).items
      .map(({ metadata, status }) => `${metadata.name} ${status.phase}`)
      .sort()
      .join(', ');
  const condition = async (type: string): Promise<string | undefined> =>
    (await node.get('nodes', 'n1'))?.status.conditions?.find((each) => each.type === type)?.status;

  it('ends one pod at a time until there is room, tells pressure, and keeps it for a while', async () => {
    for (const [name, bytes] of [
      ['small', 10],
      ['large', 300],
      ['middle', 200],
    ] as const) {
      await node.createPod(name);
      await node.untilRunning(name);
      used.set(name, bytes * mib);
    }
    rooms = memoryLeft(80 * mib);
    await node.until('the largest is over', async () => (await phases()).includes('large Failed'));
    assert.equal(await phases(), 'large Failed, middle Running, small Running');
    const { status } = await node.pod('large');
    assert.equal(
      status.message,
      'The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. The pod was using 300Mi and requested 0.',
    );
    rooms = memoryLeft(gib);
    assert.equal(await condition('MemoryPressure'), 'True');
    assert.match(
      told.join(),
      /^EvictionThresholdMet Attempting to reclaim memory: memory\.available is 80Mi, less than 100Mi$/,
    );
    await node.clock.advance(30_000);
    assert.equal(await condition('MemoryPressure'), 'True', 'it may be short again soon');
    assert.equal(await phases(), 'large Failed, middle Running, small Running', 'and nobody else went');
    await node.until('the pressure is over', async () => (await condition('MemoryPressure')) === 'False');

    rooms = memoryLeft(10 * mib);
    await node.until('all are over', async () => !(await phases()).includes('Running'));
  });

  it('takes no BestEffort pod while it is short of memory', async () => {
    rooms = memoryLeft(10 * mib);
    await node.until('the pressure is told', async () => (await condition('MemoryPressure')) === 'True');
    await node.createPod('late');
    const late = await node.untilPod('late', 'is refused', ({ status }) => status.phase === 'Failed');
    assert.equal(late.status.reason, 'Evicted');
    assert.equal(late.status.message, 'Pod was rejected: The node had condition: [MemoryPressure].');
    assert.equal((await node.containers()).length, 0);
    await node.createPod('planned', {
      containers: [{ name: 'main', resources: { requests: { memory: '1Mi' } } }],
    });
    await node.untilPod(
      'planned',
      'is started or ended for the shortage',
      ({ status }) => status.startTime !== undefined,
    );
  });

  it('frees what nobody uses before it ends anybody for disk', async () => {
    await node.createPod('web');
    await node.untilRunning('web');
    canReclaim = true;
    rooms = { 'nodefs.available': { available: 5 * gib, capacity: 100 * gib } };
    await node.until('it has freed', () => reclaimed >= 2);
    assert.equal(await condition('DiskPressure'), 'True');
    assert.equal(await phases(), 'web Running');
    canReclaim = false;
    const web = await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed');
    assert.match(
      web.status.message ?? '',
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: 10Gi, available: 5Gi\./,
    );
  });

  it('goes on when the figures cannot be had for a while', async () => {
    await node.createPod('web');
    await node.untilRunning('web');
    rooms = undefined; // the files of the kernel cannot be read
    await node.clock.advance(5_000);
    rooms = memoryLeft(10 * mib);
    await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed');
  });
});

describe('node-agent/eviction: what a pod writes', () => {
  const limited = (name: string, limit?: string) =>
    aContainer({ name, resources: limit === undefined ? {} : { limits: { 'ephemeral-storage': limit } } });
  const disk = (containers: Readonly<Record<string, number>>, volumes = 0): PodDisk => ({
    containers: new Map(Object.entries(containers).map(([name, count]) => [name, count * mib])),
    volumesBytes: volumes * mib,
  });
  const both = aPod({ spec: { containers: [limited('a', '10Mi'), limited('b', '20Mi')] } });
  const rows = [
    { it: 'may fill its limit', pod: both, disk: disk({ a: 10, b: 20 }), want: undefined },
    {
      it: 'ends it when a container is over its own',
      pod: both,
      disk: disk({ a: 11, b: 0 }),
      want: 'Container a exceeded its local ephemeral storage limit "10Mi".',
    },
    {
      it: 'ends it when all together, volumes too, are over the sum',
      pod: both,
      disk: disk({ a: 5, b: 5 }, 21),
      want: 'Pod ephemeral local storage usage exceeds the total limit of containers 30Mi.',
    },
    {
      it: 'has no sum where a container has no limit',
      pod: aPod({ spec: { containers: [limited('a', '10Mi'), limited('b')] } }),
      disk: disk({ a: 5, b: 500 }, 500),
      want: undefined,
    },
  ];
  for (const row of rows) it(row.it, () => assert.equal(outgrownDisk(row.pod, row.disk)?.message, row.want));

  it('is what its containers wrote and printed, in all attempts, and its volumes on disk', async () => {
    const pod = aPod({
      spec: {
        containers: [limited('a')],
        volumes: [
          { name: 'disk', emptyDir: {} },
          { name: 'memory', emptyDir: { medium: 'Memory' } },
          { name: 'host', hostPath: { path: '/' } },
        ],
      },
    });
    const container = (kind: 'container' | 'sandbox', id: string) => ({ kind, name: 'a', is: { id } }) as never;
    const found = await podDisk(
      {
        pod,
        containers: [
          container('container', '1'),
          container('container', '2'),
          container('sandbox', '3'),
          container('container', 'gone'),
        ],
      },
      {
        runtime: {
          diskUsage: async (id) =>
            id === 'gone' ? Promise.reject(new Error('gone')) : { writtenBytes: 10, logBytes: 1 },
        },
        storage: { usage: async (_, volume) => (volume === 'disk' ? 100 : 1_000_000) },
      },
    );
    assert.deepEqual(found, { containers: new Map([['a', 22]]), volumesBytes: 100 });
  });

  it('is measured now and then of those with a limit, and they are ended', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const free = aPod({ name: 'free', uid: 'free', nodeName: 'n1' });
    const measured: string[] = [];
    const ended: [string, EndOrder][] = [];
    const done = watchDiskLimits({
      pods: () => [both, free],
      measure: async (pod) => {
        measured.push(pod.metadata.name);
        return disk({ a: 11 });
      },
      evict: (uid, order) => ended.push([uid, order]) > 0,
      clock,
      log: silentLog,
      signal: stop.signal,
    });
    await clock.advance(10_100);
    stop.abort();
    await clock.advance(100);
    await done;
    assert.deepEqual(measured, [both.metadata.name]);
    assert.equal(ended[0]?.[1].disruption, false);
  });
});

describe('node-agent/eviction/ended-pods', () => {
  const ended = (name: string, finishedAt: string): Pod =>
    aPod({
      name,
      nodeName: 'n1',
      phase: 'Succeeded',
      status: {
        containerStatuses: [
          {
            ...{ name: 'main', ready: false, restartCount: 0, image: 'x', imageID: 'x' },
            state: { terminated: { exitCode: 0, finishedAt } },
          },
        ],
      },
    });
  it('are too many beyond the newest', () => {
    const pods = [
      ended('old', '2026-02-01T00:00:00Z'),
      ended('new', '2026-02-03T00:00:00Z'),
      aPod({ name: 'runs', nodeName: 'n1' }),
      ended('middle', '2026-02-02T00:00:00Z'),
    ];
    assert.deepEqual(
      tooManyEnded(pods, 1).map(({ metadata }) => metadata.name),
      ['middle', 'old'],
    );
    assert.deepEqual(tooManyEnded(pods), []);
  });

  it('leave no container and no volume when they are tidied, and stay known with how they ended', async () => {
    const node = await AgentHarness.start();
    try {
      node.runtime.onStart = ({ sandboxId }) => (sandboxId === undefined ? undefined : { exitCode: 3, afterMs: 100 });
      await node.createPod('once', { restartPolicy: 'Never' });
      await node.untilPod('once', 'is over', ({ status }) => status.phase === 'Failed');
      assert.equal((await node.containers()).length, 1, 'what it printed can be read');
      assert.equal(node.agent.tidy(), true);
      await node.until('nothing is left', async () => (await node.runtime.list()).length === 0);
      await node.clock.advance(100);
      assert.equal(node.agent.tidy(), false);
      assert.equal((await node.pod('once')).status.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    } finally {
      await node.stop();
    }
  });

  it('of a pod that runs, only the attempts before go', async () => {
    const node = await AgentHarness.start();
    try {
      await node.createPod('web');
      await node.untilRunning('web');
      node.runtime.crash((await node.running('main')).id);
      await node.untilPod('web', 'runs again', ({ status }) => status.containerStatuses?.[0]?.restartCount === 1);
      assert.equal((await node.containers()).length, 2);
      assert.equal(node.agent.tidy(), true);
      await node.until('the first attempt is gone', async () => (await node.containers()).length === 1);
      await node.clock.advance(100);
      const [status] = (await node.pod('web')).status.containerStatuses ?? [];
      assert.equal(status?.lastState?.terminated?.exitCode, 137);
      assert.equal(status?.restartCount, 1);
    } finally {
      await node.stop();
    }
  });
});

describe('node-agent/images/image-watch', () => {
  const limits = { high: 0.85, low: 0.8 };
  const rows = [
    { it: 'rests below the upper mark', available: 16, want: 0 },
    { it: 'frees down to the lower mark', available: 10, want: 10 },
    { it: 'begins at the upper mark', available: 15, want: 5 },
  ];
  for (const { it: what, available, want } of rows)
    it(what, () => assert.equal(bytesToFree({ available, capacity: 100 }, limits), want));
});
