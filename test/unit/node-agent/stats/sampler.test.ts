import assert from 'node:assert/strict';
import { MemoryBus } from '../../../../lib/bus/memory-bus.ts';
import { askStats } from '../../../../lib/bus/node-stats.ts';
import { hasReason } from '../../../../lib/base/errors.ts';
import type { Clock } from '../../../../lib/base/clock.ts';
import type { PodContainer } from '../../../../node-agent/labels.ts';
import type { CgroupFolders } from '../../../../node-agent/stats/cgroups.ts';
import type { ContainerReading, Kernel } from '../../../../node-agent/stats/readings.ts';
import type { PodInSight } from '../../../../node-agent/stats/sampler.ts';
import { startStats, type NodeMeter } from '../../../../node-agent/stats/stats.ts';
import { aPod } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** Containers that burn half a CPU from their start, in a kernel made of a map. */
class World implements Kernel {
  readonly clock = new FakeClock();
  wallJumpMs = 0;
  readonly bus = new MemoryBus();
  readonly stop = new AbortController();
  readonly sights: { uid: string; pod: PodInSight['pod']; containers: PodContainer[] }[] = [];
  readonly readings = new Map<string, () => ContainerReading | undefined>();
  reads = 0;

  meter(podLabels: readonly string[] = []): NodeMeter {
    const { clock, bus } = this;
    const jumping: Clock = {
      now: () => clock.now() + this.wallJumpMs,
      monotonic: () => clock.monotonic(),
      after: (ms, run) => clock.after(ms, run),
    };
    return startStats({
      ...{ cluster: 'c', node: 'n1', bus, clock: jumping, signal: this.stop.signal, kernel: this, podLabels },
      pods: () => this.sights,
      intervalMs: 5_000,
    });
  }

  /** A pod with one container; `agedMs` says how long it has run. */
  start(name: string, agedMs = 0, attempt = 0): PodContainer {
    const pod = aPod({ name, nodeName: 'n1' });
    const startedAtMs = this.clock.now() - agedMs;
    const startedMono = this.clock.monotonic() - agedMs;
    const one = (kind: 'sandbox' | 'container', id: string): PodContainer => ({
      ...{ kind, uid: pod.metadata.uid, namespace: 'default', podName: name, attempt, crashes: 0, ip: undefined },
      name: kind === 'sandbox' ? '' : 'main',
      is: {
        ...{
          id,
          name: id,
          image: 'i',
          imageId: 'i',
          labels: {},
          state: 'running',
          pid: 7,
          createdAtMs: 0,
          startedAtMs,
        },
      },
    });
    const container = one('container', `${name}-${attempt}`);
    this.sights.push({ uid: pod.metadata.uid, pod, containers: [one('sandbox', `${name}-sandbox`), container] });
    this.readings.set(container.is.id, () => ({
      cpu: { usageNanos: (this.clock.monotonic() - startedMono) * 500_000 },
      memory: { usageBytes: 9000, workingSetBytes: 4096 },
      processes: 2,
    }));
    return container;
  }

  find(_pid: number, id: string): CgroupFolders {
    return new Map([['cpu', { version: 2, folder: id }]]);
  }
  container(folders: CgroupFolders): ContainerReading | undefined {
    this.reads++;
    return this.readings.get(folders.get('cpu')?.folder ?? '')?.();
  }
  podNetwork(): ReturnType<Kernel['podNetwork']> {
    const zero = { rxPackets: 1, rxErrors: 0, rxDropped: 0, txPackets: 2, txErrors: 0, txDropped: 0 };
    return new Map([['eth0', { ...zero, rxBytes: 100, txBytes: 200 }]]);
  }
  machine(): ReturnType<Kernel['machine']> {
    return {
      cpu: { usageNanos: this.clock.monotonic() * 1e6 },
      memory: { totalBytes: 10, availableBytes: 4, workingSetBytes: 6 },
      filesystem: { path: '/data', totalBytes: 100, availableBytes: 40, files: 9, freeFiles: 3 },
    };
  }
}

describe('node-agent/stats: sampling', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });
  afterEach(() => {
    world.stop.abort();
  });
  const first = async (meter: NodeMeter, history = false) => (await meter.stats({ history })).pods[0]?.containers[0];

  it('remembers a minute and more of each container, in rows of the interval, whoever asks in between', async () => {
    world.start('web');
    const meter = world.meter();
    for (let second = 0; second < 300; second++) {
      await world.clock.advance(1_000);
      await meter.stats({ maxAgeMs: 0 });
    }
    const history = (await first(meter, true))?.history;
    assert.ok(history);
    const { timeMs, cpuNanos } = history;
    assert.ok((timeMs.at(-1) ?? 0) - (timeMs[0] ?? 0) >= 60_000, 'a minute');
    assert.equal(timeMs.length, 26);
    for (let i = 1; i < timeMs.length; i++) {
      const [time, before] = [timeMs[i] ?? 0, timeMs[i - 1] ?? 0];
      assert.ok(time - before >= 4_500 && time - before <= 6_000, `${time - before} ms between two rows`);
      assert.equal((cpuNanos[i] ?? 0) - (cpuNanos[i - 1] ?? 0), (time - before) * 500_000);
    }
    assert.deepEqual(new Set(history.workingSetBytes), new Set([4096]));
  });

  it('knows the rate of a container that started a moment ago, from its start', async () => {
    const meter = world.meter();
    await world.clock.advance(5_000);
    world.start('young', 2_000);
    assert.deepEqual((await first(meter))?.cpu, { usageNanos: 1e9, nanoCores: 5e8, windowMs: 2_000 });
  });

  it('gives an old container that it sees for the first time no rate, and one a second later', async () => {
    world.start('old', 3_600_000);
    const meter = world.meter();
    await world.clock.advance(1);
    const cpu = (await first(meter))?.cpu;
    assert.ok(cpu !== undefined && cpu.nanoCores === undefined, 'the mean of an hour is not what it uses now');
    await world.clock.advance(1_100);
    assert.equal((await first(meter))?.cpu?.nanoCores, 5e8);
  });

  it('reads once for all who ask in the same second', async () => {
    world.start('web');
    const meter = world.meter();
    await world.clock.advance(2_000);
    const before = world.reads;
    await Promise.all([meter.stats({}), meter.stats({}), meter.metrics(), meter.stats({ maxAgeMs: 0 })]);
    await meter.stats({});
    assert.ok(world.reads - before <= 2, `${world.reads - before} readings`);
  });

  it('forgets a container that ended, at once', async () => {
    const web = world.start('web');
    const meter = world.meter(['app']);
    await world.clock.advance(6_000);
    assert.match(await meter.metrics(), /container="main"/);
    world.sights[0]?.containers.splice(1, 1, { ...web, is: { ...web.is, state: 'exited' } });
    assert.deepEqual((await meter.stats({})).pods[0]?.containers, []);
    assert.doesNotMatch(await meter.metrics(), /container="main"/);
  });

  it('forgets one whose cgroup is gone before the engine has told of its end', async () => {
    world.start('web');
    const meter = world.meter();
    await world.clock.advance(6_000);
    world.readings.clear();
    assert.deepEqual((await meter.stats({ maxAgeMs: 0 })).pods[0]?.containers, []);
  });

  it('begins anew where a counter went back', async () => {
    const { is } = world.start('web');
    const meter = world.meter();
    await world.clock.advance(21_000);
    world.readings.set(is.id, () => ({ cpu: { usageNanos: 5 } }));
    const found = await meter.stats({ maxAgeMs: 0, history: true });
    const container = found.pods[0]?.containers[0];
    assert.equal(container?.cpu?.nanoCores, undefined);
    assert.deepEqual(container?.history?.cpuNanos, [5]);
  });

  it('is not moved by a jump of the wall clock', async () => {
    world.start('web', 3_600_000);
    const meter = world.meter();
    await world.clock.advance(11_000);
    for (const jump of [-86_400_000, 86_400_000]) {
      world.wallJumpMs = jump;
      await world.clock.advance(5_000);
      const container = await first(meter, true);
      assert.equal(container?.cpu?.nanoCores, 5e8);
      const { timeMs = [] } = container.history ?? {};
      assert.ok(timeMs.every((time, i) => i === 0 || time > (timeMs[i - 1] ?? 0)));
      assert.ok(
        Math.abs((timeMs.at(-1) ?? 0) - (world.clock.now() + jump)) < 5_000,
        'times are told by the clock as it is',
      );
    }
  });

  it('answers on the bus, for what was asked', async () => {
    world.start('web');
    world.start('db');
    world.meter();
    await world.clock.advance(6_000);
    const at = { cluster: 'c', node: 'n1', timeoutMs: 1_000 };
    const all = await askStats(world.bus, at, {});
    assert.deepEqual([all.node, all.pods.map((pod) => pod.name)], ['n1', ['web', 'db']]);
    assert.deepEqual(all.machine.memory, { totalBytes: 10, availableBytes: 4, workingSetBytes: 6 });
    assert.deepEqual(all.pods[0]?.network?.rxBytes, 100);
    assert.equal(all.pods[0].containers[0]?.history, undefined);
    const [db] = world.sights.slice(1);
    assert.deepEqual(
      (await askStats(world.bus, at, { uids: [db?.uid ?? ''] })).pods.map((pod) => pod.name),
      ['db'],
    );
    assert.deepEqual((await askStats(world.bus, at, { namespace: 'other' })).pods, []);
    await assert.rejects(
      askStats(world.bus, at, { maxAgeMs: -1 }),
      /node "n1": maxAgeMs of the question must be a number from 0/,
    );
    const absent = askStats(world.bus, { ...at, node: 'n2' }, {});
    await assert.rejects(
      absent,
      (error) => hasReason(error, 'ServiceUnavailable') && /"n2" is not there/.test(String(error)),
    );
  });

  it('leaves no timer and no subscription behind', async () => {
    world.meter();
    await world.clock.advance(1);
    world.stop.abort();
    await world.clock.advance(6_000);
    assert.equal(world.clock.pending, 0);
    await assert.rejects(askStats(world.bus, { cluster: 'c', node: 'n1', timeoutMs: 100 }, {}), /is not there/);
  });
});

describe('node-agent/stats/prometheus', () => {
  it('tells what runs in the form that Prometheus reads, with chosen labels of pods', async () => {
    const world = new World();
    world.start('web');
    const [sight] = world.sights;
    if (sight !== undefined)
      sight.pod = {
        ...sight.pod,
        metadata: { ...sight.pod.metadata, labels: { app: 'we"b', 'a.b/c': 'x\ny', secret: 's' } },
      };
    const meter = world.meter(['app', 'a.b/c', 'absent']);
    await world.clock.advance(6_000);
    const text = await meter.metrics();
    world.stop.abort();
    const labels = 'namespace="default",pod="web",node="n1"';
    for (const wanted of [
      '# TYPE container_cpu_usage_seconds_total counter',
      `container_cpu_usage_seconds_total{${labels},container="main",id="web-0"} 3`,
      `container_memory_working_set_bytes{${labels},container="main",id="web-0"} 4096`,
      `container_network_receive_bytes_total{${labels},interface="eth0"} 100`,
      `node_memory_working_set_bytes{node="n1"} 6`,
      `node_filesystem_avail_bytes{node="n1",path="/data"} 40`,
      `kube_pod_labels{${labels},uid="${sight?.uid}",label_app="we\\"b",label_a_b_c="x\\ny"} 1`,
    ])
      assert.ok(text.split('\n').includes(wanted), `${wanted}\nis not in\n${text}`);
    assert.doesNotMatch(text, /secret|undefined|NaN|container_fs_reads/);
    const form = /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{([a-z_]+="([^"\\\n]|\\.)*",?)+\} -?[\d.e+]+)$/;
    for (const line of text.trimEnd().split('\n')) assert.match(line, form);
    const types = text.split('\n').filter((line) => line.startsWith('# TYPE'));
    assert.equal(new Set(types).size, types.length, 'each family stands once');
  });
});
