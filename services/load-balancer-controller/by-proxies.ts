import type { Key } from '../../lib/api/keys.ts';
import type { LoadBalancerIngress } from '../../lib/api/objects.ts';
import type { LocalAddresses } from './addresses.ts';
import type { Balancer } from './balancer.ts';
import type { AddressPool } from './pool.ts';
import type { LoadBalancerProvider } from './provider.ts';

export const byProxiesClass = 'troupe.dev/proxies';

/**
 * Gives a Service an address of the pool and lets this machine answer for it; the node's proxy takes what is sent there, as
 * for any external address, with its source ranges and traffic policy. For what a proxy of connections cannot do: UDP and
 * SCTP, and endpoints that are to see who the client is.
 */
export class ByProxies implements LoadBalancerProvider {
  readonly name = byProxiesClass;
  readonly #pool: AddressPool;
  readonly #addresses: LocalAddresses;
  readonly #given = new Map<Key, string>();

  constructor(pool: AddressPool, addresses: LocalAddresses) {
    this.#pool = pool;
    this.#addresses = addresses;
  }

  async open(): Promise<void> {
    // Addresses of former lives are found by `AddressSweep`; the Services tell the rest.
  }

  async ensure(balancer: Balancer): Promise<readonly LoadBalancerIngress[]> {
    const { key } = balancer;
    const ip = this.#pool.take(balancer);
    const former = this.#given.get(key);
    await this.#addresses.add(ip);
    this.#given.set(key, ip);
    if (former !== undefined && former !== ip) await this.#addresses.remove(former);
    return [{ ip, ipMode: 'VIP' }];
  }

  async remove(key: Key): Promise<void> {
    const ip = this.#given.get(key);
    if (ip === undefined) return;
    await this.#addresses.remove(ip);
    this.#given.delete(key);
    this.#pool.free(key);
  }

  list(): readonly Key[] {
    return [...this.#given.keys()];
  }

  async release(): Promise<void> {
    for (const ip of this.#given.values()) await this.#addresses.remove(ip);
    this.#given.clear();
  }

  close(): void {
    // It holds nothing.
  }
}
