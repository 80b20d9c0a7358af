import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { LocalAddresses } from './addresses.ts';
import { Balancer } from './balancer.ts';
import { diff, type TableChanges } from './diff.ts';
import type { TrafficRules } from './rules.ts';
import { emptyTable, frontendKey, type Frontend, type ProxyTable, type Target } from './table.ts';
import { openTcp, type OpenFrontend } from './tcp-frontend.ts';
import { openUdp } from './udp-frontend.ts';

export interface UserspaceOptions {
  readonly addresses: LocalAddresses;
  /** How long an open TCP connection to a backend that left may go on. */
  readonly drainMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * This process does the work: a socket for each frontend that has backends, none for one that has none, so that the kernel
 * refuses. Backends see this node as the sender. Traffic stops with the process; new connections go on with the next one.
 */
export class UserspaceRules implements TrafficRules {
  readonly name = 'userspace';
  readonly #options: UserspaceOptions;
  readonly #balancers = new Map<string, Balancer>();
  readonly #open = new Map<string, OpenFrontend>();
  /** Why a frontend is not served, where it should be. */
  readonly #failed = new Map<string, string>();
  /** How many frontends need each address. */
  readonly #addresses = new Map<string, number>();
  #current: ProxyTable = emptyTable;

  constructor(options: UserspaceOptions) {
    this.#options = options;
  }

  /** Connections now open or being opened. */
  get connections(): number {
    return [...this.#open.values()].reduce((sum, each) => sum + each.connections, 0);
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    await this.#reach(table, diff(this.#current, table));
    for (const key of [...this.#failed.keys()]) await this.#settle(key);
  }

  async apply(_before: ProxyTable, after: ProxyTable, changes: TableChanges): Promise<void> {
    await this.#reach(after, changes);
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const wrong = [...this.#failed].map(([key, why]) => `${key} is not served: ${why}`);
    for (const [key, { target }] of expected.frontends) {
      const wanted = servedHere(expected.targets.get(target));
      if (wanted !== this.#open.has(key) && !this.#failed.has(key))
        wrong.push(`${key} should ${wanted ? '' : 'not '}be served`);
    }
    return wrong.slice(0, 10);
  }

  /** Traffic stops with the sockets, so the addresses go too. */
  async close(): Promise<void> {
    await this.#reach(emptyTable, diff(this.#current, emptyTable));
  }

  async cleanup(): Promise<void> {
    await this.close();
    await this.#options.addresses.removeAll();
  }

  async #reach(table: ProxyTable, changes: TableChanges): Promise<void> {
    this.#current = table;
    for (const target of changes.addedTargets)
      this.#balancers.set(target.id, new Balancer(target, this.#options.clock));
    for (const { after } of changes.changedTargets) this.#balancers.get(after.id)?.update(after);
    for (const target of changes.removedTargets) this.#balancers.delete(target.id);

    const touched = new Set(changes.changedTargets.map(({ after }) => after.id));
    const keys = new Set([...changes.removedFrontends, ...changes.addedFrontends].map(frontendKey));
    if (touched.size > 0) for (const [key, { target }] of table.frontends) if (touched.has(target)) keys.add(key);
    for (const frontend of changes.addedFrontends) await this.#need(frontend);
    await Promise.all([...keys].map((key) => this.#settle(key)));
    for (const frontend of changes.removedFrontends) await this.#release(frontend);
  }

  /** Brings one socket into line with the table. A socket that cannot be opened is told and tried again at the next check. */
  async #settle(key: string): Promise<void> {
    const frontend = this.#current.frontends.get(key);
    const balancer = frontend && this.#balancers.get(frontend.target);
    const open = this.#open.get(key);
    this.#failed.delete(key);
    if (frontend === undefined || balancer === undefined || !servedHere(balancer.target)) {
      this.#open.delete(key);
      await open?.close();
      return;
    }
    if (open !== undefined) {
      open.use(balancer);
      open.endOthers(new Set(balancer.target.backends));
      return;
    }
    try {
      const address = frontend.address === '*' ? '0.0.0.0' : frontend.address;
      const options = { ...this.#options, address, port: frontend.port };
      this.#open.set(key, await (frontend.protocol === 'UDP' ? openUdp : openTcp)(options, balancer));
    } catch (error) {
      this.#failed.set(key, messageOf(error));
      this.#options.log.warn({ frontend: key, error }, 'could not serve a frontend');
    }
  }

  async #need({ address }: Frontend): Promise<void> {
    if (address === '*') return;
    const count = this.#addresses.get(address) ?? 0;
    this.#addresses.set(address, count + 1);
    if (count === 0) await this.#change(address, () => this.#options.addresses.add(address));
  }

  async #release({ address }: Frontend): Promise<void> {
    if (address === '*') return;
    const count = this.#addresses.get(address) ?? 1;
    if (count > 1) return void this.#addresses.set(address, count - 1);
    this.#addresses.delete(address);
    await this.#change(address, () => this.#options.addresses.remove(address));
  }

  async #change(address: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.log.warn({ address, error }, 'could not change the addresses of this machine');
    }
  }
}

/** SCTP has no sockets here; nftables serves it. */
const servedHere = (target: Target | undefined): boolean =>
  target !== undefined && target.backends.length > 0 && target.protocol !== 'SCTP';
