import { NetworkError } from './pod-network.ts';

/**
 * The addresses of one IPv4 range, each held by one owner. The first two and the last are never given out. An address
 * that was given back is not given again before all others have been: whoever still talks to it should meet nobody new.
 */
export class AddressPool {
  readonly cidr: string;
  readonly #first: number;
  readonly #count: number;
  readonly #byOwner = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next: number;

  constructor(cidr: string) {
    const found = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
    const bits = Number(found?.[5] ?? -1);
    if (found === null || bits < 8 || bits > 29) {
      throw new NetworkError(`the node's pod range "${cidr}" must be an IPv4 range between /8 and /29`);
    }
    const base = numberOf(cidr.slice(0, cidr.indexOf('/')));
    const size = 2 ** (32 - bits);
    this.cidr = cidr;
    this.#first = Math.floor(base / size) * size + 2;
    this.#count = size - 3;
    this.#next = this.#first;
  }

  /** The owner's address, a new one where it has none. Throws NetworkError when all are taken. */
  take(owner: string): string {
    const held = this.#byOwner.get(owner);
    if (held !== undefined) return textOf(held);
    for (let tried = 0; tried < this.#count; tried++) {
      const address = this.#next;
      this.#next = address + 1 < this.#first + this.#count ? address + 1 : this.#first;
      if (this.#taken.has(address)) continue;
      this.#hold(owner, address);
      return textOf(address);
    }
    throw new NetworkError(`all ${this.#count} pod addresses of ${this.cidr} are in use`);
  }

  /** Notes that an owner has an address already. One from outside the range is kept all the same: its pod runs. */
  adopt(owner: string, ip: string): void {
    const address = numberOf(ip);
    this.#hold(owner, address);
    if (address >= this.#next && address < this.#first + this.#count) this.#next = address + 1;
    if (this.#next >= this.#first + this.#count) this.#next = this.#first;
  }

  /** The address that an owner has. */
  held(owner: string): string | undefined {
    const address = this.#byOwner.get(owner);
    return address === undefined ? undefined : textOf(address);
  }

  /** Makes the address of one owner that of another. */
  hand(from: string, to: string): void {
    const address = this.#byOwner.get(from);
    if (address === undefined || from === to) return;
    this.#byOwner.delete(from);
    this.#hold(to, address);
  }

  /** Gives the owner's address back. */
  release(owner: string): void {
    const address = this.#byOwner.get(owner);
    if (address === undefined) return;
    this.#byOwner.delete(owner);
    this.#taken.delete(address);
  }

  #hold(owner: string, address: number): void {
    this.release(owner);
    this.#byOwner.set(owner, address);
    this.#taken.add(address);
  }
}

const numberOf = (ip: string): number => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const textOf = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
