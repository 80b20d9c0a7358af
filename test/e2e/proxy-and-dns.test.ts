import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { canMakeNetworks, makeNetwork, type Netns, type TestNetwork } from '../support/netns.ts';
import { Peer } from '../support/netns-peer.ts';
import { until } from '../support/until.ts';

const backendIps = ['10.244.0.11', '10.244.0.12', '10.244.0.13'] as const;
/** Where the bundles are. */
const dist = process.env['TROUPE_DIST'] ?? 'dist';
const dnsIp = '10.96.0.10';

/** The real processes on a node of its own, with pods as a real node has them: names, virtual addresses and hard days. */
describe('e2e: proxy and dns', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'troupe-traffic-'));
  let network: TestNetwork;
  let pod: Netns;
  let client: Peer;
  let api: Peer;
  let parts: Record<'nats' | 'apiserver' | 'dns' | 'proxy', ChildProcess>;

  const part = (name: string, ...args: string[]): ChildProcess => {
    const child = network.node.spawn(process.execPath, [
      resolve(dist, `${name}.js`),
      '--log-level',
      process.env['TROUPE_TEST_LOG'] ?? 'warn',
      ...args,
    ]);
    child.stdout?.on('data', (said: Buffer) => process.env['TROUPE_TEST_LOG'] && process.stderr.write(said));
    return child;
  };
  const start = {
    nats: () =>
      network.node.spawn('nats-server', ['-a', '127.0.0.1', '-p', '4222', '-js', '-sd', join(folder, 'nats')], {
        stderr: 'ignore',
      }),
    apiserver: () => part('apiserver', '--data', join(folder, 'apiserver')),
    dns: () =>
      part(
        'dns',
        '--listen',
        `${dnsIp}:53`,
        '--ensure-address',
        dnsIp,
        '--upstream',
        '',
        '--telemetry',
        '127.0.0.1:9001',
      ),
    proxy: () =>
      part('proxy', '--node-name', 'n1', '--mode', 'nftables', '--drain-ms', '300', '--telemetry', '127.0.0.1:9002'),
  };
  const end = async (name: keyof typeof parts, signal: NodeJS.Signals): Promise<void> => {
    const gone = once(parts[name], 'exit');
    parts[name].kill(signal);
    await gone;
  };
  const names = async (ip: string, count: number): Promise<Record<string, number>> => {
    const by: Record<string, number> = {};
    for (const text of await client.ask<string[]>('connections', { ip, port: 80, count })) {
      const name = text.split(' ')[0] ?? '';
      by[name] = (by[name] ?? 0) + 1;
    }
    return by;
  };
  const dig = async (...args: string[]): Promise<string> =>
    (await pod.run('dig', `@${dnsIp}`, '+short', '+tries=1', '+time=10', ...args)).trim().split('\n').sort().join(' ');
  const routed = (ip: string, wanted: Record<string, number>, what: string): Promise<unknown> =>
    until(
      async () => {
        const got = await names(
          ip,
          Object.values(wanted).reduce((sum, count) => sum + count, 0),
        );
        assert.deepEqual(got, wanted);
        return true;
      },
      { what, timeoutMs: 15_000 },
    );

  before(async function () {
    if (!canMakeNetworks()) {
      process.stderr.write('      SKIPPED: proxy and dns end to end needs root on Linux\n');
      return this.skip();
    }
    assert(existsSync(join(dist, 'proxy.js')), 'run npm run build first');
    network = await makeNetwork('traffic');
    const host = new URL('../contract/proxy/host.ts', import.meta.url);
    pod = await network.addPod('10.244.0.10');
    const pods = [];
    for (const ip of backendIps) pods.push(await network.addPod(ip));
    parts = { nats: start.nats(), apiserver: start.apiserver(), dns: start.dns(), proxy: start.proxy() };
    client = await Peer.start(pod, host);
    for (const [i, space] of pods.entries()) {
      const peer = await Peer.start(space, host);
      await peer.ask('serve', { name: `b${i + 1}`, port: 8080 });
    }
    api = await Peer.start(network.node, new URL('../support/api-peer.ts', import.meta.url));
  });
  after(async () => {
    await network?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  let vip = '';

  it('gives a new service a name and an address that lead to its endpoints', async () => {
    vip = await until(
      () => api.ask<string>('service', { name: 'web', ports: [{ port: 80, name: 'http', targetPort: 8080 }] }),
      {
        what: 'the API takes a service',
        timeoutMs: 20_000,
      },
    );
    await until(async () => (await dig('web.default.svc.cluster.local')) === vip, {
      what: 'the name',
      timeoutMs: 20_000,
    });
    assert.equal(
      await dig('_http._tcp.web.default.svc.cluster.local', 'SRV'),
      '0 100 80 web.default.svc.cluster.local.',
    );
    assert.equal(await dig('-x', vip), 'web.default.svc.cluster.local.');
    await until(async () => 'ECONNREFUSED' in (await names(vip, 1)), { what: 'refused without endpoints' });
    await api.ask('endpoints', { name: 'web', ips: backendIps, port: 8080 });
    // Unnamed ports of endpoints do not belong to a named port of the service.
    assert.deepEqual(await names(vip, 1), { ECONNREFUSED: 1 });
    await api.ask('deleteService', { name: 'web' });
    await until(async () => (await dig('web.default.svc.cluster.local')) === '', { what: 'the name goes' });
    vip = await api.ask<string>('service', { name: 'web', ports: [{ port: 80, targetPort: 8080 }] });
    await api.ask('endpoints', { name: 'web', ips: backendIps, port: 8080 });
    await routed(vip, { b1: 2, b2: 2, b3: 2 }, 'all endpoints in turn');
  });

  it('takes an endpoint out within moments, and says which revision is in effect', async () => {
    const times: number[] = [];
    for (let i = 0; i < 6; i++) {
      const ips = i % 2 === 0 ? backendIps.slice(1) : backendIps;
      const begun = performance.now();
      const revision = await api.ask<string>('endpoints', { name: 'web', ips, port: 8080 });
      await until(
        async () => {
          const metrics = await network.node.run('curl', '-s', 'http://127.0.0.1:9002/metrics');
          const found = /^troupe_proxy_programmed_revision\{resource="endpoints"[^}]*\} (\d+)/m.exec(metrics);
          return found?.[1] === revision;
        },
        { what: `revision ${revision} in effect`, everyMs: 1 },
      );
      times.push(performance.now() - begun);
    }
    process.stderr.write(`      written to in effect: ${times.map((ms) => ms.toFixed(0)).join(' ')} ms\n`);
    assert(Math.min(...times) < 500, `${times.map(Math.round).join(' ')} ms`);
    await routed(vip, { b1: 2, b2: 2, b3: 2 }, 'all endpoints again');
  });

  it('carries traffic while the proxy is dead, and catches up when it is back', async () => {
    await client.ask('hold', { id: 'long', ip: vip, port: 80 });
    await end('proxy', 'SIGKILL');
    assert.deepEqual(await names(vip, 6), { b1: 2, b2: 2, b3: 2 });
    await api.ask('endpoints', { name: 'web', ips: backendIps.slice(0, 2), port: 8080 });
    parts.proxy = start.proxy();
    await routed(vip, { b1: 3, b2: 3 }, 'the endpoints of now');
    await client.ask('say', { id: 'long', text: 'still here' });
    await until(async () => (await client.ask<{ text: string }>('state', { id: 'long' })).text === 'still here', {
      what: 'a connection from before the restart',
    });
  });

  it('serves names and traffic without NATS, and follows changes all the same', async () => {
    await end('nats', 'SIGKILL');
    assert.equal(await dig('web.default.svc.cluster.local'), vip);
    await api.ask('endpoints', { name: 'web', ips: backendIps, port: 8080 });
    await routed(vip, { b1: 2, b2: 2, b3: 2 }, 'a change that no bus carried');
    parts.nats = start.nats();
  });

  it('serves names and traffic from what it knows without the API', async () => {
    await end('apiserver', 'SIGKILL');
    assert.equal(await dig('web.default.svc.cluster.local'), vip);
    assert.deepEqual(await names(vip, 6), { b1: 2, b2: 2, b3: 2 });
    parts.apiserver = start.apiserver();
    await until(() => api.ask('endpoints', { name: 'web', ips: backendIps.slice(2), port: 8080 }), {
      what: 'the API is back',
      timeoutMs: 20_000,
    });
    await routed(vip, { b3: 3 }, 'changes again');
  });

  it('says nothing of the cluster before it knows all of it', async () => {
    await end('apiserver', 'SIGKILL');
    await end('dns', 'SIGTERM');
    parts.dns = start.dns();
    await until(
      async () =>
        (await pod.run('dig', `@${dnsIp}`, '+tries=1', '+time=1', 'web.default.svc.cluster.local')).includes(
          'SERVFAIL',
        ),
      {
        what: 'SERVFAIL until the first snapshot',
        timeoutMs: 15_000,
      },
    );
    parts.apiserver = start.apiserver();
    await until(async () => (await dig('web.default.svc.cluster.local')) === vip, {
      what: 'the name',
      timeoutMs: 20_000,
    });
  });

  it('leaves the rules when it is stopped, and takes them away when told to clean up', async () => {
    await end('proxy', 'SIGTERM');
    assert.deepEqual(await names(vip, 3), { b3: 3 });
    const cleaning = part('proxy', '--cleanup', '--telemetry', '');
    assert.deepEqual(await once(cleaning, 'exit'), [0, null]);
    assert(!(await network.node.run('nft', 'list', 'tables')).includes('troupe_proxy'));
    await end('dns', 'SIGTERM');
    assert((await network.node.run('ip', 'address', 'show', 'dev', 'lo')).includes(dnsIp));
    const clearing = part('dns', '--cleanup', '--ensure-address', dnsIp, '--telemetry', '');
    assert.deepEqual(await once(clearing, 'exit'), [0, null]);
    assert(!(await network.node.run('ip', 'address', 'show', 'dev', 'lo')).includes(dnsIp));
  });
});
