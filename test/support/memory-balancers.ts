import type { Key } from '../../lib/api/keys.ts';
import { contains, parseCidr, parseIp } from '../../lib/api/net.ts';
import type { LoadBalancerIngress } from '../../lib/api/objects.ts';
import type { Balancer } from '../../services/load-balancer-controller/balancer.ts';
import type { AddressPool } from '../../services/load-balancer-controller/pool.ts';
import { Refusal, type LoadBalancerProvider } from '../../services/load-balancer-controller/provider.ts';

/** Load balancers that balance only in their own words: for tests of what uses a provider. Held to the providers' contract. */
export class MemoryBalancers implements LoadBalancerProvider {
  readonly name: string;
  /** By Service: what was last asked for, and the address. */
  readonly balancers = new Map<Key, { readonly balancer: Balancer; readonly address: string }>();
  readonly #pool: AddressPool;
  readonly #turns = new Map<string, number>();
  readonly #clients = new Map<string, string>();

  constructor(pool: AddressPool, name = 'example.com/memory') {
    this.#pool = pool;
    this.name = name;
  }

  async open(): Promise<void> {}

  async ensure(balancer: Balancer): Promise<readonly LoadBalancerIngress[]> {
    const foreign = balancer.ports.find(({ protocol }) => protocol !== 'TCP');
    try {
      if (foreign !== undefined) throw new Refusal('ProtocolNotServed', `port ${foreign.port} is not TCP`);
      const address = this.#pool.take(balancer);
      this.balancers.set(balancer.key, { balancer, address });
      return [{ ip: address, ipMode: 'Proxy' }];
    } catch (error) {
      await this.remove(balancer.key);
      throw error;
    }
  }

  async remove(key: Key): Promise<void> {
    this.balancers.delete(key);
    this.#pool.free(key);
  }

  list(): readonly Key[] {
    return [...this.balancers.keys()];
  }

  async release(): Promise<void> {
    this.balancers.clear();
  }

  close(): void {}

  /** The endpoint that a connection from `client` would be carried to; rejects when it would be refused. */
  async connect(address: string, port: number, client = '127.0.0.1'): Promise<string> {
    const found = [...this.balancers.values()].find((each) => each.address === address)?.balancer;
    const backends = found?.ports.find((each) => each.port === port)?.backends ?? [];
    const isIn = (range: string): boolean => {
      const cidr = parseCidr(range);
      return cidr !== undefined && contains(cidr, parseIp(client) ?? 0);
    };
    if (found === undefined || backends.length === 0) throw new Error('refused');
    if (found.sourceRanges.length > 0 && !found.sourceRanges.some(isIn)) throw new Error('refused');
    const known = this.#clients.get(`${address}:${port} ${client}`);
    if (found.affinitySeconds > 0 && known !== undefined && backends.includes(known)) return known;
    const turn = this.#turns.get(found.key) ?? 0;
    this.#turns.set(found.key, turn + 1);
    const backend = backends[turn % backends.length] ?? '';
    this.#clients.set(`${address}:${port} ${client}`, backend);
    return backend;
  }
}
