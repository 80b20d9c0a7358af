import type { Pod } from '../lib/api/objects.ts';

export interface DnsSettings {
  /** Address of the cluster's DNS Service. */
  readonly clusterDns: string;
  readonly clusterDomain: string;
  /** The node's own resolv.conf. */
  readonly nodeResolvConf: string;
}

/** The three files that every container of a pod sees in /etc. */
export interface PodFiles {
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
}

/** A host name has at most 63 characters. */
export const hostnameOf = (pod: Pod): string =>
  (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, '');

export function podFiles(pod: Pod, podIp: string, dns: DnsSettings): PodFiles {
  return {
    hostname: `${hostnameOf(pod)}\n`,
    hosts: hosts(pod, podIp, dns.clusterDomain),
    resolvConf: resolvConf(pod, dns),
  };
}

function hosts(pod: Pod, podIp: string, domain: string): string {
  const name = hostnameOf(pod);
  const { subdomain } = pod.spec;
  const full =
    subdomain === undefined || subdomain === ''
      ? []
      : [`${name}.${subdomain}.${pod.metadata.namespace ?? ''}.svc.${domain}`];
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    `${podIp}\t${[...full, name].join(' ')}`,
    ...(pod.spec.hostAliases ?? []).map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join(' ')}`),
  ];
  return `${lines.join('\n')}\n`;
}

interface Resolver {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** What a resolver reads at most (glibc: three servers; search list of 32 names). */
const maxNameservers = 3;
const maxSearches = 32;

function resolvConf(pod: Pod, dns: DnsSettings): string {
  const base = baseResolver(pod, dns);
  const own = pod.spec.dnsConfig;
  const options = new Map(base.options.map((option) => [option.split(':')[0] ?? '', option]));
  for (const { name, value } of own?.options ?? []) {
    if (name !== undefined) options.set(name, value === undefined ? name : `${name}:${value}`);
  }
  const nameservers = unique([...base.nameservers, ...(own?.nameservers ?? [])]).slice(0, maxNameservers);
  const searches = unique([...base.searches, ...(own?.searches ?? [])]).slice(0, maxSearches);
  const lines = [
    ...nameservers.map((server) => `nameserver ${server}`),
    ...(searches.length === 0 ? [] : [`search ${searches.join(' ')}`]),
    ...(options.size === 0 ? [] : [`options ${[...options.values()].join(' ')}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** By dnsPolicy (API spec 3.3 and 3.5): the cluster's names, the node's, or none. */
function baseResolver(pod: Pod, dns: DnsSettings): Resolver {
  const { dnsPolicy, hostNetwork } = pod.spec;
  if (dnsPolicy === 'None') return { nameservers: [], searches: [], options: [] };
  if (dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork === true))
    return parse(dns.nodeResolvConf);
  const domain = dns.clusterDomain;
  return {
    nameservers: [dns.clusterDns],
    searches: [
      `${pod.metadata.namespace ?? ''}.svc.${domain}`,
      `svc.${domain}`,
      domain,
      ...parse(dns.nodeResolvConf).searches,
    ],
    options: ['ndots:5'],
  };
}

function parse(text: string): Resolver {
  const words = (keyword: string): readonly (readonly string[])[] =>
    text
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((line) => line[0] === keyword)
      .map((line) => line.slice(1));
  return {
    nameservers: words('nameserver').flatMap((line) => line.slice(0, 1)),
    searches: words('search').at(-1) ?? words('domain').at(-1) ?? [], // the last one counts
    options: words('options').flat(),
  };
}

const unique = (list: readonly string[]): readonly string[] => [...new Set(list)];
