import type { Key } from '../../lib/api/keys.ts';
import type { MetricSpec, MetricTarget, MetricValueStatus, Pod, Service } from '../../lib/api/objects.ts';
import { metricName } from '../../lib/api/printing/autoscaling.ts';
import { bytesQuantity, formatNanos, nanos } from '../../lib/api/quantity.ts';
import { isReady } from '../../lib/api/pods.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { groupPods, type Delays, type Figures } from './group.ts';
import { byPods, byShare, byValue, type Proposal, type Tolerance } from './propose.ts';
import type { Scraped } from './sources/pod-metrics.ts';
import { isTrafficMetric, trafficMetrics, type Reading, type TrafficMetric } from './sources/traffic.ts';
import { figuresOf, requestOf, type Amount, type Used } from './sources/usage.ts';
import { servicesOf } from './watched.ts';

/** Where figures come from; each is asked at most once for a metric and a pass, and answers within a deadline or rejects. */
export interface Sources {
  usage(): Promise<Used>;
  scrape(metric: { readonly name: string; readonly selector?: object }): Promise<Scraped>;
  traffic(services: readonly Key[], metric: TrafficMetric): Promise<ReadonlyMap<Key, Reading>>;
  /** Services of the autoscaler's namespace. */
  services(): readonly Service[];
}

/** The target of an autoscaler as it is. */
export interface Observed {
  readonly namespace: string;
  /** What is asked for, and what there is. */
  readonly current: number;
  readonly present: number;
  readonly pods: readonly Pod[];
  readonly tolerance: Tolerance;
  readonly delays: Delays;
}

/** What a metric asks for, with its figure for the status; or why it cannot be had. */
export type Measured =
  | {
      readonly metric: string;
      readonly replicas: number;
      /** Where nothing is known of some pods, which ones; for nobody but people. */
      readonly current: MetricValueStatus;
    }
  | { readonly metric: string; readonly reason: string; readonly why: string };

/** Thrown inside for what a person has to know. */
class Unknown extends Error {}

const reasons: Readonly<Record<MetricSpec['type'], string>> = {
  Resource: 'FailedGetResourceMetric',
  ContainerResource: 'FailedGetContainerResourceMetric',
  Pods: 'FailedGetPodsMetric',
  Object: 'FailedGetObjectMetric',
  External: 'FailedGetExternalMetric',
};

/** One metric against its target. Never rejects: what cannot be had is said. */
export async function measure(spec: MetricSpec, observed: Observed, sources: Sources, clock: Clock): Promise<Measured> {
  const metric = metricName(spec);
  try {
    return { metric, ...(await read(spec, observed, sources, clock)) };
  } catch (error) {
    return { metric, reason: reasons[spec.type], why: messageOf(error) };
  }
}

interface Found {
  readonly replicas: number;
  readonly current: MetricValueStatus;
}

async function read(spec: MetricSpec, observed: Observed, sources: Sources, clock: Clock): Promise<Found> {
  switch (spec.type) {
    case 'Resource':
      return byResource(spec.resource, undefined, observed, { sources, clock });
    case 'ContainerResource':
      return byResource(spec.containerResource, spec.containerResource.container, observed, { sources, clock });
    case 'Pods': {
      const { metric, target } = spec.pods;
      const { figures, why } = await sources.scrape(metric);
      const proposal = byAverage(amountOf(target.averageValue), figures, observed, { cpu: false, clock });
      if (proposal === undefined) throw new Unknown(why ?? 'no pod that counts says it');
      return { replicas: proposal.replicas, current: { averageValue: quantity(meanOf(figures)) } };
    }
    case 'Object': {
      const { describedObject, metric, target } = spec.object;
      if (describedObject.kind !== 'Service')
        throw new Unknown(`nothing is known about a ${describedObject.kind}: metrics of type Object are of Services`);
      const services = servicesOf(spec, observed.namespace, []);
      return byTraffic(services, { name: metric.name, target }, observed, sources);
    }
    case 'External': {
      const { metric, target } = spec.external;
      const services = servicesOf(spec, observed.namespace, sources.services());
      if (services.length === 0)
        throw new Unknown('its selector takes no Service of the namespace, and there are no other external metrics');
      return byTraffic(services, { name: metric.name, target }, observed, sources);
    }
  }
}

async function byResource(
  source: { readonly name: string; readonly target: MetricTarget },
  container: string | undefined,
  observed: Observed,
  { sources, clock }: { readonly sources: Sources; readonly clock: Clock },
): Promise<Found> {
  const amount: Amount = source.name === 'memory' ? 'memory' : 'cpu';
  const used = await sources.usage();
  const figures = figuresOf(used, amount, container);
  const { target } = source;
  const by = { cpu: amount === 'cpu', clock };
  const told = (value: number): string | number =>
    amount === 'cpu' ? quantity(value / 1000) : bytesQuantity(Math.round(value));
  const nothing = (): Unknown =>
    new Unknown(`no figure of a pod that is ready${used.silent === '' ? '' : ` (${used.silent})`}`);
  if (target.type !== 'Utilization') {
    const wanted = amountOf(target.averageValue) * (amount === 'cpu' ? 1000 : 1);
    const proposal = byAverage(wanted, figures, observed, by);
    if (proposal === undefined) throw nothing();
    return { replicas: proposal.replicas, current: { averageValue: told(meanOf(figures)) } };
  }
  const percent = target.averageUtilization ?? 0;
  const groups = groupPods(observed.pods, figures, { cpu: by.cpu, nowMs: clock.now(), delays: observed.delays });
  const counted = new Set([...groups.measured, ...groups.missing, ...groups.unready]);
  const requests = new Map<string, number>();
  for (const pod of observed.pods) {
    if (!counted.has(pod.metadata.uid)) continue;
    const request = requestOf(pod, amount, container);
    if (typeof request === 'string') throw new Unknown(request);
    requests.set(pod.metadata.uid, request);
  }
  const requested = (uid: string): number => requests.get(uid) ?? 0;
  const proposal = byPods(observed.current, groups, figures, {
    share: (uid) => (requested(uid) * percent) / 100,
    full: (uid) => (requested(uid) * Math.max(100, percent)) / 100,
    tolerance: observed.tolerance,
  });
  if (proposal === undefined) throw nothing();
  const mean = groups.measured.reduce((sum, uid) => sum + (figures.get(uid)?.value ?? 0), 0) / groups.measured.length;
  return {
    replicas: proposal.replicas,
    current: { averageUtilization: Math.round(proposal.ratio * percent), averageValue: told(mean) },
  };
}

function byAverage(
  target: number,
  figures: Figures,
  observed: Observed,
  { cpu, clock }: { readonly cpu: boolean; readonly clock: Clock },
): Proposal | undefined {
  const groups = groupPods(observed.pods, figures, { cpu, nowMs: clock.now(), delays: observed.delays });
  const { current, tolerance } = observed;
  return byPods(current, groups, figures, { share: () => target, full: () => target, tolerance });
}

async function byTraffic(
  services: readonly Key[],
  { name, target }: { readonly name: string; readonly target: MetricTarget },
  observed: Observed,
  sources: Sources,
): Promise<Found> {
  if (!isTrafficMetric(name))
    throw new Unknown(`there is no metric ${name} of Services; there are ${trafficMetrics.join(', ')}`);
  let value = 0;
  for (const reading of (await sources.traffic(services, name)).values()) {
    if ('why' in reading) throw new Unknown(reading.why);
    value += reading.value;
  }
  const { current, present, pods, tolerance } = observed;
  if (target.type === 'Value') {
    const ready = pods.filter(isReady).length;
    const proposal = byValue(current, { value, target: amountOf(target.value), ready, tolerance });
    return { replicas: proposal.replicas, current: { value: quantity(value) } };
  }
  const proposal = byShare(present, { value, target: amountOf(target.averageValue), tolerance });
  return {
    replicas: proposal.replicas,
    current: { averageValue: quantity(present === 0 ? value : value / present) },
  };
}

const amountOf = (amount: string | number | undefined): number => Number(nanos(amount ?? 0)) / 1e9;

/** To thousandths, which is more than any figure here is good for. */
const quantity = (value: number): string => formatNanos(BigInt(Math.round(value * 1000)) * 1_000_000n, 'decimal');

const meanOf = (figures: Figures): number =>
  [...figures.values()].reduce((sum, { value }) => sum + value, 0) / Math.max(1, figures.size);
