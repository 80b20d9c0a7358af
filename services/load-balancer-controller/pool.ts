import type { Key } from '../../lib/api/keys.ts';
import { contains, formatCidr, formatIp, parseIp, sizeOf, type Cidr } from '../../lib/api/net.ts';
import type { Balancer } from './balancer.ts';
import { Refusal } from './provider.ts';

/** A Service whose status tells clients of an address. */
export interface Holder {
  readonly key: Key;
  readonly since: string;
  readonly ip: string;
}

/**
 * The addresses for load balancers. Which are given is written in the status of the Services alone (`holders`); what is given
 * and not yet written there is remembered here. Never one address to two.
 */
export class AddressPool {
  readonly #blocks: readonly Cidr[];
  readonly #holders: () => Iterable<Holder>;
  readonly #given = new Map<Key, string>();
  /** Addresses that were let go, the longest ago first: they are given again last. */
  readonly #resting = new Set<string>();

  constructor(blocks: readonly Cidr[], holders: () => Iterable<Holder>) {
    this.#blocks = blocks;
    this.#holders = holders;
  }

  has(ip: string): boolean {
    const parsed = parseIp(ip);
    return parsed !== undefined && this.#blocks.some((block) => contains(block, parsed) && isUsable(block, parsed));
  }

  /** The address of a balancer: the one it asks for, the one it holds, or a free one. Throws Refusal when there is none for it. */
  take(balancer: Pick<Balancer, 'key' | 'since' | 'asked' | 'held'>): string {
    const { key, asked, held } = balancer;
    const taken = this.#takenFrom(balancer);
    const given = this.#given.get(key);
    if (asked !== undefined) {
      if (!this.has(asked))
        throw new Refusal(
          'AddressNotInPool',
          `loadBalancerIP ${asked} is not an address of the pool (${this.#text()}); ask for one of them, or for none`,
        );
      const other = taken.get(asked);
      if (other !== undefined)
        throw new Refusal(
          'AddressTaken',
          `loadBalancerIP ${asked} is that of the Service ${other}; ask for another one`,
        );
      return this.#give(key, asked);
    }
    for (const own of [given, held])
      if (own !== undefined && this.has(own) && !taken.has(own)) return this.#give(key, own);
    const free = this.#free(taken);
    if (free === undefined)
      throw new Refusal(
        'PoolExhausted',
        `all addresses of the pool (${this.#text()}) are given; delete a Service of type LoadBalancer, or start the load-balancer-controller with a larger --pool`,
      );
    return this.#give(key, free);
  }

  /** Whether a balancer has it, or a Service tells of it. */
  isGiven(ip: string): boolean {
    for (const given of this.#given.values()) if (given === ip) return true;
    for (const holder of this.#holders()) if (holder.ip === ip) return true;
    return false;
  }

  /** The balancer is no more. */
  free(key: Key): void {
    const ip = this.#given.get(key);
    if (ip === undefined) return;
    this.#given.delete(key);
    this.#resting.delete(ip);
    this.#resting.add(ip);
  }

  #give(key: Key, ip: string): string {
    if (this.#given.get(key) !== ip) this.free(key);
    this.#given.set(key, ip);
    return ip;
  }

  /** Whose the addresses are, as far as this balancer may not have them. The older one of two that hold the same keeps it. */
  #takenFrom({ key, since }: Pick<Balancer, 'key' | 'since'>): Map<string, Key> {
    const taken = new Map<string, Key>();
    for (const holder of this.#holders()) {
      if (holder.key === key || this.#given.get(key) === holder.ip) continue;
      if (this.#given.has(holder.key) && this.#given.get(holder.key) !== holder.ip) continue; // it has moved
      const isOlder = holder.since === since ? holder.key < key : holder.since < since;
      if (isOlder || this.#given.get(holder.key) === holder.ip || !this.#isHeld(key, holder.ip))
        taken.set(holder.ip, holder.key);
    }
    for (const [other, ip] of this.#given) if (other !== key) taken.set(ip, other);
    return taken;
  }

  #isHeld(key: Key, ip: string): boolean {
    for (const holder of this.#holders()) if (holder.key === key && holder.ip === ip) return true;
    return false;
  }

  #free(taken: ReadonlyMap<string, Key>): string | undefined {
    for (const block of this.#blocks)
      for (let ip = block.base; ip < block.base + sizeOf(block); ip++) {
        const text = formatIp(ip);
        if (isUsable(block, ip) && !taken.has(text) && !this.#resting.has(text)) return text;
      }
    for (const text of this.#resting) if (!taken.has(text) && this.has(text)) return text;
    return undefined;
  }

  #text(): string {
    return this.#blocks.map(formatCidr).join(', ');
  }
}

/** The first and the last address of a network are nobody's own. */
const isUsable = (block: Cidr, ip: number): boolean =>
  block.bits >= 31 || (ip !== block.base && ip !== block.base + sizeOf(block) - 1);
