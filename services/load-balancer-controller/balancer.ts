import { keyOf, type Key } from '../../lib/api/keys.ts';
import { formatCidr, parseCidr } from '../../lib/api/net.ts';
import type { Endpoints, Protocol, Service, ServicePort } from '../../lib/api/objects.ts';

/** What a load balancer is to do for one Service: all that a provider needs to know. */
export interface Balancer {
  readonly key: Key;
  /** When the Service was made: what two claim is the older's. */
  readonly since: string;
  readonly ports: readonly BalancerPort[];
  /** Senders that are let through, as blocks, sorted; empty: all. */
  readonly sourceRanges: readonly string[];
  /** A client returns to its endpoint within so long; 0: no affinity. */
  readonly affinitySeconds: number;
  /** The address that its status tells to clients. */
  readonly held: string | undefined;
  /** The address that its owner asks for. */
  readonly asked: string | undefined;
}

export interface BalancerPort {
  readonly port: number;
  readonly protocol: Protocol;
  /** `address:port` of ready endpoints, sorted, each once. */
  readonly backends: readonly string[];
}

/** The first address that a load balancer gave. */
export const heldBy = ({ status }: Service): string | undefined => status.loadBalancer?.ingress?.[0]?.ip;

/** Whether a load balancer is asked for. */
export const wantsBalancer = ({ spec, metadata }: Service): boolean =>
  spec.type === 'LoadBalancer' && metadata.deletionTimestamp === undefined;

/** Compiles a Service and its Endpoints. Depends on its arguments only; the order of addresses does not matter. */
export function compile(service: Service, endpoints: Endpoints | undefined): Balancer {
  const { spec, metadata } = service;
  const asked = spec.loadBalancerIP ?? '';
  return {
    key: keyOf(service),
    since: metadata.creationTimestamp,
    ports: (spec.ports ?? []).map((port) => ({
      port: port.port,
      protocol: port.protocol,
      backends: backendsOf(endpoints, port),
    })),
    sourceRanges: rangesOf(spec.loadBalancerSourceRanges ?? []),
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0,
    held: heldBy(service),
    asked: asked === '' ? undefined : asked,
  };
}

/** A subset's port belongs to that of the Service by name and protocol; its number is the pods' own. */
function backendsOf(endpoints: Endpoints | undefined, port: ServicePort): readonly string[] {
  const found = new Set<string>();
  for (const { addresses = [], ports = [] } of endpoints?.subsets ?? [])
    for (const at of ports)
      if ((at.name ?? '') === (port.name ?? '') && at.protocol === port.protocol)
        for (const { ip } of addresses) found.add(`${ip}:${at.port}`);
  return [...found].sort();
}

/** In one spelling; the API has refused what is no block. */
const rangesOf = (ranges: readonly string[]): readonly string[] =>
  [
    ...new Set(
      ranges.flatMap((range) => {
        const cidr = parseCidr(range.trim());
        return cidr === undefined ? [] : [formatCidr(cidr)];
      }),
    ),
  ].sort();
