import { hostname } from 'node:os';
import { parseCidr } from '../../lib/api/net.ts';
import { oneOf, type ConfigTable } from '../../lib/base/config.ts';
import { controllerOptions } from '../../lib/controller/service.ts';

const { apiserver, nats, cluster } = controllerOptions;

/** A CIDR, or nothing. */
function cidrOrNone(text: string): string {
  if (text !== '' && parseCidr(text) === undefined)
    throw new Error('must be an IPv4 block such as 10.244.0.0/16, or empty');
  return text;
}

/** nft takes letters, digits and underscores for a name anywhere. */
function tableName(text: string): string {
  if (!/^[a-z][a-z0-9_]{0,60}$/i.test(text)) throw new Error('must be letters, digits and _, beginning with a letter');
  return text;
}

const fileList = (text: string): readonly string[] =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');

export const proxyOptions = {
  apiserver,
  nats,
  cluster,
  nodeName: {
    flag: '--node-name',
    env: 'TROUPE_NODE_NAME',
    default: hostname().toLowerCase(),
    help: 'Name of this node; tells which backends are local',
  },
  mode: {
    flag: '--mode',
    env: 'TROUPE_PROXY_MODE',
    default: 'auto',
    help: 'nftables, iptables: the kernel carries the traffic; userspace: this process does; auto: the first of these that works',
    parse: oneOf('auto', 'nftables', 'iptables', 'userspace'),
  },
  table: {
    flag: '--table',
    env: 'TROUPE_PROXY_TABLE',
    default: 'troupe_proxy',
    help: 'Name of the nftables table, from which chains of iptables are named, too; two clusters on one machine need two',
    parse: tableName,
  },
  clusterCidr: {
    flag: '--cluster-cidr',
    env: 'TROUPE_CLUSTER_CIDR',
    default: '10.244.0.0/16',
    help: 'Addresses of pods; senders outside of it are masqueraded towards other nodes; empty: never for virtual addresses',
    parse: cidrOrNone,
  },
  drainMs: {
    flag: '--drain-ms',
    env: 'TROUPE_PROXY_DRAIN_MS',
    default: 3_600_000,
    unit: 'ms',
    help: 'How long an open TCP connection to an endpoint that left may go on at most; as a rule the pod ends it, when it ends',
  },
  checkMs: {
    flag: '--check-ms',
    env: 'TROUPE_PROXY_CHECK_MS',
    default: 30_000,
    unit: 'ms',
    help: 'About how often what is in effect is compared with what should be',
  },
  policyModules: {
    flag: '--policy-module',
    env: 'TROUPE_PROXY_POLICY_MODULE',
    default: [],
    help: 'JavaScript files with policies for Services to name in troupe.dev/proxy-policy, separated by commas',
    parse: fileList,
  },
  byRequest: {
    flag: '--by-request',
    env: 'TROUPE_PROXY_BY_REQUEST',
    default: false,
    help: 'Balance by request where appProtocol says http or h2c, also where the kernel carries the traffic: this process then carries those ports',
  },
  cleanup: {
    flag: '--cleanup',
    env: 'TROUPE_PROXY_CLEANUP',
    default: false,
    help: 'Take away every rule and address made under this table name, then end',
  },
} as const satisfies ConfigTable;
