import { hostname } from 'node:os';
import { parseIp } from '../../lib/api/net.ts';
import { listOf, type ConfigTable } from '../../lib/base/config.ts';
import { controllerOptions } from '../../lib/controller/service.ts';
import { parseDomain, parseStubDomains, parseUpstream, type StubDomain, type Upstream } from './upstreams.ts';

const { apiserver, nats, cluster } = controllerOptions;

/** `10.96.0.10:53`; port 0 takes a free one. */
export function parseListen(text: string): Upstream {
  const at = text.lastIndexOf(':');
  const [host, port] = [text.slice(0, at), Number(text.slice(at + 1))];
  if (parseIp(host) === undefined || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(`"${text}" is not an IPv4 address with a port, such as 10.96.0.10:53`);
  }
  return { host, port };
}

function addressesOf(text: string): readonly string[] {
  const addresses = listOf(text);
  const wrong = addresses.find((address) => parseIp(address) === undefined);
  if (wrong !== undefined) throw new Error(`"${wrong}" is not an IPv4 address`);
  return addresses;
}

export const dnsOptions = {
  apiserver,
  nats,
  cluster,
  nodeName: {
    flag: '--node-name',
    env: 'TROUPE_NODE_NAME',
    default: hostname().toLowerCase(),
    help: 'Name of the node where it runs: where it says so when its names were not as they should be',
  },
  listen: {
    flag: '--listen',
    env: 'TROUPE_DNS_LISTEN',
    default: ['127.0.0.1:10053'] as readonly string[],
    unit: 'host:port,…',
    help: 'Where to answer, by UDP and TCP',
    parse: (text: string): readonly string[] => {
      listOf(text).forEach(parseListen);
      return listOf(text);
    },
  },
  ensureAddress: {
    flag: '--ensure-address',
    env: 'TROUPE_DNS_ENSURE_ADDRESS',
    default: [] as readonly string[],
    unit: 'address,…',
    help: 'Addresses to put on the loopback interface first, so that pods of this machine reach them; needs root',
    parse: addressesOf,
  },
  domain: {
    flag: '--domain',
    env: 'TROUPE_CLUSTER_DOMAIN',
    default: 'cluster.local',
    help: 'The domain under which the names of the cluster are',
    parse: parseDomain,
  },
  upstream: {
    flag: '--upstream',
    env: 'TROUPE_DNS_UPSTREAM',
    default: undefined as readonly Upstream[] | undefined,
    unit: 'address,…',
    help: 'Servers for all other names; without it those of /etc/resolv.conf, followed as it changes; empty: none',
    parse: (text: string): readonly Upstream[] | undefined => listOf(text).map(parseUpstream),
  },
  stubDomains: {
    flag: '--stub-domain',
    env: 'TROUPE_DNS_STUB_DOMAIN',
    default: [] as readonly StubDomain[],
    unit: 'domain=address,…;…',
    help: 'Servers of their own for some domains and all below them, such as corp.internal=10.0.0.53,10.0.0.54;lab=10.1.0.53',
    parse: (text: string): readonly StubDomain[] => parseStubDomains(text),
  },
  ttl: {
    flag: '--ttl',
    env: 'TROUPE_DNS_TTL',
    default: 5,
    unit: 's',
    help: 'How long an answer about the cluster may be kept',
  },
  completeSearch: {
    flag: '--complete-search',
    env: 'TROUPE_DNS_COMPLETE_SEARCH',
    default: true,
    help: "Walk a pod's search path for it: one question upstream for an outside name instead of one for each entry of the path",
  },
  checkMs: {
    flag: '--check-ms',
    env: 'TROUPE_DNS_CHECK_MS',
    default: 30_000,
    unit: 'ms',
    help: 'About how often what is answered is compared with what should be',
  },
  cleanup: {
    flag: '--cleanup',
    env: 'TROUPE_DNS_CLEANUP',
    default: false,
    help: 'Take the addresses of --ensure-address off the loopback interface, then end',
  },
} as const satisfies ConfigTable;
