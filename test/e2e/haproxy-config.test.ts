import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../lib/client/client.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { readListener, render, type Endpoints } from '../../examples/haproxy-config/render.ts';
import { DeviceAddresses } from '../../services/load-balancer-controller/addresses.ts';
import { whyNoHaproxy } from '../support/haproxy-host.ts';
import { freePort } from '../support/free-port.ts';
import { startNatsServer, type NatsServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

describe('examples/haproxy-config/render', () => {
  const web: Endpoints = {
    metadata: { namespace: 'default', name: 'web' },
    subsets: [
      { addresses: [{ ip: '10.0.0.3' }, { ip: '10.0.0.2' }], ports: [{ name: 'http', port: 8080 }] },
      { addresses: [{ ip: '10.0.0.9' }], ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] },
    ],
  };
  it('writes a section for each listener, with its endpoints sorted', () => {
    const text = render([readListener('default/web:http=0.0.0.0:80')], new Map([['default/web', web]]));
    assert.match(
      text,
      /listen default:web:http\n {2}bind 0\.0\.0\.0:80\n {2}server 10\.0\.0\.2:8080 10\.0\.0\.2:8080\n {2}server 10\.0\.0\.3:8080 10\.0\.0\.3:8080\n$/,
    );
  });
  it('refuses what it cannot read', () => {
    for (const text of ['web=1:2', 'default/web', 'default/web=x', ''])
      assert.throws(() => readListener(text), /write namespace\/service:port=address:port/);
  });
});

describe('e2e/haproxy-config: a balancer of an integrator follows the events', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'troupe-haproxy-config-'));
  const at = (name: string): string => join(folder, name);
  const programs = new Map<string, ChildProcess>();
  const servers: Server[] = [];
  // The API takes no loopback addresses for Endpoints: these are this machine's as long as the test runs.
  const local = new DeviceAddresses('lo', folder);
  const [a, b] = ['10.164.255.1', '10.164.255.2'];
  let nats: NatsServer;
  let client: Client;
  let port = 0;
  let said = '';

  const start = (name: string, command: string, args: readonly string[]): void => {
    const child = spawn(command, [...args], { stdio: ['ignore', 'ignore', 'pipe'], cwd: process.cwd() });
    child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)));
    programs.set(name, child);
  };
  const end = async (name: string, signal: NodeJS.Signals): Promise<void> => {
    const child = programs.get(name);
    programs.delete(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
  const startExample = (): void => {
    start('example', process.execPath, [
      ...['--import=tsx', 'examples/haproxy-config/main.ts', '--listen', `default/web=127.0.0.1:${port}`],
      ...['--file', at('haproxy.cfg'), '--reload', reload, '--nats', nats.url, '--api', api, '--cluster', 'e2e'],
    ]);
  };
  let [api, reload] = ['', ''];

  before(async function () {
    const why = whyNoHaproxy();
    if (why !== undefined) {
      console.warn(`skipped: ${why}`);
      return this.skip();
    }
    nats = await startNatsServer();
    api = `127.0.0.1:${await freePort()}`;
    port = await freePort();
    start('apiserver', process.execPath, [
      ...['--import=tsx', 'services/apiserver/main.ts', '--listen', api, '--data', at('api'), '--nats', nats.url],
      ...['--cluster', 'e2e', '--log-level', 'warn', '--telemetry', ''],
    ]);
    // The first time there is none to tell.
    reload = `if [ -s ${at('haproxy.pid')} ]; then kill -USR2 $(cat ${at('haproxy.pid')}); else haproxy -W -D -p ${at('haproxy.pid')} -f ${at('haproxy.cfg')}; fi`;
    client = newClient({ address: api });
    await until(() => client.get('namespaces', 'default'), { timeoutMs: 30_000, what: 'the API answers' });
    for (const ip of [a, b]) {
      await local.add(ip);
      await backend(ip);
    }
    startExample();
  });
  after(async () => {
    client?.close();
    await end('example', 'SIGKILL');
    await end('apiserver', 'SIGKILL');
    await nats?.remove();
    for (const server of servers) server.close();
    try {
      process.kill(Number(readFileSync(at('haproxy.pid'), 'utf8')), 'SIGTERM');
    } catch {
      // it was not started
    }
    for (const ip of await local.list()) await local.remove(ip);
    rmSync(folder, { recursive: true, force: true });
  });

  /** A server on the loopback interface that says its number, as an address of Endpoints would. */
  async function backend(ip: string): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(ip);
    });
    await new Promise<void>((resolve) => server.listen(targetPort, ip, resolve));
    targetPort = (server.address() as AddressInfo).port;
    servers.push(server);
  }
  let targetPort = 0;
  const ask = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = createConnection(port, '127.0.0.1');
      let text = '';
      socket.setTimeout(2_000, () => socket.destroy(new Error('timed out')));
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => (text === '' ? reject(new Error('closed')) : resolve(text)));
    });
  const served = (ips: readonly string[], what: string): Promise<true> =>
    until(
      async () => {
        const found = new Set<string>();
        for (let i = 0; i < ips.length * 2; i++) found.add(await ask());
        return found.size === ips.length && ips.every((ip) => found.has(ip)) ? (true as const) : undefined;
      },
      { what: () => `${what}: ${said}`, timeoutMs: 15_000, everyMs: 20 },
    );
  const write = async (ips: readonly string[]): Promise<void> => {
    const subsets = [{ addresses: ips.map((ip) => ({ ip })), ports: [{ port: targetPort, protocol: 'TCP' as const }] }];
    const known = await client.get('endpoints', 'default/web');
    if (known === undefined)
      await client.create('endpoints', { metadata: { name: 'web', namespace: 'default' }, subsets });
    else await client.update('endpoints', { ...known, subsets });
  };

  it('lists at its start, then follows', async () => {
    await write([a]);
    await served([a], 'what was there');
    await write([a, b]);
    await served([a, b], 'one more');
    await write([b]);
    await served([b], 'one less');
  });

  it('notices what it missed while NATS was away', async () => {
    await nats.kill();
    await write([a]);
    assert.equal(await ask(), b, 'the last configuration stays');
    await nats.start();
    await served([a], 'the change made meanwhile');
    await write([a, b]);
    await served([a, b], 'and later ones');
  });

  it('goes on where the truth is after it was killed', async () => {
    await end('example', 'SIGKILL');
    await write([b]);
    startExample();
    await served([b], 'the change made meanwhile');
  });
});
