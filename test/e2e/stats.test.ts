import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import Docker from 'dockerode';
import type { Pod } from '../../lib/api/objects.ts';
import { milliOf, unitsOf } from '../../lib/api/quantity.ts';
import type { PodMetrics, UsageReply } from '../../lib/api/usage.ts';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../support/cluster.ts';
import { importBusybox, whyNoDocker } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';

const mebi = 2 ** 20;

/** What is measured, held against what the kernel says by other ways. */
describe('e2e/stats: what containers use', function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: Client;
  let docker: Docker;

  before(async function () {
    const why = whyNoDocker();
    if (why !== undefined) {
      console.warn(`skipped: ${why}`);
      return this.skip();
    }
    cluster = await TestCluster.start(176);
    client = cluster.client();
    docker = new Docker({ socketPath: cluster.dockerSocket });
    await importBusybox(docker);
    await create(
      'burner',
      'dd if=/dev/zero of=/held/x bs=1M count=20 2>/dev/null; nc -l -p 9000 >/dev/null & while :; do :; done',
      {
        resources: { limits: { cpu: '200m', memory: '64Mi' } },
        volumeMounts: [{ name: 'held', mountPath: '/held' }],
      },
    );
    await create('sleeper', 'sleep 100000');
    await until(async () => (await Promise.all(['burner', 'sleeper'].map(running))).every(Boolean), {
      what: 'the pods run',
      timeoutMs: 30_000,
    });
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
  });

  async function create(name: string, command: string, container: object = {}): Promise<void> {
    await client.create('pods', {
      metadata: { name, namespace: 'default', labels: { app: `${name}-app`, other: 'x' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        restartPolicy: 'Never',
        volumes: [{ name: 'held', emptyDir: { medium: 'Memory' } }],
        containers: [{ name: 'main', image: 'troupe-test/busybox:1', command: ['sh', '-c', command], ...container }],
      },
    });
  }
  async function running(name: string): Promise<Pod | undefined> {
    const pod = await client.get('pods', `default/${name}`);
    return pod?.status.phase === 'Running' ? pod : undefined;
  }
  /** The container's process, by the engine. */
  async function pidOf(name: string): Promise<number> {
    const id = (await running(name))?.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    return (await docker.getContainer(id).inspect()).State.Pid;
  }
  async function metrics(): Promise<readonly Line[]> {
    const { telemetry } = cluster.part('node-agent');
    const text = await (await fetch(`http://${telemetry}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map(lineOf);
  }
  const figure = (lines: readonly Line[], name: string, pod: string): number | undefined =>
    lines.find((line) => line.name === name && line.labels['pod'] === pod)?.value;
  async function metricsOf(pod: string): Promise<PodMetrics | undefined> {
    const selection = { namespace: 'default' };
    const { items } = await client.call<UsageReply<PodMetrics>>('troupe.v1.Metrics', 'ListPods', {
      selection,
      name: pod,
    });
    return items?.[0];
  }

  it('measures CPU time, its limit and its throttling as the kernel does', async () => {
    const pid = await pidOf('burner');
    await until(async () => (await metricsOf('burner')) !== undefined, { what: 'figures', timeoutMs: 10_000 });
    // The shell burns in the container's first process: its own CPU time is another account of the same.
    const [first, firstOwn] = [
      figure(await metrics(), 'container_cpu_usage_seconds_total', 'burner'),
      cpuSecondsOf(pid),
    ];
    await until(() => cpuSecondsOf(pid) - firstOwn > 0.6, { what: 'some CPU time', timeoutMs: 30_000 });
    const lines = await metrics();
    const used = (figure(lines, 'container_cpu_usage_seconds_total', 'burner') ?? 0) - (first ?? 0);
    const own = cpuSecondsOf(pid) - firstOwn;
    assert.ok(used > own * 0.6 && used < own * 1.2 + 0.05, `${used} s by the cgroup, ${own} s by the process`);
    assert.equal(figure(lines, 'container_spec_cpu_quota', 'burner'), 20_000);
    const held = async (): Promise<number> =>
      figure(await metrics(), 'container_cpu_cfs_throttled_seconds_total', 'burner') ?? 0;
    await until(async () => (await held()) > 0.1, { what: 'it is held back', timeoutMs: 40_000, everyMs: 100 });

    // Less where others want the processors, too; never more than its limit.
    let milli = 0;
    const burns = async (): Promise<boolean> =>
      (milli = milliOf((await metricsOf('burner'))?.containers[0]?.usage.cpu ?? '0')) > 60;
    await until(burns, { what: () => `it uses most of its limit: ${milli}m`, timeoutMs: 40_000, everyMs: 100 });
    assert.ok(milli <= 230, `${milli}m under a limit of 200m`);
    assert.ok(milliOf((await metricsOf('sleeper'))?.containers[0]?.usage.cpu ?? '1') < 20);
  });

  it('measures memory: what is held counts, and the limit is told', async () => {
    let held = 0;
    const holds = async (): Promise<boolean> =>
      (held = unitsOf((await metricsOf('burner'))?.containers[0]?.usage.memory ?? '0')) >= 20 * mebi;
    await until(holds, { what: () => `${held / mebi} MiB with 20 MiB held`, everyMs: 100 });
    assert.ok(held < 26 * mebi, `${held / mebi} MiB with 20 MiB held`);
    const lines = await metrics();
    assert.equal(figure(lines, 'container_spec_memory_limit_bytes', 'burner'), 64 * mebi);
    assert.equal(figure(lines, 'container_spec_memory_limit_bytes', 'sleeper'), undefined);
    assert.ok((figure(lines, 'container_memory_working_set_bytes', 'sleeper') ?? 0) < 5 * mebi);
  });

  it('counts what comes over the network', async () => {
    const name = 'container_network_receive_bytes_total';
    const before = figure(await metrics(), name, 'burner') ?? 0;
    const ip = (await running('burner'))?.status.podIP ?? '';
    await new Promise<void>((resolve, reject) => {
      const socket = connect(9000, ip, () => socket.end(Buffer.alloc(2 * mebi)));
      socket.once('close', () => {
        resolve();
      });
      socket.once('error', reject);
    });
    const received = await until(
      async () => {
        const more = (figure(await metrics(), name, 'burner') ?? 0) - before;
        return more >= 2 * mebi ? more : undefined;
      },
      { what: 'the bytes are counted', timeoutMs: 5_000 },
    );
    assert.ok(received < 2.3 * mebi, `${received} bytes with all headers`);
    assert.ok((figure(await metrics(), 'container_network_transmit_packets_total', 'burner') ?? 0) > 0);
  });

  it('labels every figure, and tells the chosen labels of pods only', async () => {
    const lines = await metrics();
    const ofContainers = lines.filter(({ name }) => name.startsWith('container_'));
    assert.ok(ofContainers.length > 30);
    for (const { name, labels } of ofContainers) {
      assert.equal(labels['namespace'], 'default', name);
      assert.equal(labels['node'], 'node-1', name);
      assert.ok(['burner', 'sleeper'].includes(labels['pod'] ?? ''), name);
      if (!name.startsWith('container_network_')) assert.equal(labels['container'], 'main', name);
    }
    const info = lines.filter(({ name }) => name === 'kube_pod_labels');
    assert.deepEqual(info.map(({ labels }) => labels['label_app']).sort(), ['burner-app', 'sleeper-app']);
    assert.ok(info.every(({ labels }) => labels['label_other'] === undefined));
    assert.ok(lines.some(({ name, value }) => name === 'node_cpu_usage_seconds_total' && value > 0));
  });

  it('shows it to people', async () => {
    const pods = await cluster.troupe('top', 'pods', '--sort-by', 'cpu');
    assert.equal(pods.code, 0, pods.stderr);
    const [heading, first, second, ...rest] = pods.stdout.trimEnd().split('\n');
    assert.match(heading ?? '', /^NAME +CPU\(cores\) +MEMORY\(bytes\)$/);
    assert.match(first ?? '', /^burner +\d+m +2\dMi$/);
    assert.match(second ?? '', /^sleeper +\d+m +\dMi$/);
    assert.deepEqual(rest, []);
    const nodes = await cluster.troupe('top', 'nodes');
    assert.match(nodes.stdout, /^node-1 +\d+m +\d+% +\d+Mi +\d+%$/m);
  });

  it('forgets a container that has ended', async () => {
    await create('brief', 'sleep 4');
    await until(async () => figure(await metrics(), 'container_start_time_seconds', 'brief') !== undefined, {
      what: 'it is measured',
      timeoutMs: 15_000,
    });
    await until(async () => (await client.get('pods', 'default/brief'))?.status.phase === 'Succeeded', {
      what: 'it ends',
      timeoutMs: 15_000,
    });
    await until(async () => figure(await metrics(), 'container_start_time_seconds', 'brief') === undefined, {
      what: 'its figures are gone',
    });
    await until(async () => (await metricsOf('brief')) === undefined, { what: 'nothing is said of it' });
  });

  it('goes on after the agent was killed, with the rate of now and not of the whole life', async () => {
    const before = figure(await metrics(), 'container_cpu_usage_seconds_total', 'burner') ?? 0;
    const { pid } = cluster.part('node-agent');
    cluster.kill('node-agent');
    const usage = await until(
      async () => {
        if (cluster.part('node-agent').pid === pid) return undefined;
        return (await metricsOf('burner'))?.containers[0]?.usage;
      },
      { what: 'figures by the new agent', timeoutMs: 30_000 },
    );
    const milli = milliOf(usage.cpu);
    assert.ok(milli > 60 && milli <= 260, `${milli}m`);
    const after = await until(
      async () => figure(await metrics().catch(() => []), 'container_cpu_usage_seconds_total', 'burner'),
      { what: 'metrics by the new agent', timeoutMs: 15_000 },
    );
    assert.ok(after > before, "the counter is the kernel's and goes on");
  });

  it('names a node that does not answer, and takes it for nothing else', async () => {
    cluster.kill('node-agent', 'SIGSTOP');
    try {
      const nodes = await cluster.troupe('top', 'nodes');
      assert.equal(nodes.code, 0);
      assert.match(nodes.stdout, /^node-1 +<unknown> +<unknown> +<unknown> +<unknown>$/m);
      assert.match(nodes.stderr, /warning: no figures of node node-1: .*did not answer within 2000 ms/);
    } finally {
      cluster.kill('node-agent', 'SIGCONT');
    }
  });
});

interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A line of Prometheus' text form. Throws where it is none. */
function lineOf(text: string): Line {
  const [, name, inside = '', value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined || Number.isNaN(Number(value))) throw new Error(`no metric: ${text}`);
  const labels = Object.fromEntries(
    [...inside.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, key, is]) => [key, is] as const),
  ) as Record<string, string>;
  return { name, labels, value: Number(value) };
}

/** User and system time of one process, from its own account. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
