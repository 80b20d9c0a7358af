import { contains, parseCidr, parseIp } from '../../../lib/api/net.ts';
import type { Upstream } from './upstream.ts';

/** Where the clients of one address and port go, by where they come from, and who of them may come at all. */
export class Sides {
  readonly #outer: Upstream;
  readonly #inner: Upstream | undefined;
  readonly #isInside: (client: string, to: string) => boolean;

  /** `inner` is for those who are inside, where that differs. */
  constructor(outer: Upstream, inner: Upstream | undefined, isInside: (client: string, to: string) => boolean) {
    this.#outer = outer;
    this.#inner = inner;
    this.#isInside = isInside;
  }

  /** The upstream for a client that connects to the address `to`; undefined: it may not. */
  for(client: string, to: string): Upstream | undefined {
    const upstream = this.#inner !== undefined && this.#isInside(client, to) ? this.#inner : this.#outer;
    return upstream.admits(client) ? upstream : undefined;
  }
}

/** Pods, by their addresses, and this machine, which reaches its own addresses from themselves. */
export function insideOf(clusterCidr: string): (client: string, to: string) => boolean {
  const pods = parseCidr(clusterCidr);
  return (client, to) => {
    if (client === to || client.startsWith('127.')) return true;
    const ip = parseIp(client);
    return pods !== undefined && ip !== undefined && contains(pods, ip);
  };
}
