import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from '../lib/client/grpc-client.ts';
import { readServers } from '../services/load-balancer-controller/haproxy/servers.ts';
import { ask } from '../services/load-balancer-controller/haproxy/socket.ts';
import { freePort } from '../test/support/free-port.ts';
import { startNatsServer } from '../test/support/nats-server.ts';
import { until } from '../test/support/until.ts';
import { percentile } from './support.ts';
import type { BenchFigure, BenchRow } from './row.ts';

/**
 * How long a change of Endpoints takes until HAProxy sends to the new endpoint, from the call to the API on: real processes (API server on
 * its durable store, NATS, the controller, HAProxy), `services` Services of ten endpoints each, one endpoint of one of them exchanged at a time.
 * HAProxy tells nobody: its socket is asked without a pause, which costs it and the machine something.
 */
async function changes(services: number, count: number): Promise<BenchFigure> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-bench-lb-'));
  const api = `127.0.0.1:${await freePort()}`;
  const nats = await startNatsServer();
  const children: ChildProcess[] = [];
  const part = (name: string, ...args: readonly string[]): ChildProcess => {
    const shared = ['--nats', nats.url, '--cluster', 'benchlb', '--telemetry', '', '--log-level', 'warn'];
    const child = spawn(process.execPath, [`dist/${name}.js`, ...shared, ...args], { stdio: 'inherit' });
    children.push(child);
    return child;
  };
  const balancer = ['--apiserver', api, '--data', join(folder, 'lb'), '--leader-elect=false'];
  const client = newClient({ address: api });
  try {
    part('apiserver', '--listen', api, '--data', join(folder, 'api'));
    await until(() => client.get('namespaces', 'default'), { what: 'the API', timeoutMs: 20_000 });
    for (let i = 0; i < services; i++) {
      const metadata = { name: `s${i}`, namespace: 'default' };
      await client.create('services', { metadata, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } } as never);
      await client.create('endpoints', { metadata, subsets: subsetsOf(0) });
    }
    part('load-balancer-controller', ...balancer, '--pool', '10.164.0.0/20');
    const socket = join(folder, 'lb/haproxy.sock');
    const open = async (): Promise<readonly string[]> =>
      (readServers(await ask(socket, ['show servers state default:s0:80'])).get('default:s0:80') ?? [])
        .filter((server) => server.open)
        .map(({ backend }) => backend);
    const status = async (): Promise<boolean> =>
      (await client.list('services', { namespace: 'default' })).items.every(
        (each) => each.status.loadBalancer?.ingress !== undefined,
      );
    await until(status, { what: 'all Services to have an address', timeoutMs: 60_000, everyMs: 50 });
    await until(async () => (await open()).length === 10, { what: 'HAProxy', timeoutMs: 60_000 });
    const timesMs: number[] = [];
    for (let i = 1; i <= count; i++) {
      const known = await client.get('endpoints', 'default/s0');
      if (known === undefined) throw new Error('the Endpoints are gone');
      const subsets = subsetsOf(i);
      const wanted = `${subsets[0]?.addresses.at(-1)?.ip}:8080`;
      const began = performance.now();
      await client.update('endpoints', { ...known, subsets });
      while (!(await open()).includes(wanted));
      timesMs.push(performance.now() - began);
    }
    return { value: percentile(timesMs, 0.5), extra: { 'p99 ms': percentile(timesMs, 0.99) } };
  } finally {
    client.close();
    for (const child of children.toReversed()) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    const cleanUp = part('load-balancer-controller', ...balancer, '--cleanup');
    await once(cleanUp, 'exit');
    await nats.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nine endpoints that stay, and one that is another each time. */
const subsetsOf = (turn: number) => [
  {
    addresses: [...Array.from({ length: 9 }, (_, i) => `10.165.0.${i + 1}`), `10.165.1.${(turn % 250) + 1}`].map(
      (ip) => ({ ip }),
    ),
    ports: [{ port: 8080, protocol: 'TCP' as const }],
  },
];

export const rows: readonly BenchRow[] = [
  {
    name: 'endpoint changed, until HAProxy sends there, 1 Service',
    unit: 'ms',
    better: 'lower',
    goal: 20,
    run: () => changes(1, 100),
  },
  {
    name: 'the same among 200 Services x 10',
    unit: 'ms',
    better: 'lower',
    goal: 20,
    repeats: 3,
    run: () => changes(200, 100),
  },
];
