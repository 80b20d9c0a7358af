import { parseCidr, formatCidr, overlaps, type Cidr } from '../../lib/api/net.ts';
import { listOf, oneOf, type ConfigTable } from '../../lib/base/config.ts';

const blocks = (text: string): readonly Cidr[] => {
  const found = listOf(text).map((part) => {
    const cidr = parseCidr(part.includes('/') ? part : `${part}/32`);
    if (cidr === undefined) throw new Error(`${part} is no IPv4 block such as 10.200.0.0/24, and no address`);
    return cidr;
  });
  found.forEach((a, i) => {
    const other = found.slice(i + 1).find((b) => overlaps(a, b));
    if (other !== undefined) throw new Error(`${formatCidr(a)} and ${formatCidr(other)} overlap`);
  });
  return found;
};

const whole =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new Error(`must be a whole number from ${min} to ${max}`);
    return value;
  };

export const loadBalancerOptions = {
  pool: {
    flag: '--pool',
    env: 'TROUPE_LOAD_BALANCER_POOL',
    default: [] as readonly Cidr[],
    unit: 'cidr,cidr',
    help: 'Addresses to give to Services of type LoadBalancer; nobody else on the network may have them',
    parse: blocks,
  },
  provider: {
    flag: '--provider',
    env: 'TROUPE_LOAD_BALANCER_PROVIDER',
    default: 'haproxy',
    help: 'Who serves Services without loadBalancerClass: haproxy; proxies: the proxy of this machine; none: only those that name a class',
    parse: oneOf('haproxy', 'proxies', 'none'),
  },
  device: {
    flag: '--device',
    env: 'TROUPE_LOAD_BALANCER_DEVICE',
    default: 'lo',
    help: 'Network device that gets the addresses; on lo the machine answers for them on all its networks',
  },
  data: {
    flag: '--data',
    env: 'TROUPE_LOAD_BALANCER_DATA',
    default: '/var/lib/troupe/load-balancer',
    unit: 'folder',
    help: "For HAProxy's configuration, sockets and log",
  },
  haproxy: {
    flag: '--haproxy',
    env: 'TROUPE_HAPROXY',
    default: 'haproxy',
    unit: 'program',
    help: 'HAProxy 2.6 or later',
  },
  maxConnections: {
    flag: '--max-connections',
    env: 'TROUPE_LOAD_BALANCER_MAX_CONNECTIONS',
    default: 0,
    help: 'Connections that HAProxy carries at one time, more wait; 0: as many as its limit of open files allows',
    parse: whole(0, 10_000_000),
  },
  idleSeconds: {
    flag: '--idle-seconds',
    env: 'TROUPE_LOAD_BALANCER_IDLE_SECONDS',
    default: 3_600,
    unit: 's',
    help: 'A connection on which nothing moved for so long is closed',
    parse: whole(1, 2_000_000),
  },
  cleanup: {
    flag: '--cleanup',
    env: 'TROUPE_LOAD_BALANCER_CLEANUP',
    default: false,
    help: 'End HAProxy and take every address off this machine again, then end',
  },
} as const satisfies ConfigTable;
