import { keyOf, type Key } from '../../lib/api/keys.ts';
import { parseIp, reverseName } from '../../lib/api/net.ts';
import type { EndpointAddress, Endpoints, EndpointSubset, Service } from '../../lib/api/objects.ts';
import type { DnsRecord, SoaRecord, TypeName } from './records.ts';

export type Lookup =
  /** The name exists. `records` is empty when it has none of that type. */
  | { readonly kind: 'found'; readonly records: readonly DnsRecord[]; readonly additional: readonly DnsRecord[] }
  /** Nothing has that name, and nobody else could know. */
  | { readonly kind: 'missing' }
  /** Not a name of the cluster. */
  | { readonly kind: 'elsewhere' };

/** Every name of the cluster at one moment. */
export interface Zone {
  /** `name` in lower case without the dot at the end. */
  lookup(name: string, type: TypeName | 'other'): Lookup;
  readonly soa: SoaRecord;
  /** Services that have names. */
  readonly size: number;
  /** What the names under one service are made from. */
  entry(key: Key): Entry | undefined;
  hasNamespace(name: string): boolean;
  keys(): Iterable<Key>;
}

export interface ZoneOptions {
  /** `cluster.local` */
  readonly domain: string;
  /** Seconds that an answer may be kept; also for answers that something does not exist. */
  readonly ttl: number;
  /** Grows with each zone that differs. */
  readonly serial: number;
  /** Namespaces that there are, besides those of the services. */
  readonly namespaces?: Iterable<string>;
  /** Given again, it makes the next compile cost only what changed. */
  readonly cache?: EntryCache;
}

export interface Host {
  /** The pod's hostname, or its address with dashes: the first label of its own name. */
  readonly label: string;
  readonly ip: string;
  /** Its number for each port, by `_name._protocol`. */
  readonly ports: ReadonlyMap<string, number>;
}

/** What the names under one service are made from. */
export interface Entry {
  readonly key: Key;
  readonly revision: string;
  readonly endpoints: Endpoints | undefined;
  readonly name: string;
  readonly namespace: string;
  /** An address; undefined where the name stands for the hosts themselves, or for another name. */
  readonly clusterIP: string | undefined;
  readonly externalName: string | undefined;
  /** Numbers of the service's own ports, by `_name._protocol`. */
  readonly ports: ReadonlyMap<string, number>;
  readonly hosts: readonly Host[];
}

/** Entries already worked out: objects are never changed, so one is good as long as its objects are. */
export type EntryCache = WeakMap<Service, Entry>;

/**
 * The names of all services from a snapshot (F132, F144, F146). Depends on its arguments only.
 *
 *   svc.ns.svc.D                 A      the virtual address, or each ready host of a headless service; CNAME for ExternalName
 *   host.svc.ns.svc.D            A      one host: by its hostname, or by its address with dashes
 *   _port._protocol.svc.ns.svc.D SRV    a named port: of the service, or of each host
 *   a-b-c-d.ns.pod.D             A      a.b.c.d
 *   d.c.b.a.in-addr.arpa         PTR    the service of a virtual address, the hosts of headless ones
 *   dns-version.D                TXT    the version of this scheme
 */
export function compile(
  services: Iterable<Service>,
  endpoints: (key: Key) => Endpoints | undefined,
  options: ZoneOptions,
): Zone {
  const cache: EntryCache = options.cache ?? new WeakMap();
  const entries = new Map<Key, Entry>();
  const namespaces = new Set<string>(options.namespaces);
  const reverse = new Map<string, string[]>();
  for (const service of services) {
    const entry = entryOf(service, endpoints, cache);
    entries.set(entry.key, entry);
    namespaces.add(entry.namespace);
    const at = `${entry.name}.${entry.namespace}.svc.${options.domain}`;
    if (entry.clusterIP !== undefined) addTo(reverse, entry.clusterIP, at);
    else for (const { ip, label } of entry.hosts) addTo(reverse, ip, `${label}.${at}`);
  }
  return new CompiledZone(entries, namespaces, reverse, options);
}

function addTo(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** The entry of one service; `cache` gives and keeps those that are known. */
export function entryOf(service: Service, endpointsOf: (key: Key) => Endpoints | undefined, cache: EntryCache): Entry {
  const before = cache.get(service);
  const key = before?.key ?? keyOf(service);
  const endpoints = endpointsOf(key);
  if (before !== undefined && before.endpoints === endpoints) return before;
  const { spec, metadata } = service;
  const external = spec.type === 'ExternalName';
  const entry: Entry = {
    key,
    revision: metadata.resourceVersion,
    endpoints,
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    clusterIP:
      external || spec.clusterIP === undefined || parseIp(spec.clusterIP) === undefined ? undefined : spec.clusterIP,
    externalName: external ? spec.externalName?.toLowerCase().replace(/\.$/, '') : undefined,
    ports: portsOf(spec.ports ?? []),
    hosts: external ? [] : hostsOf(endpoints, spec.publishNotReadyAddresses === true),
  };
  cache.set(service, entry);
  return entry;
}

interface Port {
  readonly name?: string;
  readonly protocol: string;
  readonly port: number;
}

/** Ports without a name have no SRV record. */
const portsOf = (ports: readonly Port[]): Map<string, number> =>
  new Map(
    ports.flatMap(({ name, protocol, port }) =>
      name === undefined || name === '' ? [] : [[`_${name}._${protocol.toLowerCase()}`, port] as const],
    ),
  );

/** One host an address, though it may stand in several subsets; sorted by address, so that two compiles agree. */
function hostsOf(endpoints: Endpoints | undefined, withNotReady: boolean): readonly Host[] {
  const hosts = new Map<string, { label: string; ip: string; ports: Map<string, number> }>();
  for (const subset of endpoints?.subsets ?? []) {
    for (const { ip, hostname } of addressesOf(subset, withNotReady)) {
      const known = hosts.get(ip) ?? {
        label: hostname?.toLowerCase() ?? ip.replaceAll('.', '-'),
        ip,
        ports: new Map(),
      };
      hosts.set(ip, known);
      for (const [name, port] of portsOf(subset.ports ?? [])) known.ports.set(name, port);
    }
  }
  return [...hosts.values()].sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

const addressesOf = (subset: EndpointSubset, withNotReady: boolean): readonly EndpointAddress[] =>
  withNotReady ? [...(subset.addresses ?? []), ...(subset.notReadyAddresses ?? [])] : (subset.addresses ?? []);

const nothing: Lookup = { kind: 'found', records: [], additional: [] };
const missing: Lookup = { kind: 'missing' };
const elsewhere: Lookup = { kind: 'elsewhere' };
const found = (records: readonly DnsRecord[], additional: readonly DnsRecord[] = []): Lookup => ({
  kind: 'found',
  records,
  additional,
});

class CompiledZone implements Zone {
  readonly soa: SoaRecord;
  readonly #entries: ReadonlyMap<Key, Entry>;
  readonly #namespaces: ReadonlySet<string>;
  readonly #reverse: ReadonlyMap<string, readonly string[]>;
  readonly #domain: string;
  readonly #ttl: number;

  constructor(
    entries: ReadonlyMap<Key, Entry>,
    namespaces: ReadonlySet<string>,
    reverse: ReadonlyMap<string, readonly string[]>,
    { domain, ttl, serial }: ZoneOptions,
  ) {
    this.#entries = entries;
    this.#namespaces = namespaces;
    this.#reverse = reverse;
    this.#domain = domain;
    this.#ttl = ttl;
    this.soa = {
      type: 'SOA',
      name: domain,
      ttl,
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial,
      refresh: 3600,
      retry: 600,
      expire: 86400,
      minimum: ttl,
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  entry(key: Key): Entry | undefined {
    return this.#entries.get(key);
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  keys(): Iterable<Key> {
    return this.#entries.keys();
  }

  lookup(name: string, type: TypeName | 'other'): Lookup {
    if (name === this.#domain) return this.#apex(type);
    if (name.endsWith('.in-addr.arpa')) return this.#pointer(name, type);
    if (!name.endsWith(`.${this.#domain}`)) return elsewhere;
    const labels = name.slice(0, -this.#domain.length - 1).split('.');
    const tree = labels.pop();
    if (tree === 'svc') return this.#service(name, labels, type);
    if (tree === 'pod') return this.#pod(name, labels, type);
    if (labels.length > 0) return missing;
    if (tree !== 'dns-version') return missing;
    return type === 'TXT' || type === 'ANY' ? found([{ type: 'TXT', name, ttl: this.#ttl, text: '1.1.0' }]) : nothing;
  }

  #apex(type: TypeName | 'other'): Lookup {
    if (type === 'SOA' || type === 'ANY') return found([this.soa]);
    return type === 'NS'
      ? found([{ type: 'NS', name: this.#domain, ttl: this.#ttl, target: this.soa.mname }])
      : nothing;
  }

  #pointer(name: string, type: TypeName | 'other'): Lookup {
    const ip = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    const at = parseIp(ip);
    const targets = at === undefined || reverseName(at) !== name ? undefined : this.#reverse.get(ip);
    if (targets === undefined) return elsewhere;
    if (type !== 'PTR' && type !== 'ANY') return nothing;
    return found(targets.map((target) => ({ type: 'PTR', name, ttl: this.#ttl, target })));
  }

  /** `labels` are those before `svc`, the namespace last. */
  #service(name: string, labels: readonly string[], type: TypeName | 'other'): Lookup {
    const [namespace, service, ...rest] = labels.toReversed();
    if (namespace === undefined) return nothing;
    if (service === undefined) return this.#namespaces.has(namespace) ? nothing : missing;
    const entry = this.#entries.get(`${namespace}/${service}`);
    if (entry === undefined) return missing;
    if (entry.externalName !== undefined) {
      return rest.length > 0 ? missing : found([{ type: 'CNAME', name, ttl: this.#ttl, target: entry.externalName }]);
    }
    const [first, second, ...more] = rest;
    if (first === undefined) return this.#addresses(name, entry, type);
    if (more.length > 0) return missing;
    if (second !== undefined) return this.#serviceRecords(name, entry, `${second}.${first}`, type);
    if (first.startsWith('_')) return hasProtocol(entry, first) ? nothing : missing;
    const hosts = entry.hosts.filter(({ label, ip }) => label === first || ip.replaceAll('.', '-') === first);
    return hosts.length === 0
      ? missing
      : wantsAddress(type)
        ? found(hosts.map(({ ip }) => this.#a(name, ip)))
        : nothing;
  }

  #addresses(name: string, entry: Entry, type: TypeName | 'other'): Lookup {
    if (!wantsAddress(type)) return nothing;
    if (entry.clusterIP !== undefined) return found([this.#a(name, entry.clusterIP)]);
    return found(entry.hosts.map(({ ip }) => this.#a(name, ip)));
  }

  #serviceRecords(name: string, entry: Entry, port: string, type: TypeName | 'other'): Lookup {
    const at = `${entry.name}.${entry.namespace}.svc.${this.#domain}`;
    const srv = (target: string, number: number): DnsRecord => ({
      ...{ type: 'SRV', name, ttl: this.#ttl, priority: 0, weight: 100 },
      ...{ port: number, target },
    });
    const wanted = type === 'SRV' || type === 'ANY';
    if (entry.clusterIP !== undefined) {
      const number = entry.ports.get(port);
      if (number === undefined) return missing;
      return wanted ? found([srv(at, number)], [this.#a(at, entry.clusterIP)]) : nothing;
    }
    const hosts = entry.hosts.flatMap((host) => {
      const number = host.ports.get(port);
      return number === undefined ? [] : [{ target: `${host.label}.${at}`, number, ip: host.ip }];
    });
    if (hosts.length === 0) return entry.ports.has(port) ? nothing : missing;
    if (!wanted) return nothing;
    return found(
      hosts.map(({ target, number }) => srv(target, number)),
      hosts.map(({ target, ip }) => this.#a(target, ip)),
    );
  }

  #pod(name: string, labels: readonly string[], type: TypeName | 'other'): Lookup {
    const [namespace, dashed, ...more] = labels.toReversed();
    if (namespace === undefined || (dashed === undefined && this.#namespaces.has(namespace))) return nothing;
    const ip = dashed?.replaceAll('-', '.') ?? '';
    if (more.length > 0 || parseIp(ip) === undefined) return missing;
    return wantsAddress(type) ? found([this.#a(name, ip)]) : nothing;
  }

  #a(name: string, address: string): DnsRecord {
    return { type: 'A', name, ttl: this.#ttl, address };
  }
}

const wantsAddress = (type: TypeName | 'other'): boolean => type === 'A' || type === 'ANY';

/** Whether there is a name below `_tcp.svc…`, which makes that a name too. */
const hasProtocol = (entry: Entry, protocol: string): boolean =>
  [...entry.ports.keys()].some((port) => port.endsWith(`.${protocol}`));
