import { spawn } from 'node:child_process';
import type { Netns, TestNetwork } from '../test/support/netns.ts';
import { makeNetwork } from '../test/support/netns.ts';
import { Peer } from '../test/support/netns-peer.ts';
import { aService, anEndpoints } from '../test/support/builders.ts';
import { percentile } from './support.ts';
import type { BenchFigure, BenchRow } from './row.ts';

/** Service traffic: what a change costs, what a virtual address costs, how fast names are answered. */
const host = (name: string): URL => new URL(`./traffic/${name}.ts`, import.meta.url);
const vip = '10.96.0.20';
const backendIps = ['10.244.0.11', '10.244.0.12'];

async function kernelChanges(services: number, changes: number): Promise<BenchFigure> {
  const network = await makeNetwork('bench');
  try {
    const kernel = await Peer.start(network.node, host('kernel-host'));
    const { timesMs, wholeMs, checkMs } = await kernel.ask<{ timesMs: number[]; wholeMs: number; checkMs: number }>(
      'measure',
      { services, endpoints: 10, changes },
    );
    return {
      value: percentile(timesMs, 0.5),
      extra: { 'p99 ms': percentile(timesMs, 0.99), 'whole table ms': wholeMs, 'drift check ms': checkMs },
    };
  } finally {
    await network.close();
  }
}

/** The way to the pods that a row measures; its natural limit is the pod's own address, measured right before. */
async function requests(kind: 'nftables' | 'userspace', close: boolean): Promise<BenchFigure> {
  const network = await makeNetwork('bench');
  try {
    const client = await withBackends(network);
    const rules = await Peer.start(network.node, new URL('../test/contract/proxy/rules-host.ts', import.meta.url));
    await rules.ask('make', { kind, drainMs: 1_000 });
    await rules.ask('replaceAll', {
      services: [aService({ clusterIP: vip, ports: [{ port: 80, targetPort: 8080 }] })],
      endpoints: [anEndpoints({ ips: backendIps, ports: [{ port: 8080, protocol: 'TCP' }] })],
    });
    await wrk(client, `http://${vip}/`, close, 1);
    const direct = await wrk(client, `http://${backendIps[0]}:8080/`, close, 3);
    const through = await wrk(client, `http://${vip}/`, close, 3);
    return {
      value: through.perSecond,
      limit: direct.perSecond,
      extra: { 'p99 ms': through.p99, 'direct p99 ms': direct.p99 },
    };
  } finally {
    await network.close();
  }
}

async function withBackends(network: TestNetwork): Promise<Netns> {
  const client = await network.addPod('10.244.0.10');
  for (const ip of backendIps) {
    const backend = await Peer.start(await network.addPod(ip), host('web-host'));
    await backend.ask('serve', { port: 8080 });
  }
  return client;
}

async function wrk(
  from: Netns,
  url: string,
  close: boolean,
  seconds: number,
): Promise<{ perSecond: number; p99: number }> {
  const flags = ['-t1', '-c32', `-d${seconds}s`, '--latency', ...(close ? ['-H', 'Connection: close'] : [])];
  const said = await from.run('wrk', ...flags, url);
  const perSecond = Number(/Requests\/sec:\s+([0-9.]+)/.exec(said)?.[1]);
  const [, number = 'NaN', unit = 'ms'] = /99%\s+([0-9.]+)(us|ms|s)/.exec(said) ?? [];
  const scale = unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1;
  if (!(perSecond > 0)) throw new Error(`wrk measured nothing: ${said}`);
  return { perSecond, p99: Number(number) * scale };
}

/** Runs in the machine's own network: loopback needs no other. */
const here: Netns = {
  name: 'here',
  enter: [],
  run: () => Promise.reject(new Error('not used')),
  spawn: (command, args) => spawn(command, [...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
};

async function names(inFlight: number): Promise<BenchFigure> {
  const [server, load] = await Promise.all([Peer.start(here, host('dns-host')), Peer.start(here, host('dns-load'))]);
  try {
    const services = 5_000;
    const port = await server.ask<number>('serve', { services });
    const run = (seconds: number) =>
      load.ask<{ perSecond: number; p50: number; p99: number; lost: number }>('load', {
        ...{ port, services, inFlight, seconds },
      });
    await run(1);
    const { perSecond, p50, p99, lost } = await run(3);
    return { value: perSecond, extra: { 'p50 ms': p50, 'p99 ms': p99, lost } };
  } finally {
    await Promise.all([server.kill(), load.kill()]);
  }
}

export const rows: BenchRow[] = [
  {
    name: 'one endpoint changed in the kernel, 50 services of 10',
    ...{ unit: 'ms', better: 'lower', goal: 5, repeats: 3 },
    run: () => kernelChanges(50, 200),
  },
  {
    name: 'one endpoint changed in the kernel, 5,000 services of 10',
    ...{ unit: 'ms', better: 'lower', goal: 20, repeats: 3 },
    run: () => kernelChanges(5_000, 100),
  },
  {
    name: 'requests through a virtual address, nftables',
    ...{ unit: '/s', better: 'higher', repeats: 5 },
    run: () => requests('nftables', false),
  },
  {
    name: 'new connections through a virtual address, nftables',
    ...{ unit: '/s', better: 'higher', repeats: 5 },
    run: () => requests('nftables', true),
  },
  {
    name: 'requests through a virtual address, userspace',
    ...{ unit: '/s', better: 'higher', repeats: 3 },
    run: () => requests('userspace', false),
  },
  {
    name: 'new connections through a virtual address, userspace',
    ...{ unit: '/s', better: 'higher', repeats: 3 },
    run: () => requests('userspace', true),
  },
  {
    name: 'DNS questions about 5,000 services, 64 at a time',
    ...{ unit: '/s', better: 'higher', goal: 30_000, repeats: 3 },
    run: () => names(64),
  },
];
