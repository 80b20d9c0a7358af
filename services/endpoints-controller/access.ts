import type { AllowedClient, EndpointsAccess, EndpointSubset, Labels, Pod, Service } from '../../lib/api/objects.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import { isTerminal } from '../../lib/api/pods.ts';

export const clientsOverCapacity = 'troupe.dev/clients-over-capacity';

/** More clients than this would make an object too large to send to every proxy at each change. */
export const maxClients = 10_000;

/** Who is asked about pods and namespaces; answers may hold more than what was asked for. */
export interface Surroundings {
  /** Pods of a namespace that have these labels. */
  pods(namespace: string, labels: Labels | undefined): Iterable<Pod>;
  readonly namespaces: Iterable<{ readonly metadata: { readonly name: string; readonly labels?: Labels } }>;
  /** Whether a Service that admits everybody selects this pod, too. */
  isOpen(pod: Pod): boolean;
  /** Whether its node has said that it answers nobody, which its status does not know yet. */
  isDown(pod: Pod): boolean;
}

export const isRestricted = (service: Service): boolean => (service.spec.allowedClients ?? []).length > 0;

/** A pod that may open connections: one on its way out may too, until it has ended. */
export const isClient = (pod: Pod): boolean => (pod.status.podIP ?? '') !== '' && !isTerminal(pod);

/**
 * Addresses of the pods that may connect, sorted, each once, and whether some were cut off; undefined when everybody may
 * (D9). A client on the host's network has its node's address.
 */
export function compileClients(
  service: Service,
  around: Surroundings,
): { readonly clients: readonly string[]; readonly truncated: boolean } | undefined {
  if (!isRestricted(service)) return undefined;
  const found = new Set<string>();
  for (const client of service.spec.allowedClients ?? []) {
    const { matchLabels } = client.podSelector ?? {};
    for (const namespace of namespacesOf(client, service.metadata.namespace ?? '', around)) {
      for (const pod of around.pods(namespace, matchLabels)) {
        if (isClient(pod) && admitsLabels(client, pod.metadata.labels)) found.add(pod.status.podIP ?? '');
      }
    }
  }
  const sorted = [...found].sort();
  return { clients: sorted.slice(0, maxClients), truncated: sorted.length > maxClients };
}

/** The part of an Endpoints object that says who may connect. */
export const accessOf = (
  clients: readonly string[] | undefined,
  leaving: readonly EndpointSubset[],
): EndpointsAccess | undefined =>
  clients && {
    ...(clients.length === 0 ? {} : { clients }),
    ...(leaving.length === 0 ? {} : { leaving }),
  };

export const admitsLabels = ({ podSelector }: AllowedClient, labels: Labels | undefined): boolean =>
  podSelector === undefined || matches(selectorOfLabelSelector(podSelector), labels);

function namespacesOf(client: AllowedClient, own: string, { namespaces }: Surroundings): readonly string[] {
  const { namespaceSelector } = client;
  if (namespaceSelector === undefined) return [own];
  const selector = selectorOfLabelSelector(namespaceSelector);
  return [...namespaces].flatMap(({ metadata }) => (matches(selector, metadata.labels) ? [metadata.name] : []));
}
