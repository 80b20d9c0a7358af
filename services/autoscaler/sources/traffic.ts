import type { Key } from '../../../lib/api/keys.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import type { EventBus } from '../../../lib/bus/bus.ts';
import { askTraffic, type ServiceTraffic, type TrafficAnswer } from '../../../lib/bus/traffic-figures.ts';
import { Rates } from './rates.ts';

/** What proxies tell of a Service, as metrics of it (type Object, or External with a selector of Services). */
export const trafficMetrics = ['requests-per-second', 'connections-per-second', 'active-connections'] as const;
export type TrafficMetric = (typeof trafficMetrics)[number];
export const isTrafficMetric = (name: string): name is TrafficMetric =>
  (trafficMetrics as readonly string[]).includes(name);

export interface TrafficParts {
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly windowMs: number;
  /** Nodes whose proxies should answer. */
  readonly nodes: () => ReadonlySet<string>;
}

/** A figure, or why there is none. */
export type Reading = { readonly value: number } | { readonly why: string };

/**
 * What Services carry, from the counters of all proxies. A proxy that does not answer once is taken to go on as before for a window: a lost
 * message is no drop in load. One that is silent for longer carries nothing.
 */
export class Traffic {
  readonly #parts: TrafficParts;
  readonly #rates: Rates;
  /** The last answer of each proxy about a Service, by Service, node and instance. */
  readonly #last = new Map<string, { readonly service: Key; readonly atMs: number; readonly told: ServiceTraffic }>();

  constructor(parts: TrafficParts) {
    this.#parts = parts;
    this.#rates = new Rates(parts.windowMs);
  }

  /** One figure for each Service, which is asked for anew. Rejects with ServiceUnavailable when the bus is away. */
  async read(services: readonly Key[], metric: TrafficMetric): Promise<ReadonlyMap<Key, Reading>> {
    const { bus, cluster, clock, timeoutMs, nodes } = this.#parts;
    if (bus === undefined)
      return new Map(services.map((service) => [service, { why: 'the autoscaler works without a bus (--nats)' }]));
    const answers = await askTraffic(bus, { cluster, clock, timeoutMs, nodes: nodes() }, { services });
    const nowMs = clock.monotonic();
    this.#file(answers, nowMs);
    return new Map(services.map((service) => [service, this.#readingOf(service, metric, nowMs)]));
  }

  #file(answers: readonly TrafficAnswer[], nowMs: number): void {
    for (const { state, atMs } of answers)
      for (const told of state.services) {
        const id = `${told.service} ${state.node} ${state.instance}`;
        this.#last.set(id, { service: told.service, atMs, told });
        this.#rates.read(`requests ${id}`, told.requests, atMs);
        this.#rates.read(`connections ${id}`, told.connections, atMs);
        // A proxy that was started again goes on as before it until its own rate is known, and not beside it.
        if (this.#rates.rate(`connections ${id}`, nowMs) === undefined) continue;
        for (const other of this.#last.keys())
          if (other !== id && other.startsWith(`${told.service} ${state.node} `)) this.#last.delete(other);
      }
    this.#rates.forget(nowMs);
    for (const [id, { atMs }] of this.#last) if (nowMs - atMs > this.#parts.windowMs) this.#last.delete(id);
  }

  #readingOf(service: Key, metric: TrafficMetric, nowMs: number): Reading {
    const last = [...this.#last].filter(([, known]) => known.service === service);
    if (last.length === 0)
      return {
        why: `no proxy counts the traffic of Service ${service}: is it there, and does a proxy run?`,
      };
    if (metric !== 'connections-per-second' && last.some(([, { told }]) => told.kernel === true))
      return {
        why: `the kernel carries the traffic of Service ${service} and counts connections alone; for ${metric} start proxies with --by-request and say appProtocol: http, or name a policy in troupe.dev/proxy-policy`,
      };
    let [value, known] = [0, 0];
    for (const [id, { told }] of last) {
      const counter = metric === 'requests-per-second' ? 'requests' : 'connections';
      const part = metric === 'active-connections' ? told.active : this.#rates.rate(`${counter} ${id}`, nowMs);
      if (part === undefined) continue; // a proxy that has just begun has carried next to nothing
      value += part;
      known++;
    }
    return known > 0
      ? { value }
      : { why: `the traffic of Service ${service} was read once so far; a rate needs two readings` };
  }
}
