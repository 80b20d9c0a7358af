import { sameJson } from '../../lib/api/json.ts';
import { resourceOf } from '../../lib/api/custom/resource-of.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import type { Resource } from '../../lib/api/kinds.ts';
import { matches, parseSelector, type Selector } from '../../lib/api/labels.ts';
import type { CustomResourceDefinition, HorizontalPodAutoscaler, Pod, Scale, Service } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import { nanos } from '../../lib/api/quantity.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { awake, decide, paceOf, type Decision, type Wanted } from './decide.ts';
import type { Delays } from './group.ts';
import { measure, type Measured, type Observed, type Sources } from './measure.ts';
import type { Memory } from './pace.ts';
import type { Tolerance } from './propose.ts';
import { memoryLeft, statusOf, type Findings } from './status.ts';
import { scrape, type Scraping } from './sources/pod-metrics.ts';
import type { Traffic } from './sources/traffic.ts';
import { askUsage, type Used } from './sources/usage.ts';
import type { Wants } from './wants.ts';
import { servicesOf } from './watched.ts';

export interface Parts {
  readonly autoscalers: View<HorizontalPodAutoscaler>;
  readonly pods: View<Pod>;
  readonly services: View<Service>;
  readonly definitions: View<CustomResourceDefinition>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly traffic: Traffic;
  readonly scraping: Scraping;
  readonly wants: Wants;
  readonly limits: Limits;
}

export interface Limits extends Delays {
  readonly intervalMs: number;
  readonly tolerance: number;
  readonly downscaleStabilizationMs: number;
  readonly askTimeoutMs: number;
}

/** What a pass comes to. */
interface Outcome {
  readonly findings: Findings;
  readonly current?: number;
  readonly desired?: number;
  readonly metrics?: readonly Measured[];
  readonly memory?: Memory;
  readonly scaled: boolean;
  /** For people, as a Warning. */
  readonly warning?: { readonly reason: string; readonly message: string };
}

/** Sets the scale of what autoscalers name, by their metrics. Writes scales, and the autoscalers' status. */
export class Autoscaler implements Controller {
  readonly name = 'autoscaler';
  readonly #parts: Parts;
  /** By uid, for as long as this process leads: another leader may have scaled in between. */
  #memories = new Map<string, Memory>();
  readonly #uids = new Map<Key, string>();
  #leadership: AbortSignal | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    const { autoscalers, limits, clock } = this.#parts;
    if (signal !== this.#leadership) this.#memories = new Map();
    this.#leadership = signal;
    const autoscaler = autoscalers.get(key);
    const known = this.#uids.get(key);
    if (known !== undefined && known !== autoscaler?.metadata.uid) {
      this.#memories.delete(known);
      this.#uids.delete(key);
    }
    if (autoscaler === undefined || isDeleting(autoscaler)) return;
    const startMs = clock.monotonic();
    const outcome = await this.#pass(autoscaler);
    if (signal.aborted) return;
    await this.#report(autoscaler, outcome);
    const unsure = outcome.metrics?.some((metric) => 'why' in metric) === true;
    // What needs a second reading to be known is asked for again soon.
    const intervalMs = unsure ? Math.min(limits.intervalMs, soonMs) : limits.intervalMs;
    return { requeueAfterMs: Math.max(1, intervalMs - (clock.monotonic() - startMs)) };
  }

  /** Those that a word on these Services concerns: they may be at zero, and have one of them in a metric. */
  wokenBy(services: readonly Key[]): readonly Key[] {
    const said = new Set(services);
    return this.#parts.autoscalers
      .list()
      .filter((autoscaler) => this.#watched(autoscaler).some((service) => said.has(service)))
      .map(keyOf);
  }

  /** The Services whose clients wake the target: none where it may not go to zero. */
  #watched({ metadata, spec }: HorizontalPodAutoscaler): readonly Key[] {
    if (spec.minReplicas !== 0) return [];
    const namespace = metadata.namespace ?? '';
    const services = this.#parts.services.list(namespace);
    return spec.metrics.flatMap((metric) => servicesOf(metric, namespace, services));
  }

  async #pass(autoscaler: HorizontalPodAutoscaler): Promise<Outcome> {
    const { clock, limits, wants } = this.#parts;
    const { spec, metadata } = autoscaler;
    const found = await this.#scaleOf(autoscaler);
    if ('why' in found) return unable('FailedGetScale', `the target's scale cannot be had: ${found.why}`);
    const { scale, resource } = found;
    const current = scale.spec.replicas ?? 0;
    if (current === 0 && spec.minReplicas !== 0)
      return idle(current, 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero');
    const memory = this.#memories.get(metadata.uid) ?? memoryLeft(autoscaler, current, clock.now());
    const pace = paceOf(spec, limits.downscaleStabilizationMs);
    const waitedFor = this.#watched(autoscaler).find((service) => wants.isWanted(service));
    const bounds = awake(spec, waitedFor && `a connection waits for Service ${waitedFor}`);
    const inside = current <= bounds.maxReplicas && current >= bounds.minReplicas;
    const looked = inside ? await this.#look(autoscaler, scale) : undefined;
    if (looked !== undefined && 'reason' in looked)
      return { ...idle(current, looked.reason, looked.message), warning: looked };
    const { wanted, metrics, active } = looked ?? {};
    const failed = metrics?.find((metric) => 'why' in metric);
    if (inside && wanted === undefined)
      return {
        findings: { AbleToScale: gotScale, ...(active !== undefined && { ScalingActive: active }) },
        current: scale.status.replicas,
        desired: current,
        scaled: false,
        ...(metrics !== undefined && { metrics }),
        ...(failed !== undefined && 'why' in failed && { warning: { reason: failed.reason, message: textOf(failed) } }),
        memory,
      };
    const decision = decide(bounds, current, wanted, { memory, pace, nowMs: clock.now() });
    const refused = await this.#rescale(autoscaler, { resource, scale }, decision);
    if (refused !== undefined)
      return {
        ...unable('FailedUpdateScale', `the target's scale cannot be set: ${refused}`),
        current,
        desired: current,
      };
    this.#uids.set(keyOf(autoscaler), metadata.uid);
    this.#memories.set(metadata.uid, decision.memory);
    return {
      findings: {
        AbleToScale: decision.able,
        ScalingLimited: decision.limited,
        ...(active !== undefined && { ScalingActive: active }),
      },
      current: scale.status.replicas,
      desired: decision.replicas,
      ...(metrics !== undefined && { metrics }),
      memory: decision.memory,
      scaled: decision.replicas !== current,
    };
  }

  async #scaleOf({
    metadata,
    spec,
  }: HorizontalPodAutoscaler): Promise<
    { readonly scale: Scale; readonly resource: Resource } | { readonly why: string }
  > {
    const { client, definitions, limits } = this.#parts;
    const { scaleTargetRef: target } = spec;
    const found = resourceOf(target, definitions.list());
    if ('why' in found) return found;
    try {
      const key = makeKey(metadata.namespace, target.name);
      const scale = await client.scale(found.resource, key, { timeoutMs: limits.askTimeoutMs });
      if (scale === undefined) return { why: `there is no ${target.kind} ${target.name}` };
      return { scale, resource: found.resource };
    } catch (error) {
      if (hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error; // the API is away: nothing can be told either
      return { why: messageOf(error) };
    }
  }

  /** What the metrics say. Down only where all of them are known; of those known the one that wants most counts. */
  async #look(
    autoscaler: HorizontalPodAutoscaler,
    scale: Scale,
  ): Promise<
    | {
        readonly wanted?: Wanted;
        readonly metrics: readonly Measured[];
        readonly active: NonNullable<Findings['ScalingActive']>;
      }
    | { readonly reason: string; readonly message: string }
  > {
    const { pods, clock, limits } = this.#parts;
    const { spec, metadata } = autoscaler;
    const namespace = metadata.namespace ?? '';
    const text = scale.status.selector ?? '';
    if (text === '') return { reason: 'InvalidSelector', message: "the target's scale has no selector" };
    const selector = selectorIn(text);
    if (selector === undefined)
      return { reason: 'InvalidSelector', message: `the target's selector cannot be read: ${text}` };
    const others = this.#others(autoscaler);
    if (others.length > 0)
      return {
        reason: 'AmbiguousSelector',
        message: `${spec.scaleTargetRef.kind} ${spec.scaleTargetRef.name} is the target of other autoscalers too: ${others.join(', ')}`,
      };
    const current = scale.spec.replicas ?? 0;
    const observed: Observed = {
      ...{ namespace, current, present: scale.status.replicas, delays: limits },
      pods: pods.list(namespace).filter((pod) => matches(selector, pod.metadata.labels)),
      tolerance: toleranceOf(spec, limits.tolerance),
    };
    const sources = this.#sources(namespace, text, observed.pods);
    const metrics = await Promise.all(spec.metrics.map((metric) => measure(metric, observed, sources, clock)));
    const [known, unknown] = [metrics.filter(isKnown), metrics.filter((metric) => !isKnown(metric))];
    const most = known.toSorted((a, b) => b.replicas - a.replicas)[0];
    const [first] = unknown;
    if (most === undefined || (first !== undefined && most.replicas < current)) {
      const { reason, why } = first !== undefined && 'why' in first ? first : { reason: 'FailedGetMetric', why: '' };
      const count = unknown.length < metrics.length ? `${unknown.length} of ${metrics.length} metrics: ` : '';
      const message = `no count can be worked out: ${count}${first?.metric ?? ''}: ${why}`;
      return { metrics, active: { status: 'False', reason, message } };
    }
    const message = `the count was worked out from ${most.metric}`;
    const inUse = most.replicas === 0 ? await this.#inUse(autoscaler) : undefined;
    return {
      wanted: inUse ?? { replicas: most.replicas, metric: most.metric },
      metrics,
      active: { status: 'True', reason: 'ValidMetricFound', message },
    };
  }

  /** No target goes to zero under a connection that is open and says nothing, or that waits; rates are blind to both. */
  async #inUse(autoscaler: HorizontalPodAutoscaler): Promise<Wanted | undefined> {
    const watched = this.#watched(autoscaler);
    if (watched.length === 0) return undefined;
    for (const [service, reading] of await this.#parts.traffic.read(watched, 'active-connections'))
      if ('value' in reading && reading.value > 0)
        return { replicas: 1, metric: `open connections of Service ${service}` };
    return undefined;
  }

  #sources(namespace: string, selector: string, pods: readonly Pod[]): Sources {
    const { client, limits, traffic, scraping, services } = this.#parts;
    let usage: Promise<Used> | undefined;
    return {
      usage: () => (usage ??= askUsage(client, { namespace, selector, timeoutMs: limits.askTimeoutMs })),
      scrape: (metric) => scrape(pods, metric, scraping),
      traffic: (keys, metric) => traffic.read(keys, metric),
      services: () => services.list(namespace),
    };
  }

  /** Two that disagree about one count would move it for ever; neither does, and both say so. */
  #others(autoscaler: HorizontalPodAutoscaler): readonly string[] {
    const { metadata, spec } = autoscaler;
    return this.#parts.autoscalers
      .list(metadata.namespace)
      .filter((other) => other.metadata.uid !== metadata.uid && !isDeleting(other))
      .filter((other) => sameJson(targetOf(other), targetOf({ spec })))
      .map((other) => other.metadata.name)
      .sort();
  }

  /** A text says why it could not be done. */
  async #rescale(
    autoscaler: HorizontalPodAutoscaler,
    { resource, scale }: { readonly resource: Resource; readonly scale: Scale },
    { replicas, because }: Decision,
  ): Promise<string | undefined> {
    const { client, recorder } = this.#parts;
    if (replicas === (scale.spec.replicas ?? 0)) return undefined;
    const { namespace, name, resourceVersion } = scale.metadata;
    try {
      // Only from the count that was looked at: whoever changed it meanwhile is not overruled by what was thought before.
      const patch = { metadata: { resourceVersion }, spec: { replicas } };
      await client.patch(resource, makeKey(namespace, name), patch, { subresource: 'scale' });
    } catch (error) {
      if (hasReason(error, 'Conflict')) throw error; // looked at again, soon
      recorder.event(
        autoscaler,
        'Warning',
        'FailedRescale',
        `New size: ${replicas}; reason: ${because}; error: ${messageOf(error)}`,
      );
      if (hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error;
      return messageOf(error);
    }
    recorder.event(autoscaler, 'Normal', 'SuccessfulRescale', `New size: ${replicas}; reason: ${because}`);
    return undefined;
  }

  async #report(autoscaler: HorizontalPodAutoscaler, outcome: Outcome): Promise<void> {
    const { client, autoscalers, recorder, clock } = this.#parts;
    // Said when it begins, not in every pass: the condition says it as long as it lasts.
    const known = autoscaler.status.conditions?.some(({ reason }) => reason === outcome.warning?.reason) === true;
    if (outcome.warning !== undefined && !known)
      recorder.event(autoscaler, 'Warning', outcome.warning.reason, outcome.warning.message);
    const status = statusOf(autoscaler, outcome, clock.now());
    if (sameJson(autoscaler.status, status)) return;
    try {
      autoscalers.wrote(await client.updateStatus('horizontalpodautoscalers', { ...autoscaler, status }));
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
      // It has changed or is gone: the next pass sees it as it is. What was done is remembered here until then.
      const now = await client.get('horizontalpodautoscalers', keyOf(autoscaler));
      if (now === undefined) autoscalers.wroteDeletion(autoscaler);
      else autoscalers.wrote(now);
    }
  }
}

const soonMs = 1_000;

const gotScale = {
  status: 'True',
  reason: 'SucceededGetScale',
  message: "the target's current scale was read",
} as const;

const unable = (reason: string, message: string): Outcome => ({
  findings: { AbleToScale: { status: 'False', reason, message } },
  scaled: false,
  warning: { reason, message },
});

const idle = (current: number, reason: string, message: string): Outcome => ({
  findings: { AbleToScale: gotScale, ScalingActive: { status: 'False', reason, message } },
  current,
  desired: current,
  scaled: false,
});

const isKnown = (measured: Measured): measured is Extract<Measured, { readonly replicas: number }> =>
  'replicas' in measured;
const textOf = (measured: { readonly metric: string; readonly why: string }): string =>
  `${measured.metric}: ${measured.why}`;

const targetOf = ({ spec }: Pick<HorizontalPodAutoscaler, 'spec'>): object => {
  const { apiVersion = 'v1', kind, name } = spec.scaleTargetRef;
  return { group: apiVersion.split('/').slice(0, -1).join('/'), kind, name };
};

function toleranceOf({ behavior }: HorizontalPodAutoscaler['spec'], usual: number): Tolerance {
  const of = (tolerance: string | number | undefined): number =>
    tolerance === undefined ? usual : Number(nanos(tolerance)) / 1e9;
  return { up: of(behavior?.scaleUp?.tolerance), down: of(behavior?.scaleDown?.tolerance) };
}

/** What users' kinds say is not checked by anybody before. */
function selectorIn(text: string): Selector | undefined {
  try {
    return parseSelector(text);
  } catch {
    return undefined;
  }
}
