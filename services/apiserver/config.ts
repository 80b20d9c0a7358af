import { formatCidr, parseCidr, sizeOf, type Cidr } from '../../lib/api/net.ts';
import { listOf, oneOf, type ConfigTable } from '../../lib/base/config.ts';
import { defaultEventBounds, defaultNodePorts, defaultServiceCidr } from './registry/index.ts';
import type { PortRange } from './registry/claims.ts';
import { defaultHistory, defaultMaxBytes } from './store/lmdb.ts';

/** `10.96.0.0/16`, large enough to have an address to give. */
export function parseServiceCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error('must be an IPv4 block such as 10.96.0.0/16');
  if (sizeOf(cidr) < 16) throw new Error(`${formatCidr(cidr)} has ${sizeOf(cidr)} addresses; at least 16 are needed`);
  return cidr;
}

/** `30000-32767`. */
export function parsePortRange(text: string): PortRange {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (first === undefined || last === undefined || first < 1 || last > 65535 || first > last) {
    throw new Error('must be two ports with a dash between, such as 30000-32767');
  }
  return { first, last };
}

/** Looks at the text once while options are read, so that a mistake names its flag. */
const checked =
  (parse: (text: string) => unknown) =>
  (text: string): string => {
    parse(text);
    return text;
  };

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error('must be a number greater than 0');
  return value;
};

export const apiserverOptions = {
  listen: {
    flag: '--listen',
    env: 'TROUPE_LISTEN',
    default: '127.0.0.1:7400',
    unit: 'host:port',
    help: 'Where gRPC is served; port 0 takes a free one',
  },
  podListen: {
    flag: '--pod-listen',
    env: 'TROUPE_POD_LISTEN',
    default: '',
    unit: 'host:port',
    help: 'Where gRPC is served to pods, by token only; port 0 takes a free one; empty: nowhere, and pods get no tokens',
  },
  podAdvertise: {
    flag: '--pod-advertise',
    env: 'TROUPE_POD_ADVERTISE',
    default: '',
    unit: 'address',
    help: 'Under which address pods reach the two doors for them; empty: their host, or that of the default route',
  },
  httpsListen: {
    flag: '--https-listen',
    env: 'TROUPE_HTTPS_LISTEN',
    default: '',
    unit: 'host:port',
    help: 'Where the REST API is served, for kubectl and client libraries; port 0 takes a free one; empty: nowhere',
  },
  podHttpsListen: {
    flag: '--pod-https-listen',
    env: 'TROUPE_POD_HTTPS_LISTEN',
    default: '',
    unit: 'host:port',
    help: 'Where the REST API is served to pods, by token only; port 0 takes a free one; empty: nowhere',
  },
  httpsNames: {
    flag: '--https-names',
    env: 'TROUPE_HTTPS_NAMES',
    default: [] as readonly string[],
    unit: 'name,name',
    help: 'Further names and addresses under which clients reach --https-listen, for its certificate',
    parse: listOf,
  },
  certificates: {
    flag: '--certificates',
    env: 'TROUPE_CERTIFICATES',
    default: '',
    unit: 'folder',
    help: "Where the cluster's authority and its certificates are kept, made when missing; empty: pki in --data",
  },
  data: {
    flag: '--data',
    env: 'TROUPE_APISERVER_DATA',
    default: '/var/lib/troupe/apiserver',
    unit: 'folder',
    help: 'Where the state is kept; made when missing, used by one apiserver at a time',
  },
  store: {
    flag: '--store',
    env: 'TROUPE_STORE',
    default: 'lmdb',
    help: 'lmdb, or memory: gone when the process ends',
    parse: oneOf('lmdb', 'memory'),
  },
  storeMaxBytes: {
    flag: '--store-max-bytes',
    env: 'TROUPE_STORE_MAX_BYTES',
    default: defaultMaxBytes,
    unit: 'bytes',
    help: 'Objects and history together; when full, only deletions are taken',
    parse: positive,
  },
  historyAge: {
    flag: '--history-age',
    env: 'TROUPE_HISTORY_AGE',
    default: defaultHistory.maxAgeMs / 1000,
    unit: 's',
    help: 'How long superseded states are kept, so that watches can resume and the bus can catch up',
    parse: positive,
  },
  historyBytes: {
    flag: '--history-bytes',
    env: 'TROUPE_HISTORY_BYTES',
    default: defaultHistory.maxBytes,
    unit: 'bytes',
    help: 'How much superseded states may take; the oldest go first',
    parse: positive,
  },
  eventsAge: {
    flag: '--events-age',
    env: 'TROUPE_EVENTS_AGE',
    default: defaultEventBounds.maxAgeMs / 1000,
    unit: 's',
    help: 'How long Events are kept',
    parse: positive,
  },
  eventsBytes: {
    flag: '--events-bytes',
    env: 'TROUPE_EVENTS_BYTES',
    default: defaultEventBounds.maxBytes,
    unit: 'bytes',
    help: 'How much all Events may take together; the oldest go first',
    parse: positive,
  },
  serviceCidr: {
    flag: '--service-cidr',
    env: 'TROUPE_SERVICE_CIDR',
    default: defaultServiceCidr,
    unit: 'address/bits',
    help: 'Where Services get their addresses; the first is for the API, the tenth for the DNS of the cluster',
    parse: checked(parseServiceCidr),
  },
  nodePorts: {
    flag: '--node-ports',
    env: 'TROUPE_NODE_PORTS',
    default: `${defaultNodePorts.first}-${defaultNodePorts.last}`,
    unit: 'first-last',
    help: 'Where Services get their node ports',
    parse: checked(parsePortRange),
  },
  nats: {
    flag: '--nats',
    env: 'TROUPE_NATS',
    default: ['nats://127.0.0.1:4222'] as readonly string[],
    unit: 'url,url',
    help: 'Bus servers to which changes are published; empty: publish none',
    parse: listOf,
  },
  cluster: {
    flag: '--cluster',
    env: 'TROUPE_CLUSTER',
    default: 'troupe',
    help: 'Name of the cluster, the first token of every subject',
  },
} as const satisfies ConfigTable;
