import type { Endpoints, Pod, Service } from '../../../lib/api/objects.ts';

/** What a proxy and a DNS server should have, worked out from pods and services alone, by rules written down a second time for the test. */
export interface Expected {
  /** `10.96.0.7:80/TCP` and `*:30080/TCP`, to its backends, sorted. */
  readonly frontends: ReadonlyMap<string, string>;
  /** Name to its addresses, sorted. */
  readonly names: ReadonlyMap<string, string>;
}

export function expectedFrom(
  services: readonly Service[],
  pods: readonly Pod[],
  byHand: (service: Service) => Endpoints | undefined,
): Expected {
  const frontends = new Map<string, string>();
  const names = new Map<string, string>();
  for (const service of services) {
    const { metadata, spec } = service;
    const own = spec.selector === undefined ? undefined : behind(service, pods);
    const ips = own ?? (byHand(service)?.subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip));
    const name = `${metadata.name}.${metadata.namespace ?? ''}.svc.cluster.local`;
    if (spec.clusterIP === 'None') {
      names.set(name, ips.toSorted().join(' '));
      continue;
    }
    names.set(name, spec.clusterIP ?? '');
    for (const { port, protocol, targetPort, nodePort } of spec.ports ?? []) {
      const to = ips.map((ip) => `${ip}:${targetPort}`).sort();
      frontends.set(`${spec.clusterIP ?? ''}:${port}/${protocol}`, to.join(' '));
      if (nodePort !== undefined && nodePort !== 0) frontends.set(`*:${nodePort}/${protocol}`, to.join(' '));
    }
  }
  return { frontends, names };
}

/** Addresses of the pods that a service selects and that take traffic now. */
const behind = ({ metadata, spec }: Service, pods: readonly Pod[]): string[] =>
  pods
    .filter(
      (pod) =>
        pod.metadata.namespace === metadata.namespace &&
        Object.entries(spec.selector ?? {}).every(([name, value]) => pod.metadata.labels?.[name] === value) &&
        pod.metadata.deletionTimestamp === undefined &&
        (pod.status.podIP ?? '') !== '' &&
        pod.status.phase !== 'Succeeded' &&
        pod.status.phase !== 'Failed' &&
        (spec.publishNotReadyAddresses === true || isReady(pod)),
    )
    .map(({ status }) => status.podIP ?? '');

const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true;

/** The first differences in words. */
export function differences(
  what: string,
  is: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): string[] {
  const found: string[] = [];
  for (const [key, to] of wanted)
    if (is.get(key) !== to) found.push(`${what}: ${key} leads to "${is.get(key) ?? 'nothing at all'}", not to "${to}"`);
  for (const [key, to] of is) if (!wanted.has(key)) found.push(`${what}: ${key} is left over, to "${to}"`);
  return found;
}
