import type { ConfigTable } from '../../lib/base/config.ts';
import { formatCidr, parseCidr } from '../../lib/api/net.ts';
import { CidrPool } from './cidrs.ts';

const cidrText = (text: string): string => {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error('must be an IPv4 block such as 10.244.0.0/16');
  return formatCidr(cidr);
};
const bitsOf = (text: string): number => {
  const bits = Number(text);
  if (!Number.isInteger(bits) || bits < 8 || bits > 30) throw new Error('must be a whole number from 8 to 30');
  return bits;
};

export const nodeControllerOptions = {
  clusterCidr: {
    flag: '--cluster-cidr',
    env: 'TROUPE_CLUSTER_CIDR',
    default: '10.244.0.0/16',
    unit: 'cidr',
    help: 'Addresses of all pods; each node gets a part of it',
    parse: cidrText,
  },
  nodeCidrBits: {
    flag: '--node-cidr-bits',
    env: 'TROUPE_NODE_CIDR_BITS',
    default: 24,
    help: 'Size of the part a node gets: 24 is 254 pods on each of 256 nodes of a /16',
    parse: bitsOf,
  },
  silenceMs: {
    flag: '--node-silence-ms',
    env: 'TROUPE_NODE_SILENCE_MS',
    default: 2_000,
    unit: 'ms',
    help: 'A node is lost after so long without heartbeat and without renewal of its Lease',
  },
  settleMs: {
    flag: '--node-settle-ms',
    env: 'TROUPE_NODE_SETTLE_MS',
    default: 5_000,
    unit: 'ms',
    help: 'No node is judged so long after this process or the bus came (back)',
  },
} as const satisfies ConfigTable;

/** The blocks to give out. Throws an Error with a sentence when a node's part is larger than the whole. */
export function poolOf(clusterCidr: string, nodeCidrBits: number): CidrPool {
  const cluster = parseCidr(clusterCidr);
  if (cluster === undefined || nodeCidrBits < cluster.bits)
    throw new Error(`--node-cidr-bits ${nodeCidrBits} is larger than the whole of --cluster-cidr ${clusterCidr}`);
  return new CidrPool(cluster, nodeCidrBits);
}
