import type { TableChanges } from './diff.ts';
import { keepBase, masqueradeBase, SlotSpace, type SlotChange, type Slots } from './slots.ts';
import type { Backend, Frontend, ProxyTable, Target } from './table.ts';

/**
 * The kernel's side of a table, as nft scripts. One script is one transaction.
 *
 * A packet of a new connection to one of `addresses` goes to chain `vip`, one to a local node port to chain `node`.
 * There the verdict map sends it through its target's chain, which only writes a number into the connection's mark:
 * `numgen inc` counts through the target's numbers, one a connection. Chain `translate` then looks the number up in
 * the one map `backends`. A changed endpoint thus costs one map element and one small rule; nothing that the kernel
 * would have to check through all chains for (docs/decisions/nftables-marks.md has the measurements).
 */
export interface NftOptions {
  /** The name of our table; two proxies on one machine have two. */
  readonly table: string;
  /** Senders outside it are hidden from backends on other nodes; empty: nobody is, but for node ports and external addresses. */
  readonly clusterCidr: string;
}

/** A client that returns to a backend: what is kept when everything is written anew. */
export interface KnownClient {
  readonly target: string;
  readonly backend: Backend;
  readonly client: string;
  readonly expiresSeconds: number;
}

/** What is in the kernel as far as this process has written it. */
export class NftProgram {
  readonly #options: NftOptions;
  #slots = new SlotSpace();
  /** How many frontends each address has. */
  #addresses = new Map<string, number>();

  constructor(options: NftOptions) {
    this.#options = options;
  }

  /** The transaction that makes exactly `table` so, in place of whatever our table held. */
  whole(table: ProxyTable, known: readonly KnownClient[] = []): string {
    this.#slots = new SlotSpace();
    this.#addresses = new Map();
    const script = new Script(this.#options.table);
    script.lines.push(skeleton(this.#options));
    for (const target of table.targets.values()) this.#addTarget(script, target);
    for (const frontend of table.frontends.values()) this.#addFrontend(script, frontend);
    for (const ip of table.local) script.add('local', `${ip} . ${ip}`);
    for (const each of known) {
      const target = table.targets.get(each.target);
      if (target === undefined || target.affinitySeconds === 0 || !target.backends.includes(each.backend)) continue;
      const expires = Math.min(each.expiresSeconds, target.affinitySeconds);
      if (expires > 0) script.add(affinitySet(target, each.backend), `${each.client} expires ${expires}s`);
    }
    return script.text();
  }

  /** The transaction that carries out `changes`. */
  changes(changes: TableChanges): string {
    const script = new Script(this.#options.table);
    for (const frontend of changes.removedFrontends) this.#removeFrontend(script, frontend);
    for (const target of changes.addedTargets) this.#addTarget(script, target);
    for (const { before, after } of changes.changedTargets) this.#changeTarget(script, before, after);
    for (const frontend of changes.addedFrontends) this.#addFrontend(script, frontend);
    for (const target of changes.removedTargets) this.#removeTarget(script, target);
    for (const ip of changes.removedLocal) script.delete('local', `${ip} . ${ip}`);
    for (const ip of changes.addedLocal) script.add('local', `${ip} . ${ip}`);
    return script.text();
  }

  #addTarget(script: Script, target: Target): void {
    const { slots, changes } = this.#slots.place(target);
    script.chains.push(`add chain ip ${this.#options.table} ${chainOf(target.id)}`);
    if (target.affinitySeconds > 0) for (const backend of target.backends) this.#addAffinity(script, target, backend);
    this.#writeRules(script, target, slots);
    writeSlots(script, changes);
  }

  #changeTarget(script: Script, before: Target, after: Target): void {
    const former = this.#slots.get(after.id);
    const { slots, changes } = this.#slots.place(after);
    const hadAffinity = before.affinitySeconds > 0;
    const sameTimeout = before.affinitySeconds === after.affinitySeconds;
    if (after.affinitySeconds > 0) {
      for (const backend of after.backends) {
        if (!(sameTimeout && before.backends.includes(backend))) this.#addAffinity(script, after, backend);
      }
    }
    const sameRules = former?.first === slots.first && former.backends.length === slots.backends.length && sameTimeout;
    if (!sameRules || after.affinitySeconds > 0) {
      script.rules.push(`flush chain ip ${this.#options.table} ${chainOf(after.id)}`);
      this.#writeRules(script, after, slots);
    }
    writeSlots(script, changes);
    if (hadAffinity) {
      for (const backend of before.backends) {
        if (!(sameTimeout && after.backends.includes(backend))) this.#removeAffinity(script, before, backend);
      }
    }
  }

  #removeTarget(script: Script, target: Target): void {
    writeSlots(script, this.#slots.remove(target.id));
    script.ends.push(`flush chain ip ${this.#options.table} ${chainOf(target.id)}`);
    script.ends.push(`delete chain ip ${this.#options.table} ${chainOf(target.id)}`);
    if (target.affinitySeconds > 0) for (const each of target.backends) this.#removeAffinity(script, target, each);
  }

  /** Without backends there is no rule, no mark, and the connection is refused. */
  #writeRules(script: Script, target: Target, slots: Slots): void {
    const count = slots.backends.length;
    if (count === 0) return;
    const rule = (text: string): void => {
      script.rules.push(`add rule ip ${this.#options.table} ${chainOf(target.id)} ${text}`);
    };
    const next = `ct mark set numgen inc mod ${count} offset ${slots.first}`;
    if (target.affinitySeconds === 0) return rule(next);
    const each = slots.backends.map((backend, i) => ({
      set: `@${affinitySet(target, backend)}`,
      slot: slots.first + i,
    }));
    for (const { set, slot } of each) rule(`ip saddr ${set} ct mark set ${slot}`);
    rule(`ct mark 0 ${next}`);
    for (const { set, slot } of each) rule(`ct mark ${slot} update ${set} { ip saddr }`);
  }

  #addAffinity(script: Script, target: Target, backend: Backend): void {
    const name = affinitySet(target, backend);
    const type = `type ipv4_addr; flags dynamic,timeout; size 65536; timeout ${target.affinitySeconds}s;`;
    script.chains.push(`add set ip ${this.#options.table} ${name} { ${type} }`);
  }

  #removeAffinity(script: Script, target: Target, backend: Backend): void {
    script.ends.push(`delete set ip ${this.#options.table} ${affinitySet(target, backend)}`);
  }

  #addFrontend(script: Script, frontend: Frontend): void {
    const at = `${frontend.protocol.toLowerCase()} . ${frontend.port}`;
    const verdict = `jump ${chainOf(frontend.target)}`;
    if (frontend.address === '*') {
      script.add('node_ports', at);
      script.add('node_services', `${at} : ${verdict}`);
      return;
    }
    const count = this.#addresses.get(frontend.address) ?? 0;
    this.#addresses.set(frontend.address, count + 1);
    if (count === 0) script.add('addresses', frontend.address);
    script.add('services', `${frontend.address} . ${at} : ${verdict}`);
  }

  #removeFrontend(script: Script, frontend: Frontend): void {
    const at = `${frontend.protocol.toLowerCase()} . ${frontend.port}`;
    if (frontend.address === '*') {
      script.delete('node_ports', at);
      script.delete('node_services', at);
      return;
    }
    const count = this.#addresses.get(frontend.address) ?? 1;
    if (count > 1) this.#addresses.set(frontend.address, count - 1);
    else {
      this.#addresses.delete(frontend.address);
      script.delete('addresses', frontend.address);
    }
    script.delete('services', `${frontend.address} . ${at}`);
  }
}

/** Collects the commands of one transaction in an order that the kernel accepts: names first, uses next, removals last. */
class Script {
  readonly lines: string[] = [];
  readonly chains: string[] = [];
  readonly rules: string[] = [];
  readonly ends: string[] = [];
  readonly #table: string;
  readonly #deletions = new Map<string, string[]>();
  readonly #additions = new Map<string, string[]>();

  constructor(table: string) {
    this.#table = table;
  }

  add(set: string, element: string): void {
    push(this.#additions, set, element);
  }

  delete(set: string, element: string): void {
    push(this.#deletions, set, element);
  }

  text(): string {
    const elements = (verb: string, sets: Map<string, string[]>): string[] =>
      [...sets].flatMap(([set, list]) =>
        inChunks(list, 1000).map((part) => `${verb} element ip ${this.#table} ${set} { ${part.join(', ')} }`),
      );
    const deletions = elements('delete', this.#deletions);
    const additions = elements('add', this.#additions);
    return [...this.lines, ...this.chains, ...this.rules, ...deletions, ...additions, ...this.ends].join('\n');
  }
}

function push(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const inChunks = (list: readonly string[], size: number): (readonly string[])[] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

function writeSlots(script: Script, changes: readonly SlotChange[]): void {
  for (const { slot, before, after } of changes) {
    if (before !== undefined) script.delete('backends', String(slot));
    if (after !== undefined) script.add('backends', `${slot} : ${after.replace(':', ' . ')}`);
  }
}

/** Names are as a person would write them; nft takes slashes, dots and dashes. */
export const chainOf = (target: string): string => `svc/${target}`;
export const targetOfChain = (chain: string): string | undefined =>
  chain.startsWith('svc/') ? chain.slice('svc/'.length) : undefined;

/** The set of clients that belong to a backend. The time-out is in the name because the kernel cannot change that of a set. */
const affinitySet = (target: Target, backend: Backend): string =>
  `aff/${target.id}/${backend.replace(':', '/')}/${target.affinitySeconds}`;

export function readAffinitySet(
  name: string,
): { readonly target: string; readonly backend: Backend; readonly seconds: number } | undefined {
  const found = /^aff\/(.+)\/([0-9.]+)\/([0-9]+)\/([0-9]+)$/.exec(name);
  if (found === null) return undefined;
  const [, target = '', ip = '', port = '', seconds = ''] = found;
  return { target, backend: `${ip}:${port}`, seconds: Number(seconds) };
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function skeleton({ table, clusterCidr }: NftOptions): string {
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map node_services { type inet_proto . inet_service : verdict; }
  set addresses { type ipv4_addr; }
  set node_ports { type inet_proto . inet_service; }
  set local { type ipv4_addr . ipv4_addr; }
  map backends { type mark : ipv4_addr . inet_service; }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
  chain translate {
    meta l4proto tcp dnat ip to ct mark map @backends
    meta l4proto udp dnat ip to ct mark map @backends
    meta l4proto sctp dnat ip to ct mark map @backends
    goto refuse
  }
  chain vip {
    ct mark set 0
    ip daddr . meta l4proto . th dport vmap @services
    ct mark 0 goto refuse
    goto translate
  }
  chain node {
    ct mark set 0
    meta l4proto . th dport vmap @node_services
    ct mark 0 goto refuse
    goto translate
  }
  chain dispatch {
    ip daddr @addresses goto vip
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport @node_ports goto node
  }
  chain hide {
    ip saddr . ip daddr @local masquerade
    ip daddr . ip daddr @local return
    ct mark & 0xff000000 == ${hex(masqueradeBase)} masquerade
${clusterCidr === '' ? '' : `    ip saddr != ${clusterCidr} masquerade\n`}  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump dispatch
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump dispatch
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ct mark & 0xfe000000 == ${hex(keepBase)} jump hide
  }
}`;
}
