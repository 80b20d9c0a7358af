import { keepBase, masqueradeBase } from '../kernel/marks.ts';

/**
 * The part of the rules that is the same on every node.
 *
 * A packet of a new connection to one of `addresses`, or to a port that is ours of an `external` address, goes to chain `vip`, one to a local
 * node port to chain `node`.
 * There a verdict map sends it through its target's chain, which only writes a number into the connection's mark:
 * `numgen inc` counts through the target's numbers, one a connection, for those who may connect. Chain `translate` then looks the
 * number up in the one map `backends`. Whoever finds nothing there has met a change half-way, and is dropped: it will send again. A changed endpoint thus costs one map element and one small rule; nothing that the kernel
 * would have to check through all chains for (docs/decisions/nftables-marks.md has the measurements).
 *
 * Each element of the maps of services counts the connections that found it: the first packet of each. An endpoint that changes leaves them alone.
 *
 * Whatever is forwarded or comes in to a guarded port of a pod of this node is let through from admitted clients alone. It is looked at
 * packet by packet, so that taking a right away ends what is open, too; the node's own packets go another way and are not looked at.
 */
export interface NftOptions {
  /** The name of our table; two proxies on one machine have two. */
  readonly table: string;
  /** Senders outside it are hidden from backends on other nodes, and not held off by guards; empty: nobody is hidden, and guards are for all. */
  readonly clusterCidr: string;
}

export function skeleton({ table, clusterCidr }: NftOptions): string {
  const inCluster = (rule: string): string => (clusterCidr === '' ? '' : `    ${rule}\n`);
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; counter; }
  map inside_services { type ipv4_addr . inet_proto . inet_service : verdict; counter; }
  map node_services { type inet_proto . inet_service : verdict; counter; }
  set addresses { type ipv4_addr; }
  set external { type ipv4_addr . inet_proto . inet_service; }
  set node_ports { type inet_proto . inet_service; }
  set local { type ipv4_addr . ipv4_addr; }
  set guarded { type ipv4_addr . inet_proto . inet_service; }
  set admitted { type ipv4_addr . ipv4_addr . inet_proto . inet_service; }
  map backends { type mark : ipv4_addr . inet_service; }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
  chain translate {
    meta l4proto tcp dnat ip to ct mark map @backends
    meta l4proto udp dnat ip to ct mark map @backends
    meta l4proto sctp dnat ip to ct mark map @backends
    drop
  }
  chain vip {
    ct mark set 0
    fib saddr type local ip daddr . meta l4proto . th dport vmap @inside_services
${inCluster(`ct mark 0 ip saddr ${clusterCidr} ip daddr . meta l4proto . th dport vmap @inside_services`)}\
    ct mark 0 ip daddr . meta l4proto . th dport vmap @services
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
    ip daddr . meta l4proto . th dport @external goto vip
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport @node_ports goto node
  }
  chain hide {
    ip saddr . ip daddr @local masquerade
    ip daddr . ip daddr @local return
    ct mark & 0xff000000 == ${hex(masqueradeBase)} masquerade
${inCluster(`ip saddr != ${clusterCidr} masquerade`)}\
  }
  chain guard {
    iifname lo return
${inCluster(`ip saddr != ${clusterCidr} return`)}\
    ip daddr . meta l4proto . th dport @guarded ip saddr . ip daddr . meta l4proto . th dport != @admitted goto refuse
  }
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
  chain forward {
    type filter hook forward priority filter; policy accept;
    jump guard
  }
  chain input {
    type filter hook input priority filter; policy accept;
    jump guard
  }
}`;
}

/** How many rules each of its chains has. */
export function rulesOfSkeleton(options: NftOptions): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [, chain = '', body = ''] of skeleton(options).matchAll(/^ {2}chain (\w+) \{\n([^}]*)\n? {2}\}/gm))
    counts.set(chain, body.split('\n').filter((line) => line.trim() !== '' && !line.includes(' hook ')).length);
  return counts;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
