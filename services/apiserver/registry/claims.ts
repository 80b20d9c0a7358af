import { usesHealthCheckPort, usesNodePorts } from '../../../lib/api/defaults/service-type.ts';
import { isAbsent, objectAt, objectsAt, textAt, type Json } from '../../../lib/api/json.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import { contains, formatCidr, formatIp, parseIp, sizeOf, type Cidr } from '../../../lib/api/net.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { ApiError, invalid, type FieldCause } from '../../../lib/base/errors.ts';
import type { Cache } from '../cache/cache.ts';
import type { StoreOp } from '../store/store.ts';

/** The ports from `first` to `last`, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface ClaimsOptions {
  readonly cache: Cache;
  readonly clock: Clock;
  readonly random: () => number;
  readonly serviceCidr: Cidr;
  readonly nodePorts: PortRange;
}

/** Whose an address or a port is; `releasedMs`: whose it was, and until when. */
interface ClaimRecord {
  readonly owner: string;
  readonly releasedMs?: number;
}

export interface Claimed {
  /** The Service with the address and the ports it needs. */
  readonly object: Json;
  /** Claims what is new and lets go of what is no longer needed: to be committed with the Service. */
  readonly ops: readonly StoreOp[];
}

/** What is released is not given to another Service for so long: clients may still know it by its old owner. */
const quarantineMs = 10 * 60_000;
/** The first address is for this Service, the tenth for the cluster's DNS in kube-system. */
const apiService = 'default/kubernetes';
const apiOffset = 1;
const dnsOffset = 10;
const randomPicks = 32;

/**
 * Which cluster IPs and node ports are taken. Every claim is a key of the store (`claims/clusterip/<ip>`,
 * `claims/nodeport/<port>`), written in the same commit as the Service that holds it, so that no crash and no second
 * apiserver gives one away twice. Nothing is kept here.
 */
export class ServiceClaims {
  readonly #o: ClaimsOptions;

  constructor(options: ClaimsOptions) {
    this.#o = options;
  }

  /** Invalid when a Service asks for what is taken or out of range, ServiceUnavailable when none is left. Changes neither argument. */
  forService(next: Json, previous: Json | undefined): Claimed {
    const before = previous === undefined ? new Set<string>() : claimKeys(previous);
    const owner = ownerOf(next);
    const causes: FieldCause[] = [];
    const object = this.#withPorts(this.#withAddress(next, { owner, before, causes }), { owner, before, causes });
    if (causes.length > 0) throw invalid('Service', textAt(objectAt(next, 'metadata'), 'name'), causes);
    const after = claimKeys(object);
    const taken = [...after].filter((key) => !before.has(key)).map((key) => this.#take(key, owner));
    return { object, ops: [...taken, ...this.#release(before, after)] };
  }

  /** What a Service that goes lets go of. */
  forEnd(service: Json): readonly StoreOp[] {
    return this.#release(claimKeys(service), new Set());
  }

  #withAddress(service: Json, { owner, before, causes }: Asking): Json {
    const spec = objectAt(service, 'spec');
    const address = textAt(spec, 'clusterIP');
    if (spec['type'] === 'ExternalName' || address === 'None') return service;
    if (address === '') {
      const picked = formatIp(this.#pickAddress(owner));
      return { ...service, spec: { ...spec, clusterIP: picked, clusterIPs: [picked] } };
    }
    if (before.has(addressKey(address))) return service;
    const wrong = this.#wrongAddress(address, owner);
    if (wrong !== undefined) causes.push(cause('spec.clusterIPs[0]', address, wrong));
    return service;
  }

  #wrongAddress(address: string, owner: string): string | undefined {
    const { serviceCidr } = this.#o;
    const ip = parseIp(address);
    const offset = ip === undefined ? -1 : ip - serviceCidr.base;
    if (ip === undefined || !contains(serviceCidr, ip) || offset === 0 || offset === sizeOf(serviceCidr) - 1) {
      return `provided IP is not in the valid range. The range of valid IPs is ${formatCidr(serviceCidr)}`;
    }
    if (offset === apiOffset && owner !== apiService) return `this address is kept for the Service ${apiService}`;
    if (offset === dnsOffset && !owner.startsWith('kube-system/')) {
      return `this address is kept for the DNS of the cluster, in the namespace kube-system`;
    }
    const holder = this.#holder(addressKey(address));
    return holder === undefined || holder === owner ? undefined : `provided IP is already allocated (to ${holder})`;
  }

  #pickAddress(owner: string): number {
    const { serviceCidr } = this.#o;
    if (owner === apiService && this.#isFree(addressKey(formatIp(serviceCidr.base + apiOffset)))) {
      return serviceCidr.base + apiOffset;
    }
    const isKept = (offset: number): boolean => offset === apiOffset || offset === dnsOffset;
    const offset = this.#pick(1, sizeOf(serviceCidr) - 2, (n) =>
      isKept(n) ? undefined : addressKey(formatIp(serviceCidr.base + n)),
    );
    if (offset !== undefined) return serviceCidr.base + offset;
    throw new ApiError(
      'ServiceUnavailable',
      `no address of ${formatCidr(serviceCidr)} is free for a Service; delete one, or start the apiserver with a larger --service-cidr`,
    );
  }

  /** With the ports that nodes open: those asked for are looked at, those needed and not named are picked. */
  #withPorts(service: Json, asking: Asking): Json {
    const spec = objectAt(service, 'spec');
    const chosen = new Set([...objectsAt(spec, 'ports').map(nodePortOf), Number(spec['healthCheckNodePort'] ?? 0)]);
    const settled = (given: number, field: string, needed: boolean): number => {
      if (given !== 0) {
        const wrong = asking.before.has(portKey(given)) ? undefined : this.#wrongPort(given, asking.owner);
        if (wrong !== undefined) asking.causes.push(cause(field, given, wrong));
      }
      if (given !== 0 || !needed) return given;
      const picked = this.#pickPort(chosen);
      chosen.add(picked);
      return picked;
    };
    const needed = usesNodePorts(spec);
    const ports = objectsAt(spec, 'ports').map((port, index) => {
      const nodePort = settled(nodePortOf(port), `spec.ports[${index}].nodePort`, needed);
      return nodePort === nodePortOf(port) ? port : { ...port, nodePort };
    });
    const health = settled(
      Number(spec['healthCheckNodePort'] ?? 0),
      'spec.healthCheckNodePort',
      usesHealthCheckPort(spec),
    );
    return {
      ...service,
      spec: {
        ...spec,
        ...(isAbsent(spec['ports']) ? {} : { ports }),
        ...(health === 0 ? {} : { healthCheckNodePort: health }),
      },
    };
  }

  #wrongPort(port: number, owner: string): string | undefined {
    const { first, last } = this.#o.nodePorts;
    if (port < first || port > last) {
      return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    }
    const holder = this.#holder(portKey(port));
    return holder === undefined || holder === owner ? undefined : `provided port is already allocated (to ${holder})`;
  }

  #pickPort(chosen: ReadonlySet<number>): number {
    const { first, last } = this.#o.nodePorts;
    const port = this.#pick(first, last, (n) => (chosen.has(n) ? undefined : portKey(n)));
    if (port !== undefined) return port;
    throw new ApiError(
      'ServiceUnavailable',
      `no node port of ${first}-${last} is free for a Service; delete one, or start the apiserver with a larger --node-ports`,
    );
  }

  /**
   * A free number from `first` to `last`: at random, so that those of different Services are told apart and a second
   * apiserver rarely chooses the same; when most are taken the next free one, and one in quarantine rather than none.
   */
  #pick(first: number, last: number, keyOf: (n: number) => string | undefined): number | undefined {
    const count = last - first + 1;
    const isFree = (n: number): boolean => {
      const key = keyOf(n);
      return key !== undefined && this.#isFree(key);
    };
    for (let i = 0; i < randomPicks; i++) {
      const n = first + Math.floor(this.#o.random() * count);
      if (isFree(n)) return n;
    }
    const start = Math.floor(this.#o.random() * count);
    let quarantined: { readonly n: number; readonly releasedMs: number } | undefined;
    for (let i = 0; i < count; i++) {
      const n = first + ((start + i) % count);
      if (isFree(n)) return n;
      const key = keyOf(n);
      const releasedMs = key === undefined ? undefined : this.#record(key)?.releasedMs;
      if (releasedMs !== undefined && releasedMs < (quarantined?.releasedMs ?? Infinity))
        quarantined = { n, releasedMs };
    }
    return quarantined?.n;
  }

  #take(key: string, owner: string): StoreOp {
    const claim = this.#o.cache.claim(key);
    return { key, value: encode({ owner }), ifRevision: claim?.revision ?? 0 };
  }

  #release(before: ReadonlySet<string>, after: ReadonlySet<string>): readonly StoreOp[] {
    const ops: StoreOp[] = [];
    for (const key of before) {
      const record = this.#record(key);
      if (after.has(key) || record === undefined) continue;
      ops.push({ key, value: encode({ owner: record.owner, releasedMs: this.#o.clock.now() }) });
    }
    return ops;
  }

  #isFree(key: string): boolean {
    const record = this.#record(key);
    return (
      record === undefined ||
      (record.releasedMs !== undefined && record.releasedMs + quarantineMs <= this.#o.clock.now())
    );
  }

  /** Who holds it; nobody once it was released: whoever asks for it by name may have it at once. */
  #holder(key: string): string | undefined {
    const record = this.#record(key);
    return record?.releasedMs === undefined ? record?.owner : undefined;
  }

  #record(key: string): ClaimRecord | undefined {
    const claim = this.#o.cache.claim(key);
    return claim === undefined ? undefined : (JSON.parse(Buffer.from(claim.value).toString()) as ClaimRecord);
  }
}

interface Asking {
  readonly owner: string;
  readonly before: ReadonlySet<string>;
  readonly causes: FieldCause[];
}

const cause = (field: string, value: string | number, why: string): FieldCause => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
});

const addressKey = (address: string): string => `claims/clusterip/${address}`;
const portKey = (port: number): string => `claims/nodeport/${port}`;
const encode = (record: ClaimRecord): Buffer => Buffer.from(JSON.stringify(record));

const ownerOf = (service: Json): string => {
  const metadata = objectAt(service, 'metadata');
  return makeKey(textAt(metadata, 'namespace'), textAt(metadata, 'name'));
};

const nodePortOf = (port: Json): number => Number(port['nodePort'] ?? 0);

/** The claims that a Service holds by what it says. */
function claimKeys(service: Json): Set<string> {
  const keys = new Set<string>();
  const spec = objectAt(service, 'spec');
  const address = textAt(spec, 'clusterIP');
  if (spec['type'] !== 'ExternalName' && address !== '' && address !== 'None') keys.add(addressKey(address));
  for (const nodePort of [...objectsAt(spec, 'ports').map(nodePortOf), Number(spec['healthCheckNodePort'] ?? 0)]) {
    if (nodePort !== 0) keys.add(portKey(nodePort));
  }
  return keys;
}
