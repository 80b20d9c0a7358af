import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import Docker from 'dockerode';
import { isActive, isReady } from '../../lib/api/pods.ts';
import type { Pod, Service } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../support/cluster.ts';
import { importPerl, whyNoDocker } from '../support/docker-engine.ts';
import { whyNoHaproxy } from '../support/haproxy-host.ts';
import type { Netns } from '../support/netns.ts';
import { netnsOfProcess } from '../support/netns.ts';
import { Peer } from '../support/netns-peer.ts';
import { Lan } from '../support/removal/lan.ts';
import type { LoadFigures } from '../support/removal/load-host.ts';
import { until } from '../support/until.ts';

const network = 160;
const pool = '10.162.7.0/29';
/** One that nobody else on the machine listens on. */
const port = 8460;
const image = 'troupe-test/perl:1';
const program = readFileSync(new URL('../support/removal/web.pl', import.meta.url), 'utf8');

const request = `require('node:http').get(process.argv[1], { agent: false, timeout: 2000 }, (answer) => answer.pipe(process.stdout))
  .on('timeout', () => process.exit(1)).on('error', () => process.exit(1))`;

/** A Service of type LoadBalancer with real pods that die at once on SIGTERM, used from a machine beside the cluster. */
describe('e2e/load-balancer: a Service for the world outside', function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: Client;
  let lan: Lan;
  let outside: { readonly space: Netns; readonly ip: string };
  let address = '';

  before(async function () {
    const why = whyNoDocker() ?? whyNoHaproxy();
    if (why !== undefined) {
      console.warn(`skipped: ${why}`);
      return this.skip();
    }
    lan = new Lan(network);
    outside = await lan.join('out');
    cluster = await TestCluster.start(network, { TROUPE_NODE_IP: lan.gateway }, ['--load-balancer-pool', pool]);
    client = cluster.client();
    await importPerl(new Docker({ socketPath: cluster.dockerSocket }));
    await make('web', 3);
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
    lan?.close();
    const left = execFileSync('ip', ['-4', 'address', 'show', 'dev', 'lo']).toString();
    assert.doesNotMatch(left, /inet 10\.162\.7\./, 'no address is left on the machine');
  });

  async function make(name: string, replicas: number): Promise<void> {
    const container = {
      ...{ name: 'web', image, command: ['/usr/bin/perl', '-e', program] },
      env: [{ name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
    };
    const template = { metadata: { labels: { app: name } }, spec: { containers: [container] } };
    await client.create('replicationcontrollers', {
      metadata: { name, namespace: 'default' },
      spec: { replicas, selector: { app: name }, template },
    });
    await untilReady(replicas);
  }
  const pods = async (): Promise<readonly Pod[]> =>
    (await client.list('pods', { namespace: 'default', labelSelector: 'app=web' })).items;
  const untilReady = (replicas: number): Promise<boolean> =>
    until(
      async () => {
        const now = await pods();
        return now.length === replicas && now.every((pod) => isReady(pod) && isActive(pod));
      },
      { what: `${replicas} pods are ready`, timeoutMs: 60_000, everyMs: 25 },
    );
  const scaleTo = async (replicas: number): Promise<void> => {
    await client.patch('replicationcontrollers', 'default/web', { spec: { replicas } });
    await untilReady(replicas);
  };
  const service = async (name = 'web'): Promise<Service> =>
    (await client.get('services', `default/${name}`)) ?? assert.fail(`no Service ${name}`);
  /** One request on a connection of its own, from another network. */
  const ask = (from: Netns, url: string): Promise<string> => from.run(process.execPath, '-e', request, url);
  const served = (what: string): Promise<string> =>
    until(() => ask(outside.space, `http://${address}:${port}/`), { what, timeoutMs: 15_000, everyMs: 25 });

  it('gets an address of the pool, which troupe shows, and is served there', async () => {
    await client.create('services', {
      metadata: { name: 'web', namespace: 'default' },
      spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port, targetPort: 8080 }] },
    } as never);
    const ingress = await until(async () => (await service()).status.loadBalancer?.ingress?.[0], {
      what: 'an address',
      timeoutMs: 15_000,
    });
    assert.match(ingress.ip ?? '', /^10\.162\.7\.[1-6]$/);
    assert.deepEqual([ingress.ipMode, ingress.ports], ['Proxy', undefined]);
    address = ingress.ip ?? '';
    assert.match(
      (await cluster.troupe('get', 'services')).stdout,
      new RegExp(`^web +LoadBalancer +\\S+ +${address} `, 'm'),
    );
    assert.match((await cluster.troupe('describe', 'svc/web')).stdout, new RegExp(`^Load balancer: +${address} `, 'm'));
    const names = new Set<string>();
    await until(async () => names.add(await served('an answer')).size === 3, { what: 'all three pods' });
  });

  it('loses no request while pods are scaled, deleted and replaced', async () => {
    const peer = await Peer.start(outside.space, new URL('../support/removal/load-host.ts', import.meta.url));
    const url = `http://${address}:${port}`;
    const wishes = [
      { url: `${url}/`, keep: false, workers: 3, pauseMs: 10 },
      { url: `${url}/100`, keep: false, workers: 2, pauseMs: 10 },
      { url: `${url}/`, keep: true, workers: 2, pauseMs: 400 },
    ];
    const steps: string[] = [];
    await peer.ask('start', { wishes });
    for (const replicas of [1, 5, 2, 4]) {
      await scaleTo(replicas);
      steps.push(`${new Date().toISOString()} ${replicas} pods`);
    }
    for (const { metadata } of (await pods()).slice(0, 2)) {
      await client.delete('pods', `default/${metadata.name}`);
      await untilReady(4);
    }
    const figures = await peer.ask<readonly LoadFigures[]>('stop');
    await peer.kill();
    const { items } = await client.list('events');
    assert.deepEqual(
      items.filter(({ reason }) => reason === 'WithdrawalNotConfirmed').map(({ message }) => message),
      [],
    );
    for (const { requests, failed, failures } of figures) {
      assert.ok(requests > 10, `${requests} requests`);
      assert.equal(failed, 0, `${failed} of ${requests} failed: ${failures.join('; ')}, ${steps.join(', ')}`);
    }
  });

  it('goes on while its controller is killed, and follows again afterwards', async () => {
    const before = cluster.part('load-balancer-controller').pid;
    cluster.kill('load-balancer-controller');
    for (let i = 0; i < 5; i++) await ask(outside.space, `http://${address}:${port}/`);
    await until(
      () => {
        const { pid, state } = cluster.part('load-balancer-controller');
        return pid !== before && state === 'ready';
      },
      { what: 'the controller runs again', timeoutMs: 30_000 },
    );
    await scaleTo(1);
    const only = (await pods())[0]?.metadata.name;
    await until(async () => (await ask(outside.space, `http://${address}:${port}/`)) === only, {
      what: 'the change in effect',
    });
    assert.equal((await service()).status.loadBalancer?.ingress?.[0]?.ip, address);
  });

  it('is served again at once when HAProxy is killed', async () => {
    const pids = execFileSync('pgrep', ['-f', `${cluster.dataDir}/load-balancer/haproxy.cfg`])
      .toString()
      .trim()
      .split('\n');
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
    await served('HAProxy to serve again');
  });

  it('lets through only the source ranges, and shows them', async () => {
    await client.patch('services', 'default/web', { spec: { loadBalancerSourceRanges: ['192.0.2.0/24'] } });
    await until(
      () =>
        ask(outside.space, `http://${address}:${port}/`).then(
          () => false,
          () => true,
        ),
      { what: 'the machine outside to be refused', timeoutMs: 10_000 },
    );
    assert.match((await cluster.troupe('describe', 'svc/web')).stdout, /^Source ranges: +192\.0\.2\.0\/24$/m);
    await client.patch('services', 'default/web', { spec: { loadBalancerSourceRanges: [`${outside.ip}/32`] } });
    await served('the machine outside to be let in');
  });

  it('says why a Service has no address, and gives it one once it can', async () => {
    const spec = { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80 }] };
    await client.create('services', {
      metadata: { name: 'second', namespace: 'default' },
      spec: { ...spec, loadBalancerIP: address },
    } as never);
    const told = await until(
      async () => (await client.list('events')).items.find(({ reason }) => reason === 'AddressTaken')?.message,
      { what: 'an Event', timeoutMs: 10_000 },
    );
    assert.match(told, new RegExp(`loadBalancerIP ${address} is that of the Service default/web; ask for another`));
    assert.match((await cluster.troupe('get', 'svc/second')).stdout, /<pending>/);
    await client.patch('services', 'default/second', { spec: { loadBalancerIP: null } });
    await until(async () => (await service('second')).status.loadBalancer?.ingress?.[0]?.ip, { what: 'an address' });
    await client.delete('services', 'default/second');
  });

  it('refuses UDP for HAProxy, and lets the proxies carry what names their class', async () => {
    await client.create('services', {
      metadata: { name: 'udp', namespace: 'default' },
      spec: {
        type: 'LoadBalancer',
        selector: { app: 'web' },
        ports: [{ port: 53, protocol: 'UDP', targetPort: 5353 }],
      },
    } as never);
    await until(async () => (await client.list('events')).items.some(({ reason }) => reason === 'ProtocolNotServed'), {
      what: 'an Event',
      timeoutMs: 10_000,
    });
    await client.delete('services', 'default/udp');
    await client.create('services', {
      metadata: { name: 'by-proxies', namespace: 'default' },
      spec: {
        ...{ type: 'LoadBalancer', loadBalancerClass: 'troupe.dev/proxies', selector: { app: 'web' } },
        ports: [{ name: 'http', port: 80, targetPort: 8080 }],
      },
    } as never);
    const given = await until(async () => (await service('by-proxies')).status.loadBalancer?.ingress?.[0], {
      what: 'an address',
      timeoutMs: 10_000,
    });
    assert.equal(given.ipMode, 'VIP');
    await until(() => ask(outside.space, `http://${given.ip}/`), { what: 'the proxy to carry it', timeoutMs: 10_000 });
    await client.patch('services', 'default/by-proxies', { spec: { externalTrafficPolicy: 'Local' } });
    const health = (await service('by-proxies')).spec.healthCheckNodePort ?? 0;
    const wanted = {
      ...{ service: { namespace: 'default', name: 'by-proxies' }, localEndpoints: 1, serviceProxyHealthy: true },
    };
    const says = async (): Promise<true> => {
      assert.deepEqual(JSON.parse(await ask(outside.space, `http://${lan.gateway}:${health}/`)), wanted);
      return true;
    };
    await until(says, { what: 'the node to say that it has an endpoint', timeoutMs: 10_000 });
  });

  it('frees the address when the Service goes, or is of another type', async () => {
    await client.patch('services', 'default/by-proxies', { spec: { type: 'ClusterIP' } });
    await client.delete('services', 'default/web');
    await until(
      () => !/inet 10\.162\.7\./.test(execFileSync('ip', ['-4', 'address', 'show', 'dev', 'lo']).toString()),
      {
        what: 'the addresses to leave the machine',
        timeoutMs: 10_000,
      },
    );
    await until(async () => (await service('by-proxies')).status.loadBalancer?.ingress === undefined, {
      what: 'the Service to have none',
    });
  });

  it('leaves the Endpoints that somebody wrote by hand alone, and reaches a database outside of the pods (F140)', async () => {
    const database = await lan.join('database');
    database.space.spawn('busybox', ['nc', '-ll', '-p', '5432', '-e', 'echo', 'rows'], { stderr: 'ignore' });
    const metadata = { name: 'legacy', namespace: 'default' };
    const ports = [{ name: 'sql', port: 5432, protocol: 'TCP' }] as const;
    const made = await client.create('services', { metadata, spec: { ports } });
    const written = await client.create('endpoints', {
      metadata: { ...metadata, labels: { by: 'hand' } },
      subsets: [{ addresses: [{ ip: database.ip }], ports }],
    });
    const [pod] = await pods();
    const id = pod?.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    const docker = new Docker({ socketPath: cluster.dockerSocket });
    const inside = netnsOfProcess((await docker.getContainer(id).inspect()).State.Pid);
    const vip = made.spec.clusterIP ?? '';
    const rows = (): Promise<string> => inside.run('busybox', 'nc', '-w', '2', vip, '5432');
    await until(async () => (await rows()).trim() === 'rows', {
      what: 'a pod to reach the database',
      timeoutMs: 10_000,
    });
    await client.patch('services', 'default/legacy', { metadata: { labels: { touched: 'yes' } } });
    const { pid } = cluster.part('endpoints-controller');
    cluster.kill('endpoints-controller');
    const isBack = (): boolean => {
      const now = cluster.part('endpoints-controller');
      return now.pid !== pid && now.state === 'ready';
    };
    await until(isBack, { what: 'it to be back', timeoutMs: 30_000 });
    assert.deepEqual(await client.get('endpoints', 'default/legacy'), written);
    await client.patch('endpoints', 'default/legacy', { subsets: null });
    await until(
      async () =>
        rows().then(
          () => false,
          () => true,
        ),
      { what: 'nobody to answer', timeoutMs: 10_000 },
    );
  });
});
