import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Netns, TestNetwork } from '../test/support/netns.ts';
import { makeNetwork } from '../test/support/netns.ts';
import { Peer } from '../test/support/netns-peer.ts';
import { aService, anEndpoints } from '../test/support/builders.ts';
import { percentile } from './support.ts';
import type { BenchFigure, BenchRow } from './row.ts';

/** Service traffic: what a change costs, what a virtual address costs, how fast names are answered. */
const host = (name: string): URL => new URL(`./traffic/${name}.ts`, import.meta.url);
const execFileAsync = promisify(execFile);
const vip = '10.96.0.20';
/** One, for every way: a second one would share the cores with the first and with the client. */
const backendIps = ['10.244.0.11'];

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
    const [direct, through]: [Measured[], Measured[]] = [[], []];
    for (let turn = 0; turn < 3; turn++) {
      direct.push(await wrk(client, `http://${backendIps[0]}:8080/`, close, 1));
      through.push(await wrk(client, `http://${vip}/`, close, 1));
    }
    return {
      value: middle(through, 'perSecond'),
      limit: middle(direct, 'perSecond'),
      extra: { 'p99 ms': middle(through, 'p99'), 'direct p99 ms': middle(direct, 'p99') },
    };
  } finally {
    await network.close();
  }
}

/** Each measured in its turn with the others, so that what else the machine does falls on all. */
interface Measured {
  readonly perSecond: number;
  readonly p99: number;
}
const middle = (all: readonly Measured[], what: keyof Measured): number =>
  percentile(
    all.map((each) => each[what]),
    0.5,
  );

/** Userspace by request, against the pod's own address, userspace by connection and HAProxy by request, all in one run. */
async function requestsByRequest(): Promise<BenchFigure> {
  const network = await makeNetwork('bench');
  const folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'));
  try {
    const client = await withBackends(network);
    const rules = await Peer.start(network.node, new URL('../test/contract/proxy/rules-host.ts', import.meta.url));
    await rules.ask('make', { kind: 'userspace', drainMs: 1_000 });
    const ports = (appProtocol?: string) => [
      { port: 80, targetPort: 8080, ...(appProtocol === undefined ? {} : { appProtocol }) },
    ];
    const [http, tcp, haproxy] = ['10.96.0.21', '10.96.0.22', '10.96.0.23'] as const;
    const backends = [{ port: 8080, protocol: 'TCP' as const }];
    await rules.ask('replaceAll', {
      services: [
        aService({ name: 'http', clusterIP: http, ports: ports('http') }),
        aService({ name: 'tcp', clusterIP: tcp, ports: ports() }),
      ],
      endpoints: ['http', 'tcp'].map((name) => anEndpoints({ name, ips: backendIps, ports: backends })),
    });
    await network.node.run('ip', 'address', 'add', `${haproxy}/32`, 'dev', 'lo');
    const file = join(folder, 'haproxy.cfg');
    writeFileSync(file, haproxyConfig(haproxy));
    network.node.spawn('haproxy', ['-db', '-q', '-f', file], { stderr: 'ignore' });
    await wrk(client, `http://${http}/`, false, 2);
    await wrk(client, `http://${haproxy}/`, false, 1);
    const [direct, byRequest, byConnection, other]: [Measured[], Measured[], Measured[], Measured[]] = [[], [], [], []];
    for (let turn = 0; turn < 3; turn++) {
      direct.push(await wrk(client, `http://${backendIps[0]}:8080/`, false, 1));
      byRequest.push(await wrk(client, `http://${http}/`, false, 1));
      byConnection.push(await wrk(client, `http://${tcp}/`, false, 1));
      other.push(await wrk(client, `http://${haproxy}/`, false, 1));
    }
    return {
      value: middle(byRequest, 'perSecond'),
      limit: middle(direct, 'perSecond'),
      extra: {
        'p99 ms': middle(byRequest, 'p99'),
        'by connection /s': middle(byConnection, 'perSecond'),
        'HAProxy /s': middle(other, 'perSecond'),
        'HAProxy p99 ms': middle(other, 'p99'),
      },
    };
  } finally {
    await network.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By request with connections to servers shared, on one thread, as the userspace proxy does it. */
const haproxyConfig = (address: string): string => `
global
  nbthread 1
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout client 30s
  timeout server 30s
  timeout connect 2s
frontend web
  bind ${address}:80
  default_backend web
backend web
  balance roundrobin
${backendIps.map((ip, i) => `  server s${i} ${ip}:8080`).join('\n')}
`;

async function withBackends(network: TestNetwork): Promise<Netns> {
  const client = await network.addPod('10.244.0.10');
  for (const ip of backendIps) {
    const backend = await Peer.start(await network.addPod(ip), host('web-host'));
    await backend.ask('serve', { port: 8080 });
  }
  return client;
}

async function wrk(from: Netns, url: string, close: boolean, seconds: number): Promise<Measured> {
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

/** Asked by `dnsperf`, which takes a fifth of the processor that a client in Node would. */
async function names(inFlight: number): Promise<BenchFigure> {
  const server = await Peer.start(here, host('dns-host'));
  const folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'));
  try {
    const services = 5_000;
    const port = await server.ask<number>('serve', { services });
    const questions = Array.from(
      { length: 65_536 },
      (_, i) => `s${(i * 31) % services}.default.svc.cluster.local ${i % 2 === 0 ? 'A' : 'AAAA'}\n`,
    );
    const file = join(folder, 'questions');
    writeFileSync(file, questions.join(''));
    const run = (seconds: number) => dnsperf(['-p', `${port}`, '-d', file, '-q', `${inFlight}`, '-l', `${seconds}`]);
    await run(1);
    const { perSecond, timesMs, lost } = await run(3);
    return {
      value: perSecond,
      extra: { 'p50 ms': percentile(timesMs, 0.5), 'p99 ms': percentile(timesMs, 0.99), lost },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await server.kill();
  }
}

/** One thread, eight sockets. A question without an answer after a second is lost. */
async function dnsperf(
  flags: readonly string[],
): Promise<{ readonly perSecond: number; readonly timesMs: readonly number[]; readonly lost: number }> {
  const wanted = ['-s', '127.0.0.1', '-c', '8', '-T', '1', '-t', '1', '-v'];
  const { stdout } = await execFileAsync('dnsperf', [...wanted, ...flags], { maxBuffer: 1 << 30, timeout: 60_000 });
  const perSecond = Number(/Queries per second:\s+([0-9.]+)/.exec(stdout)?.[1]);
  if (!(perSecond > 0)) throw new Error(`dnsperf measured nothing: ${stdout.slice(-500)}`);
  const timesMs = [...stdout.matchAll(/^> NOERROR .* ([0-9.]+)$/gm)].map(([, seconds]) => Number(seconds) * 1000);
  return { perSecond, timesMs, lost: Number(/Queries lost:\s+([0-9]+)/.exec(stdout)?.[1]) };
}

/** All at once and none asked again: what is lost is lost in the server. */
async function namesAtOnce(lookups: number): Promise<BenchFigure> {
  const [server, load] = await Promise.all([Peer.start(here, host('dns-host')), Peer.start(here, host('dns-burst'))]);
  try {
    const services = 5_000;
    const port = await server.ask<number>('serve', { services });
    const { lost, wrong, p50, longest, tookMs } = await load.ask<Record<string, number>>('burst', {
      ...{ port, services, lookups, sockets: 1_000, patienceMs: 5_000 },
    });
    if (wrong !== 0) throw new Error(`${wrong} wrong answers`);
    return {
      value: lost ?? NaN,
      extra: { 'p50 ms': p50 ?? NaN, 'longest ms': longest ?? NaN, 'all ms': tookMs ?? NaN },
    };
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
    name: 'requests balanced by request, userspace, against HAProxy',
    ...{ unit: '/s', better: 'higher', repeats: 3 },
    run: requestsByRequest,
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
  {
    name: 'DNS questions lost of 200,000, A and AAAA of 100,000 names at once',
    ...{ unit: 'lost', better: 'lower', goal: 0, repeats: 3 },
    run: () => namesAtOnce(100_000),
  },
];
