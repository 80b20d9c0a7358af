import type { PortMapping } from './pod-network.ts';

export interface RuleInputs {
  readonly table: string;
  /** This node's range, and those of all pods and all services. */
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** By the address of their pod. */
  readonly hostPorts: ReadonlyMap<string, readonly PortMapping[]>;
}

/**
 * The node's rules as one nft transaction that replaces the whole table: pods that talk to the world outside do so with the
 * node's address, and host ports lead into their pods. Within the cluster nothing is translated (F51).
 */
export function nodeRules(inputs: RuleInputs): string {
  const { table, podCidr, clusterCidr, serviceCidr } = inputs;
  const mappings = [...inputs.hostPorts].flatMap(([ip, ports]) => ports.map((port) => ({ ...port, podIp: ip })));
  const everywhere = mappings.filter((mapping) => mapping.ip === '0.0.0.0');
  const somewhere = mappings.filter((mapping) => mapping.ip !== '0.0.0.0');
  const target = (m: (typeof mappings)[number]): string => `${m.podIp} . ${m.containerPort}`;
  const ofAll = everywhere.map((m) => `${m.protocol.toLowerCase()} . ${m.port} : ${target(m)}`);
  const ofOne = somewhere.map((m) => `${m.ip} . ${m.protocol.toLowerCase()} . ${m.port} : ${target(m)}`);
  return `table ip ${table}
delete table ip ${table}
table ip ${table} {
  map ports_of_one_address {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    ${elements(ofOne)}
  }
  map ports_of_all_addresses {
    type inet_proto . inet_service : ipv4_addr . inet_service
    ${elements(ofAll)}
  }
  chain host_ports {
    dnat ip to ip daddr . meta l4proto . th dport map @ports_of_one_address
    dnat ip to meta l4proto . th dport map @ports_of_all_addresses
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta l4proto { tcp, udp, sctp } jump host_ports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto { tcp, udp, sctp } jump host_ports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${podCidr} ip daddr != { ${[...new Set([clusterCidr, serviceCidr, '224.0.0.0/4'])].join(', ')} } masquerade
    ${mappings.map((m) => `ip saddr ${m.podIp} ip daddr ${m.podIp} masquerade`).join('\n    ')}
  }
}
`;
}

const elements = (list: readonly string[]): string => (list.length === 0 ? '' : `elements = { ${list.join(', ')} }`);
