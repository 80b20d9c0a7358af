import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Pod } from '../../lib/api/objects.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import type { EvictionWatch } from '../../node-agent/eviction/eviction-watch.ts';
import { watchNode } from '../../node-agent/eviction/node-watches.ts';
import { readRooms } from '../../node-agent/eviction/rooms.ts';
import type { Rooms, Signal, Threshold } from '../../node-agent/eviction/thresholds.ts';
import { ImageKeeper } from '../../node-agent/images/image-keeper.ts';
import { openCgroups } from '../../node-agent/cgroups/node-cgroups.ts';
import { newDiskStorage } from '../../node-agent/pod-storage.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const mib = 2 ** 20;
const why = whyNoDocker();
describe(`eviction by real figures${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  let watch: EvictionWatch;
  let stop: AbortController;
  /** Changed by the tests while the watch runs. */
  const thresholds: Threshold[] = [];

  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(174);
    node.stopAgent();
    stop = new AbortController();
    const { runtime, dataDir, nodeName } = node;
    const engine = await runtime.info();
    const cgroups = await openCgroups(engine, {
      ...{ cluster: 'real', name: nodeName, limits: { cpuShares: engine.cpus * 1024 }, log: silentLog },
    });
    const run = { clock: systemClock, log: silentLog };
    watch = watchNode({
      ...{ ...run, node: nodeName, agent: () => node.agent, runtime, cgroups, thresholds, signal: stop.signal },
      storage: newDiskStorage(dataDir, new Map(), node.memory),
      images: new ImageKeeper({ ...run, runtime, file: join(dataDir, 'images.json') }),
      rooms: () => readRooms({ dataDir, imageDir: engine.rootDir }),
      imageHigh: 1,
      imageLow: 0.99,
      holdMs: 3_000,
      telling: { event: (about, _, reason, message) => node.told.push({ about, reason, message }) },
      onImagesRemoved: () => undefined,
    });
    node.wish = { pressure: watch.short, refuse: watch.refuse };
    await node.startAgent();
  });
  after(async () => {
    stop?.abort();
    await node?.stop();
  });
  afterEach(async () => {
    if (why !== undefined) return;
    thresholds.length = 0;
    await node.empty();
    await until(() => Object.values(watch.short()).every((message) => message === undefined), {
      what: 'nothing is short any more',
      timeoutMs: 20_000,
    });
  });

  const roomsNow = (): Promise<Rooms> => readRooms({ dataDir: node.dataDir, imageDir: node.dataDir });
  /** The node is short as soon as so much more is taken. */
  async function shortAfter(signal: Signal, bytes: number): Promise<void> {
    const room = (await roomsNow())[signal];
    assert.ok(room !== undefined);
    thresholds.push({ signal, amount: { units: room.available - bytes } });
  }
  const condition = async (type: string): Promise<string | undefined> =>
    (await node.client.get('nodes', node.nodeName))?.status.conditions?.find((each) => each.type === type)?.status;
  const isFailed = ({ status }: Pod): boolean => status.phase === 'Failed';
  const stillRuns = async (name: string): Promise<void> => {
    const pod = await node.client.get('pods', `default/${name}`);
    assert.equal(pod?.status.phase, 'Running', JSON.stringify(pod?.status));
  };

  it('ends the pod that eats the memory before the kernel has to, and nobody else (F162)', async () => {
    const memory = [{ name: 'memory', emptyDir: { medium: 'Memory' as const } }];
    const volumeMounts = [{ name: 'memory', mountPath: '/memory' }];
    await node.createPod('modest', {});
    await node.untilReady('modest');
    await shortAfter('memory.available', 900 * mib);
    // The node says so beside the eviction, and not for long.
    const told = until(async () => (await condition('MemoryPressure')) === 'True', {
      what: 'the node says that its memory is short',
      timeoutMs: 40_000,
    });
    told.catch(() => undefined); // where the pod fails first
    await node.createPod('greedy', {
      volumes: memory,
      containers: [
        {
          name: 'main',
          command: ['sh', '-c', 'dd if=/dev/zero of=/memory/full bs=1M count=1800; sleep 100000'],
          volumeMounts,
        },
      ],
    });
    const greedy = await node.untilPod('greedy', 'is evicted', isFailed, 30_000);
    assert.equal(greedy.status.reason, 'Evicted');
    assert.match(
      greedy.status.message ?? '',
      /^The node was low on resource: memory\. Threshold quantity: \d+Mi, available: \d+Mi\. The pod was using \d+Mi and requested 0\.$/,
    );
    await told;
    await until(async () => (await condition('MemoryPressure')) === 'False', {
      what: 'the pressure is over: the memory came back',
      timeoutMs: 20_000,
    });
    await stillRuns('modest');
    assert.ok(node.told.some(({ reason, about }) => reason === 'EvictionThresholdMet' && about.kind === 'Node'));
  });

  it('ends the pod that fills the disk when nothing else can be freed, and gives the room back', async () => {
    const before = (await roomsNow())['nodefs.available']?.available ?? 0;
    await node.createPod('modest', {});
    await node.untilReady('modest');
    await shortAfter('nodefs.available', 2_000 * mib);
    await node.createPod('filler', {
      volumes: [{ name: 'disk', emptyDir: {} }],
      containers: [
        {
          name: 'main',
          command: ['sh', '-c', 'fallocate -l 4G /disk/full; sleep 100000'],
          volumeMounts: [{ name: 'disk', mountPath: '/disk' }],
        },
      ],
    });
    const filler = await node.untilPod('filler', 'is evicted', isFailed, 30_000);
    assert.match(
      filler.status.message ?? '',
      /^The node was low on resource: ephemeral-storage\. .* was using \d+[GM]i and requested 0\.$/,
    );
    await until(async () => ((await roomsNow())['nodefs.available']?.available ?? 0) > before - 1_500 * mib, {
      what: 'the room is back',
      timeoutMs: 10_000,
    });
    await stillRuns('modest');
  });

  it('ends the pod that writes more than its own limit', async () => {
    const resources = { limits: { 'ephemeral-storage': '20Mi' } };
    await node.createPod('writer', {
      containers: [
        { name: 'main', command: ['sh', '-c', 'dd if=/dev/zero of=/full bs=1M count=40; sleep 100000'], resources },
      ],
    });
    await node.createPod('reader', { containers: [{ name: 'main', command: ['sleep', '100000'], resources }] });
    const writer = await node.untilPod('writer', 'is evicted', isFailed, 30_000);
    assert.equal(writer.status.message, 'Container main exceeded its local ephemeral storage limit "20Mi".');
    await stillRuns('reader');
  });

  it('reads all that it needs in less than a thousandth of the time between two looks', async () => {
    const began = process.cpuUsage();
    for (let round = 0; round < 200; round++) await roomsNow();
    const { user, system } = process.cpuUsage(began);
    const eachMs = (user + system) / 1000 / 200;
    assert.ok(eachMs < 3, `a look costs ${eachMs.toFixed(2)} ms of a processor`);
    assert.deepEqual(Object.keys(await roomsNow()).includes('memory.available'), true);
  });
});
