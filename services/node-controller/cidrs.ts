import { formatCidr, nthSubnet, parseCidr, subnetCount, type Cidr } from '../../lib/api/net.ts';

/**
 * Which node has which part of the cluster's pod addresses. A node keeps what it has until `release`; asking again for the
 * same node gives the same block, so that a write whose answer was lost cannot lead to two.
 */
export class CidrPool {
  readonly #cluster: Cidr;
  readonly #bits: number;
  readonly #owners = new Map<number, string>();
  readonly #blocks = new Map<string, number>();
  #next = 0;

  constructor(cluster: Cidr, bits: number) {
    this.#cluster = cluster;
    this.#bits = bits;
  }

  get size(): number {
    return subnetCount(this.#cluster, this.#bits);
  }

  /** The block of a node, given now if it has none; undefined when all are given away. */
  assign(node: string): string | undefined {
    const known = this.#blocks.get(node) ?? this.#free();
    if (known === undefined) return undefined;
    this.#take(known, node);
    return formatCidr(nthSubnet(this.#cluster, this.#bits, known));
  }

  /**
   * Notes the block that a node has. It counts even when it is not one of ours: what overlaps it is not given to others.
   * The name of the node that has it already, if there is one.
   */
  occupy(node: string, text: string): string | undefined {
    const cidr = parseCidr(text);
    if (cidr === undefined) return undefined;
    const size = 2 ** (32 - this.#bits);
    const first = Math.max(0, Math.floor((cidr.base - this.#cluster.base) / size));
    const last = Math.min(
      this.size - 1,
      Math.floor((cidr.base + 2 ** (32 - cidr.bits) - 1 - this.#cluster.base) / size),
    );
    let other: string | undefined;
    for (let n = first; n <= last; n++) {
      const owner = this.#owners.get(n);
      if (owner === undefined || owner === node) this.#take(n, node);
      else other ??= owner;
    }
    return other;
  }

  release(node: string): void {
    this.#blocks.delete(node);
    for (const [n, owner] of this.#owners) if (owner === node) this.#owners.delete(n);
  }

  #take(n: number, node: string): void {
    this.#owners.set(n, node);
    if (!this.#blocks.has(node)) this.#blocks.set(node, n);
  }

  /** The next free one in turn, so that the block of a node that left is not given to the next that comes. */
  #free(): number | undefined {
    for (let i = 0; i < this.size; i++) {
      const n = (this.#next + i) % this.size;
      if (this.#owners.has(n)) continue;
      this.#next = n + 1;
      return n;
    }
    return undefined;
  }
}
