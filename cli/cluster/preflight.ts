import { accessSync, constants, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { partsOf } from './layout.ts';
import type { ClusterOptions } from './part.ts';
import { notReady } from './ready.ts';

/** Everything that would keep the cluster from starting on this machine, a sentence each with what to do; empty when nothing would. */
export async function obstacles(options: ClusterOptions, isInstalled = onPath): Promise<readonly string[]> {
  const found: string[] = [];
  if (process.getuid?.() !== 0) found.push('Pods need network namespaces and kernel rules: run this as root.');
  for (const [program, debianPackage] of [
    ['nats-server', 'nats-server'],
    ...(options.ownEngine ? [['dockerd', 'docker.io']] : []),
    ...(options.loadBalancerPool === '' ? [] : [['haproxy', 'haproxy']]),
    ['nft', 'nftables'],
    ['conntrack', 'conntrack'],
    ['ip', 'iproute2'],
  ] as const) {
    if (!isInstalled(program ?? ''))
      found.push(`The program ${program} is missing: apt-get install ${debianPackage} (npm start does it by itself).`);
  }
  if (!existsSync(join(options.distDir, 'apiserver.js')))
    found.push('The services are not built: npm run build (npm start does it by itself).');
  const ports = [
    { port: options.apiPort, what: 'the API', flag: '--port' },
    { port: options.httpsPort, what: 'the REST API', flag: '--https-port' },
    { port: options.natsPort, what: 'the event bus', flag: '--nats-port' },
    { port: options.natsPort + 4000, what: "the event bus's monitor", flag: '--nats-port' },
    ...partsOf(options).flatMap(({ telemetry }) =>
      telemetry === undefined
        ? []
        : [{ port: Number(telemetry.split(':').at(-1)), what: 'metrics and health', flag: '--telemetry-port' }],
    ),
  ];
  const taken = [];
  for (const each of ports) if (!(await isFree(options.host, each.port))) taken.push(each);
  for (const what of new Set(taken.map((each) => each.what))) {
    const same = taken.filter((each) => each.what === what);
    const numbers = same.map(({ port }) => port).join(', ');
    found.push(
      `Port ${numbers} on ${options.host}, wanted for ${what}, is taken by another process: stop it, or choose another with ${same[0]?.flag ?? ''}.`,
    );
  }
  return found;
}

export const onPath = (program: string): boolean =>
  [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Whether an engine answers on this socket. */
export const engineAnswers = async (socket: string): Promise<boolean> =>
  existsSync(socket) && (await notReady({ kind: 'socket', path: socket, request: '/_ping' })) === undefined;

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, host, () =>
      server.close(() => {
        resolve(true);
      }),
    );
  });
}
