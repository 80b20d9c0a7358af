import type { Pod } from '../lib/api/objects.ts';

export interface DnsSettings {
  /** Address of the cluster's DNS Service. */
  readonly clusterDns: string;
  readonly clusterDomain: string;
  /** The node's own resolv.conf. */
  readonly nodeResolvConf: string;
  /** The node's own /etc/hosts and host name, for pods on its network. */
  readonly nodeHosts?: string;
  readonly nodeHostname?: string;
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
    hostname: `${isOnHost(pod) ? (dns.nodeHostname ?? hostnameOf(pod)) : uname(pod, dns.clusterDomain)}\n`,
    hosts:
      isOnHost(pod) && dns.nodeHosts !== undefined
        ? nodeHosts(pod, dns.nodeHosts)
        : hosts(pod, podIp, dns.clusterDomain),
    resolvConf: resolvConf(pod, dns),
  };
}

const isOnHost = (pod: Pod): boolean => pod.spec.hostNetwork === true;

/** What the kernel can hold as a host name. */
const maxUname = 64;

/** The name that `hostname` prints in the pod: its own, or with setHostnameAsFQDN all of it. Throws where that is too long. */
export function uname(pod: Pod, domain: string): string {
  const full = pod.spec.setHostnameAsFQDN === true ? fullName(pod, domain) : undefined;
  if (full !== undefined && full.length > maxUname)
    throw new Error(
      `setHostnameAsFQDN: "${full}" has ${full.length} characters, and a host name may have ${maxUname}: take a shorter hostname or subdomain`,
    );
  return full ?? hostnameOf(pod);
}

function fullName(pod: Pod, domain: string): string | undefined {
  const { subdomain } = pod.spec;
  if (subdomain === undefined || subdomain === '') return undefined;
  return `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace ?? ''}.svc.${domain}`;
}

function hosts(pod: Pod, podIp: string, domain: string): string {
  const full = fullName(pod, domain);
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    `${podIp}\t${[...(full === undefined ? [] : [full]), hostnameOf(pod)].join(' ')}`,
    ...aliases(pod),
  ];
  return `${lines.join('\n')}\n`;
}

/** A pod on the node's network sees the node's names, and its aliases after them. */
const nodeHosts = (pod: Pod, text: string): string =>
  [text.trimEnd(), ...aliases(pod)].map((line) => `${line}\n`).join('');

const aliases = (pod: Pod): readonly string[] =>
  (pod.spec.hostAliases ?? []).map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join(' ')}`);

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
