import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Key } from '../../../lib/api/keys.ts';
import type { LoadBalancerIngress } from '../../../lib/api/objects.ts';
import { backoffMs } from '../../../lib/base/backoff.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import { inRunsOf } from '../../../lib/base/parallel.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { LocalAddresses } from '../addresses.ts';
import type { Balancer } from '../balancer.ts';
import type { AddressPool } from '../pool.ts';
import { Refusal, type LoadBalancerProvider } from '../provider.ts';
import { readShapes, render, sectionOf, shapeOf, type Limits, type Site } from './configuration.ts';
import { HaproxyProcess } from './process.ts';
import { commandsFor, isSettled, readServers } from './servers.ts';
import { ask } from './socket.ts';

export const haproxyClass = 'troupe.dev/haproxy';

export interface HaproxyOptions {
  readonly pool: AddressPool;
  readonly addresses: LocalAddresses;
  /** The program. */
  readonly command: string;
  /** For its configuration, sockets and log. */
  readonly folder: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  /** What was done, for the metrics. */
  onDone?(what: 'reload' | 'change' | 'start', seconds: number): void;
}

/** HAProxy reads a line of at most 16 kB: so many commands with the longest names there are. */
const mostCommands = 16;
const retry = { firstMs: 50, maxMs: 10_000 };

/**
 * Drives one HAProxy on this machine. What is wanted is kept whole; one apply at a time brings HAProxy there, and takes along
 * all that was asked for while the one before was under way. Endpoints change by commands on its socket; only a change of
 * shape (a Service, its address, ports, ranges or affinity) makes it read its configuration again, with its listeners handed on.
 */
export class Haproxy implements LoadBalancerProvider {
  readonly name = haproxyClass;
  readonly #o: HaproxyOptions;
  readonly #process: HaproxyProcess;
  readonly #files: { readonly config: string; readonly worker: string; readonly peers: string };
  readonly #wanted = new Map<Key, Site>();
  /** What HAProxy has, by shape; undefined: it does not run. */
  #effective: Map<Key, Site> | undefined;
  /** Sites whose servers have to be looked at. */
  readonly #doubtful = new Set<Key>();
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #failures = 0;
  #cancelRetry = (): void => undefined;
  #closed = false;

  constructor(options: HaproxyOptions) {
    const { folder, command, clock } = options;
    this.#o = options;
    const at = (name: string): string => join(folder, name);
    this.#files = { config: at('haproxy.cfg'), worker: at('haproxy.sock'), peers: at('peers.sock') };
    const tooLong = Object.values(this.#files).find((path) => Buffer.byteLength(path) > 100);
    if (tooLong !== undefined)
      throw new Error(`--data: the path ${tooLong} is longer than the 100 bytes a socket may have`);
    this.#process = new HaproxyProcess({
      ...{ command, clock, configFile: at('haproxy.cfg'), logFile: at('haproxy.log') },
      ...{ master: at('master.sock'), worker: this.#files.worker },
      onGone: (said) => {
        this.#gone(said);
      },
    });
  }

  async open(): Promise<void> {
    mkdirSync(this.#o.folder, { recursive: true, mode: 0o700 });
    if (!(await this.#process.adopt())) return;
    const servers = readServers(await ask(this.#files.worker, ['show servers state']));
    const sites = readShapes(readFileSync(this.#files.config, 'utf8')).map((site) => ({
      ...site,
      ports: site.ports.map(({ port }) => ({
        port,
        backends: (servers.get(sectionOf(site.key, port)) ?? []).filter(({ open }) => open).map((each) => each.backend),
      })),
    }));
    this.#effective = new Map(sites.map((site) => [site.key, site]));
    for (const site of sites) this.#wanted.set(site.key, site);
    this.#o.log.info({ services: sites.length }, 'found HAProxy running and goes on with it');
  }

  list(): readonly Key[] {
    return [...this.#wanted.keys()];
  }

  /** The statistics of the process that serves, as HAProxy writes them; undefined when none runs. */
  async statistics(): Promise<string | undefined> {
    return this.#effective === undefined ? undefined : ask(this.#files.worker, ['show stat']);
  }

  async ensure(balancer: Balancer): Promise<readonly LoadBalancerIngress[]> {
    const { key } = balancer;
    const foreign = balancer.ports.find(({ protocol }) => protocol !== 'TCP');
    if (foreign !== undefined) {
      await this.remove(key);
      throw new Refusal(
        'ProtocolNotServed',
        `port ${foreign.port}/${foreign.protocol}: HAProxy carries TCP alone; give the Service the loadBalancerClass troupe.dev/proxies`,
      );
    }
    const address = await this.#address(balancer);
    await this.#o.addresses.add(address);
    const former = this.#wanted.get(key);
    const { ports, taken } = await this.#freePorts(balancer, address);
    const { sourceRanges, affinitySeconds } = balancer;
    this.#wanted.set(key, { key, address, ports, sourceRanges, affinitySeconds });
    this.#doubtful.add(key);
    await this.#apply();
    if (former !== undefined && former.address !== address) await this.#letGo(former.address);
    return [{ ip: address, ipMode: 'Proxy', ...(taken.length === 0 ? {} : { ports: taken }) }];
  }

  async remove(key: Key): Promise<void> {
    const site = this.#wanted.get(key);
    if (site === undefined) return this.#o.pool.free(key);
    this.#wanted.delete(key);
    await this.#apply();
    await this.#letGo(site.address);
    this.#o.pool.free(key);
  }

  async release(): Promise<void> {
    this.#wanted.clear();
    await this.#apply();
    await this.#process.stop();
    for (const ip of await this.#o.addresses.list()) await this.#o.addresses.remove(ip);
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
    this.#process.close();
  }

  async #address(balancer: Balancer): Promise<string> {
    try {
      return this.#o.pool.take(balancer);
    } catch (error) {
      if (error instanceof Refusal) await this.remove(balancer.key);
      throw error;
    }
  }

  /** A moment later another site may have it. */
  async #letGo(address: string): Promise<void> {
    if ([...this.#wanted.values()].every((site) => site.address !== address)) await this.#o.addresses.remove(address);
  }

  /**
   * The ports that HAProxy can listen on. One that another program has on all addresses would make HAProxy refuse its whole
   * configuration, so new ones are tried first.
   */
  async #freePorts(balancer: Balancer, address: string) {
    const has = this.#effective?.get(balancer.key);
    const isServed = (port: number): boolean =>
      has?.address === address && has.ports.some((each) => each.port === port);
    const ports = [];
    const taken: { readonly port: number; readonly protocol: 'TCP'; readonly error: string }[] = [];
    for (const { port, backends } of balancer.ports) {
      if (isServed(port) || (await isFree(address, port))) ports.push({ port, backends });
      else taken.push({ port, protocol: 'TCP', error: 'PortInUse' });
    }
    return { ports, taken };
  }

  /** Resolves when everything that is wanted now is in effect. One at a time: whoever asks meanwhile shares the next one. */
  #apply(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined) // whoever asked for that one was told
      .then(() => {
        this.#next = undefined;
        return (this.#running = this.#bringThere());
      });
    return this.#next;
  }

  async #bringThere(): Promise<void> {
    const started = performance.now();
    const wanted = new Map(this.#wanted);
    const doubtful = [...this.#doubtful];
    this.#doubtful.clear();
    try {
      const what = await this.#perform(wanted, doubtful);
      if (what !== undefined) this.#o.onDone?.(what, (performance.now() - started) / 1000);
    } catch (error) {
      for (const key of doubtful) this.#doubtful.add(key);
      throw error;
    }
  }

  async #perform(
    wanted: ReadonlyMap<Key, Site>,
    doubtful: readonly Key[],
  ): Promise<'start' | 'reload' | 'change' | undefined> {
    const has = this.#effective;
    if (wanted.size === 0) {
      if (has !== undefined) await this.#process.stop(); // without a listener it would not run
      this.#effective = undefined;
      return undefined;
    }
    const isSame =
      has?.size === wanted.size &&
      [...wanted.values()].every((site) => {
        const before = has.get(site.key);
        return before !== undefined && shapeOf(before) === shapeOf(site);
      });
    if (isSame) {
      const touched = doubtful.flatMap((key) => wanted.get(key) ?? []);
      return (await this.#settle(touched)) ? 'change' : undefined;
    }
    this.#write(wanted);
    await (has === undefined ? this.#process.start() : this.#process.reload());
    this.#effective = new Map(wanted);
    return has === undefined ? 'start' : 'reload';
  }

  #write(sites: ReadonlyMap<Key, Site>): void {
    const sorted = [...sites.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    writeFileSync(this.#files.config, render(sorted, this.#files, this.#o.limits), { mode: 0o600 });
  }

  /** Brings the servers of some sites to what is wanted, and looks whether they are. Whether there was anything to do. */
  async #settle(sites: readonly Site[]): Promise<boolean> {
    const sections = sites.flatMap(({ key, ports }) =>
      ports.map(({ port, backends }) => ({ name: sectionOf(key, port), backends })),
    );
    if (sections.length === 0) return false;
    const read = async () =>
      readServers(
        sections.length > 8
          ? await ask(this.#files.worker, ['show servers state'])
          : await ask(
              this.#files.worker,
              sections.map(({ name }) => `show servers state ${name}`),
            ),
      );
    const actual = await read();
    const commands = sections.flatMap(({ name, backends }) => commandsFor(name, actual.get(name) ?? [], backends));
    if (commands.length === 0) return false;
    const said: string[] = [];
    for (const some of inRunsOf(mostCommands, commands)) said.push(await ask(this.#files.worker, some));
    const after = await read();
    const wrong = sections.find(({ name, backends }) => !isSettled(after.get(name) ?? [], backends));
    if (wrong !== undefined)
      throw new Error(`HAProxy did not take the endpoints of ${wrong.name}: ${said.join('').trim()}`);
    return true;
  }

  /** HAProxy died: it is started again at once, with what is wanted. */
  #gone(said: string): void {
    if (this.#closed || this.#effective === undefined) return;
    this.#effective = undefined;
    this.#o.log.warn({ said }, 'HAProxy is gone; starting it again');
    this.#startAgain();
  }

  #startAgain(): void {
    this.#apply().then(
      () => {
        this.#failures = 0;
      },
      (error: unknown) => {
        this.#o.log.error({ error: messageOf(error) }, 'HAProxy does not start; trying again');
        if (this.#closed) return;
        this.#cancelRetry = this.#o.clock.after(backoffMs(this.#failures++, retry), () => {
          this.#startAgain();
        });
      },
    );
  }
}

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ host: address, port, exclusive: true }, () =>
      server.close(() => {
        resolve(true);
      }),
    );
  });
}
