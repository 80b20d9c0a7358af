import type { EffectsReply } from '../../lib/api/effects.ts';
import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { AllowedClient, Endpoints, LabelSelector, Service } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { newLayout } from '../columns.ts';
import { effectHeadings, effectRows } from '../effects/rows.ts';
import type { Session } from '../session.ts';
import { pairs, type Entry, type Outline } from './outline.ts';

/** What all proxies and DNS servers have for a Service; a sentence where they cannot be asked. */
export async function inEffect(session: Session, { metadata: { namespace, name } }: Service): Promise<Entry> {
  const client = await session.client();
  let lines: readonly string[];
  try {
    const reply = await client.call<EffectsReply>('troupe.v1.Effects', 'List', { namespace, name }, session.call);
    const rows = effectRows(reply);
    lines = rows.length === 0 ? [] : newLayout().lines([effectHeadings, ...rows]);
  } catch (error) {
    lines = [`not known: ${messageOf(error)}`]; // the rest of the description stands
  }
  return ['In effect', lines];
}

export function describeService(service: Service, endpoints: Endpoints | undefined): Outline {
  const { spec } = service;
  const ports = (spec.ports ?? []).map((port) => {
    const name = port.name === undefined ? '' : ` (${port.name})`;
    const node = port.nodePort === undefined ? '' : `, port ${port.nodePort} of every node`;
    return `${port.port}/${port.protocol}${name} to port ${port.targetPort} of the pods${node}`;
  });
  return [
    [
      'Selector',
      spec.selector === undefined ? '<none>: its endpoints are written by hand' : pairs(spec.selector).join(','),
    ],
    ['Type', spec.type],
    ['IP', spec.clusterIP === 'None' ? 'None: its name answers with the addresses of the pods' : spec.clusterIP],
    ['External name', spec.externalName],
    ['External IPs', spec.externalIPs],
    ...describeBalancer(service),
    ['Ports', ports],
    ['Session affinity', affinityText(spec)],
    ['Traffic policy', policiesText(spec)],
    ['Allowed clients', spec.allowedClients?.map(clientText)],
    ['Admitted now', endpoints?.access && nobodyOr(endpoints.access.clients)],
    ['Endpoints', endpoints === undefined ? [] : addressesOf(endpoints, 'addresses')],
    ['Not ready', endpoints === undefined ? undefined : orNothing(addressesOf(endpoints, 'notReadyAddresses'))],
  ];
}

const nobodyOr = (clients: readonly string[] = []): readonly string[] | string =>
  clients.length === 0 ? 'nobody' : clients;

function clientText({ podSelector, namespaceSelector }: AllowedClient): string {
  const of = (what: string, selector: LabelSelector | undefined): string =>
    `${what}${selector === undefined ? '' : ` ${formatSelector(selectorOfLabelSelector(selector)) || '(all)'}`}`;
  return namespaceSelector === undefined
    ? of('pods', podSelector)
    : `${of('pods', podSelector)} in ${of('namespaces', namespaceSelector)}`;
}

/** What a load balancer has given, and whom it lets through. */
function describeBalancer({ spec, status }: Service): Outline {
  if (spec.type !== 'LoadBalancer') return [];
  const given = (status.loadBalancer?.ingress ?? []).map(({ ip, hostname, ipMode, ports }) => {
    const failed = (ports ?? []).flatMap(({ port, protocol, error }) =>
      error === undefined ? [] : [`${port}/${protocol} is not served: ${error}`],
    );
    return [`${ip ?? hostname ?? ''}${ipMode === 'Proxy' ? ' (through the balancer)' : ''}`, ...failed].join(', ');
  });
  const ranges = spec.loadBalancerSourceRanges ?? [];
  return [
    ['Load balancer', given.length === 0 ? '<pending>: no load balancer has given an address yet' : given],
    ['Load balancer class', spec.loadBalancerClass],
    ['Address asked for', spec.loadBalancerIP],
    ['Source ranges', ranges.length === 0 ? undefined : ranges],
    [
      'Health check',
      spec.healthCheckNodePort === undefined ? undefined : `port ${spec.healthCheckNodePort} of every node`,
    ],
  ];
}

function affinityText({ sessionAffinity, sessionAffinityConfig }: Service['spec']): string {
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  return sessionAffinity === 'None' || seconds === undefined
    ? sessionAffinity
    : `${sessionAffinity}, for ${seconds} s after the last connection`;
}

/** Only what differs from going to any endpoint. */
function policiesText({ internalTrafficPolicy, externalTrafficPolicy }: Service['spec']): string | undefined {
  const parts = [
    ...(internalTrafficPolicy === 'Local' ? ['from pods only to endpoints of their own node'] : []),
    ...(externalTrafficPolicy === 'Local' ? ['from outside only to endpoints of the node it came to'] : []),
  ];
  return parts.length === 0 ? undefined : parts.join(', ');
}

function addressesOf(endpoints: Endpoints, which: 'addresses' | 'notReadyAddresses'): string[] {
  return (endpoints.subsets ?? []).flatMap((subset) =>
    (subset[which] ?? []).flatMap((address) =>
      (subset.ports ?? []).map(
        ({ port }) =>
          `${address.ip}:${port}${address.targetRef?.name === undefined ? '' : ` (${address.targetRef.name})`}`,
      ),
    ),
  );
}

const orNothing = (lines: readonly string[]): readonly string[] | undefined => (lines.length === 0 ? undefined : lines);
