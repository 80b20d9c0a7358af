import type { Key } from '../../../lib/api/keys.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import { diff, type TableChanges } from '../table/diff.ts';
import type { TrafficRules } from '../rules.ts';
import { emptyTable, frontendKey, type Frontend, type ProxyTable, type Target } from '../table/table.ts';
import type { LocalAddresses } from './addresses.ts';
import type { Carried, CarrierOptions } from './carried.ts';
import { HttpCarrier } from './http/http-carrier.ts';
import { PolicyCarried } from './policy-carrier.ts';
import { TcpCarried } from './tcp-carrier.ts';
import { carriedBy } from './service-traffic.ts';
import { tallyText } from './tally.ts';
import { insideOf, Sides } from './sides.ts';
import { openTcp, type Carrier, type OpenFrontend } from './tcp-frontend.ts';
import { openUdp } from './udp-frontend.ts';
import { Upstream, type UpstreamOptions } from './upstream.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface UserspaceOptions extends Omit<CarrierOptions, 'waiting'>, UpstreamOptions {
  readonly addresses: LocalAddresses;
  /** Addresses of pods, which are inside; empty: none are known. */
  readonly clusterCidr: string;
  readonly log: Log;
  /** Told of a target (by its id) that cannot be had here, and why; again whenever its frontends are looked at. */
  readonly onUnserved?: (target: string, why: string) => void;
  /** Told of Services that clients wait for: at once, and every second as long as they do. */
  readonly onWanted?: (services: readonly Key[]) => void;
  /** Told of a target whose client did not get a backend, although it may wait, and why. */
  readonly onInVain?: (target: string, why: string) => void;
}

/**
 * This process does the work: a socket for each frontend that has backends, or may wait for one, none for others, so that the kernel
 * refuses. Backends see this node as the sender. Traffic stops with the process; new connections go on with the next one.
 */
export class UserspaceRules implements TrafficRules {
  readonly name = 'userspace';
  readonly #options: UserspaceOptions & CarrierOptions;
  readonly #http: HttpCarrier;
  readonly #isInside: (client: string, to: string) => boolean;
  /** By target; made when first needed. */
  readonly #upstreams = new Map<string, Upstream>();
  readonly #open = new Map<string, OpenFrontend>();
  /** Why a frontend cannot be served here at all, until its service changes. */
  readonly #unserved = new Map<string, string>();
  /** Frontends without backends now, whose connections have not ended yet. */
  readonly #resting = new Set<OpenFrontend>();
  /** Why a frontend is not served, where it should be. */
  readonly #failed = new Map<string, string>();
  /** How many frontends need each address. */
  readonly #addresses = new Map<string, number>();
  /** The target of a service port by which a policy asked for it. */
  readonly #siblings = new Map<string, string | undefined>();
  #current: ProxyTable = emptyTable;

  constructor(options: UserspaceOptions) {
    const { clock, onWanted, onInVain } = options;
    this.#options = { ...options, waiting: new WaitingRoom({ clock, onWanted, onInVain }) };
    this.#http = new HttpCarrier(this.#options);
    this.#isInside = insideOf(options.clusterCidr);
  }

  /** Connections now open or being opened. */
  get connections(): number {
    return [...this.#open.values()].reduce((sum, each) => sum + each.connections, 0);
  }

  /** What each service port has carried, in the form of Prometheus. */
  figures(): string {
    const unserved = `# TYPE troupe_proxy_unserved gauge\ntroupe_proxy_unserved ${this.#unserved.size}\n`;
    return unserved + tallyText([...this.#upstreams.values()].map((each) => each.told()));
  }

  /** By Service: what it carried over all its ports, from inside and outside. Those that are not served here are left out. */
  async carried(services: ReadonlySet<Key>): Promise<readonly ServiceTraffic[]> {
    return carriedBy(services, this.#current, this.#upstreams);
  }

  /** Frontends that are refused because what their service asks for cannot be had here, and why. */
  get unserved(): ReadonlyMap<string, string> {
    return this.#unserved;
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    await this.#reach(table, diff(this.#current, table));
    for (const key of [...this.#failed.keys()]) await this.#settle(key);
  }

  async apply(_before: ProxyTable, after: ProxyTable, changes: TableChanges): Promise<void> {
    await this.#reach(after, changes);
  }

  async cut(ips: readonly string[]): Promise<void> {
    const dead = new Set(ips);
    for (const upstream of this.#upstreams.values()) upstream.cut(dead);
  }

  async settled(): Promise<void> {
    // Connections move in the same turn as the table.
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const wrong = [...this.#failed].map(([key, why]) => `${key} is not served: ${why}`);
    for (const [key, frontend] of expected.frontends) {
      if (frontend.inside === true) continue;
      const wanted = this.#isServed(frontend.target) || this.#isServed(this.#insideOf(frontend)?.id);
      if (wanted !== this.#open.has(key) && !this.#failed.has(key))
        wrong.push(`${key} should ${wanted ? '' : 'not '}be served`);
    }
    return wrong.slice(0, 10);
  }

  /** Traffic stops with the sockets, so the addresses go too. */
  async close(): Promise<void> {
    await this.#reach(emptyTable, diff(this.#current, emptyTable));
    await Promise.all([...this.#resting].map((each) => each.close(false)));
  }

  async cleanup(): Promise<void> {
    await this.close();
    await this.#options.addresses.removeAll();
  }

  async #reach(table: ProxyTable, changes: TableChanges): Promise<void> {
    this.#current = table;
    this.#siblings.clear();
    for (const { after } of changes.changedTargets) this.#upstreams.get(after.id)?.update(after);
    for (const { id } of changes.removedTargets) {
      this.#upstreams.get(id)?.close();
      this.#upstreams.delete(id);
    }
    const touched = new Set(changes.changedTargets.map(({ after }) => after.id));
    const keys = new Set([...changes.removedFrontends, ...changes.addedFrontends].map(socketKey));
    if (touched.size > 0)
      for (const frontend of table.frontends.values()) if (touched.has(frontend.target)) keys.add(socketKey(frontend));
    for (const frontend of changes.addedFrontends) await this.#need(frontend);
    await Promise.all([...keys].map((key) => this.#settle(key)));
    for (const frontend of changes.removedFrontends) await this.#release(frontend);
  }

  /** Brings one socket into line with the table. A socket that cannot be opened is told and tried again at the next check. */
  async #settle(key: string): Promise<void> {
    const frontend = this.#current.frontends.get(key);
    const open = this.#open.get(key);
    const inner = frontend && this.#insideOf(frontend);
    this.#failed.delete(key);
    this.#unserved.delete(key);
    if (frontend === undefined || !(this.#isServed(frontend.target) || this.#isServed(inner?.id))) {
      this.#open.delete(key);
      // Where nobody may connect any more, nobody stays.
      const target = frontend && this.#current.targets.get(frontend.target);
      if (open !== undefined) await this.#end(open, target !== undefined && target.sources?.length !== 0);
      if (frontend !== undefined) this.#tellFault(key, frontend);
      return;
    }
    const outer = this.#upstreamOf(frontend.target);
    if (outer === undefined) return;
    const sides = new Sides(outer, inner === undefined ? undefined : this.#upstreamOf(inner.id), this.#isInside);
    if (open !== undefined) return open.use(sides);
    try {
      const address = frontend.address === '*' ? '0.0.0.0' : frontend.address;
      const options = { ...this.#options, address, port: frontend.port };
      const opening = frontend.protocol === 'UDP' ? openUdp(options, sides) : openTcp(options, sides, this.#carry);
      this.#open.set(key, await opening);
    } catch (error) {
      this.#failed.set(key, messageOf(error));
      this.#options.log.warn({ frontend: key, error }, 'could not serve a frontend');
    }
  }

  /** With `drain` it accepts nothing more, and what is open there ends when it may. */
  async #end(open: OpenFrontend, drain: boolean): Promise<void> {
    const ended = open.close(drain);
    if (!drain) return ended;
    this.#resting.add(open);
    void ended.then(() => this.#resting.delete(open));
  }

  readonly #carry: Carrier = (client, upstream, options): Carried | undefined => {
    if (upstream.fault !== undefined) return undefined;
    if (upstream.serving !== undefined)
      return new PolicyCarried(client, upstream, this.#sibling).begin(upstream.serving, options);
    if (upstream.target.carriage?.byRequest === true) return this.#http.carry(client, upstream);
    return new TcpCarried(client, upstream, options);
  };

  readonly #sibling = (namespace: string, service: string, port: number | undefined): Upstream | undefined => {
    const asked = `${namespace}/${service}/${port ?? ''}`;
    if (!this.#siblings.has(asked)) {
      const prefix = `${namespace}/${service}/tcp/${port ?? ''}`;
      const found = [...this.#current.targets.keys()].filter((id) =>
        port === undefined ? id.startsWith(prefix) && id.split('/').length === 4 : id === prefix,
      );
      this.#siblings.set(asked, found.length === 1 ? found[0] : undefined);
    }
    const id = this.#siblings.get(asked);
    return id === undefined ? undefined : this.#upstreamOf(id);
  };

  #upstreamOf(id: string): Upstream | undefined {
    const target = this.#current.targets.get(id);
    let upstream = this.#upstreams.get(id);
    if (upstream === undefined && target !== undefined)
      this.#upstreams.set(id, (upstream = new Upstream(target, this.#options)));
    return upstream;
  }

  /** The target for those inside, where a frontend has one of its own for them. */
  #insideOf({ address, port, protocol }: Frontend): Target | undefined {
    const inside = this.#current.frontends.get(frontendKey({ address, port, protocol, inside: true }));
    return inside && this.#current.targets.get(inside.target);
  }

  /** SCTP has no sockets here; the kernel's modes serve it. */
  #isServed(id: string | undefined): boolean {
    const target = id === undefined ? undefined : this.#current.targets.get(id);
    if (target === undefined || target.protocol === 'SCTP') return false;
    if (target.sources?.length === 0) return false;
    if (target.backends.length === 0 && target.carriage?.holdSeconds === undefined) return false;
    const upstream = this.#upstreamOf(target.id);
    return upstream?.fault === undefined && (target.backends.length > 0 || upstream?.holdMs !== undefined);
  }

  #tellFault(key: string, { target: id }: Frontend): void {
    const target = this.#current.targets.get(id);
    if (target === undefined || target.backends.length === 0) return;
    const why = target.protocol === 'SCTP' ? noSctp : this.#upstreams.get(id)?.fault;
    if (why === undefined) return;
    this.#unserved.set(key, why);
    this.#options.log.warn({ frontend: key, target: id, why }, 'a frontend cannot be served');
    this.#options.onUnserved?.(id, why);
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

const noSctp = 'a proxy in userspace mode has no SCTP; nodes with nftables or iptables serve it';

/** One socket serves those inside and those outside. */
const socketKey = ({ address, port, protocol }: Frontend): string => frontendKey({ address, port, protocol });
