import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import { DeviceAddresses } from '../../services/load-balancer-controller/addresses.ts';
import { Haproxy } from '../../services/load-balancer-controller/haproxy/haproxy.ts';
import type { AddressPool } from '../../services/load-balancer-controller/pool.ts';
import { until } from './until.ts';

/** Why HAProxy cannot be tried here; undefined when it can. */
export function whyNoHaproxy(): string | undefined {
  if (process.getuid?.() !== 0) return 'putting addresses on an interface needs root';
  try {
    execFileSync('haproxy', ['-v'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'haproxy is not installed (Debian package haproxy)';
  }
}

/** A real HAProxy with its addresses on the loopback interface, and endpoints that say who they are. */
export class HaproxyHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-lb-'));
  readonly addresses: DeviceAddresses;
  readonly backends: string[] = [];
  /** What was done, in order. */
  readonly done: string[] = [];
  readonly #pool: AddressPool;
  readonly #servers: Server[] = [];
  readonly #open = new Set<Socket>();
  provider: Haproxy;

  private constructor(pool: AddressPool) {
    this.#pool = pool;
    this.addresses = new DeviceAddresses('lo', this.folder);
    this.provider = this.#newProvider();
  }

  static async start(pool: AddressPool, backends = 3): Promise<HaproxyHost> {
    const host = new HaproxyHost(pool);
    for (let i = 0; i < backends; i++) await host.#startBackend();
    return host;
  }

  /** As after a kill -9 of the controller: another instance over the same HAProxy, which knows nothing yet. */
  async reopen(): Promise<void> {
    this.provider.close();
    this.provider = this.#newProvider();
    await this.provider.open();
  }

  /** The first line that a new connection is sent: the endpoint's name. */
  async connect(address: string, port: number, client?: string): Promise<string> {
    // One that was taken off the machine would be sought elsewhere.
    if (!(await this.addresses.list()).includes(address)) throw new Error(`${address} is no address of this machine`);
    const { line, socket } = await this.hold(address, port, client);
    socket.destroy();
    return line;
  }

  /** As `connect`; the connection stays open, and the endpoint sends back what it is sent. */
  hold(address: string, port: number, client?: string): Promise<{ readonly line: string; readonly socket: Socket }> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({
        host: address,
        port,
        ...(client === undefined ? {} : { localAddress: client }),
      });
      socket.setTimeout(20_000, () => socket.destroy(new Error('timed out')));
      socket.once('data', (line: Buffer) => {
        socket.setTimeout(0);
        resolve({ line: line.toString().trim(), socket });
      });
      socket.on('error', reject);
      socket.once('close', () => {
        reject(new Error('closed'));
      });
    });
  }

  /** The process that watches and the one that serves, once those of former configurations have ended. */
  pids(): Promise<{ readonly master: number; readonly worker: number }> {
    const read = (): { master: number; worker: number } | undefined => {
      const found = execFileSync('pgrep', ['-f', join(this.folder, 'haproxy.cfg')])
        .toString()
        .trim()
        .split('\n');
      const all = found.map((pid) => ({ pid: Number(pid), parent: parentOf(Number(pid)) }));
      const master = all.find(({ parent }) => all.every(({ pid }) => pid !== parent));
      const workers = all.filter(({ parent }) => parent === master?.pid);
      const [worker] = workers;
      return master === undefined || worker === undefined || workers.length > 1
        ? undefined
        : { master: master.pid, worker: worker.pid };
    };
    return until(read, { what: 'HAProxy has one process that serves', timeoutMs: 20_000 });
  }

  async stop(): Promise<void> {
    try {
      await this.provider.release();
    } finally {
      this.provider.close();
      for (const socket of this.#open) socket.destroy();
      for (const server of this.#servers) server.close();
      for (const ip of await this.addresses.list()) await this.addresses.remove(ip);
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  #newProvider(): Haproxy {
    return new Haproxy({
      ...{ pool: this.#pool, addresses: this.addresses, command: 'haproxy', folder: this.folder },
      ...{ limits: { maxConnections: 1_000, idleSeconds: 60 }, clock: systemClock, log: silentLog },
      onDone: (what) => this.done.push(what),
    });
  }

  async #startBackend(): Promise<void> {
    const server = createServer((socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      socket.on('error', () => undefined);
      socket.write(`${name}\n`);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#servers.push(server);
    this.backends.push(name);
  }
}

/** The fourth field of proc(5)'s stat, behind a name that may have any characters. */
function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}
