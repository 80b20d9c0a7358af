import type { Tracer } from '@opentelemetry/api';
import type { Endpoints, Service } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { contextOf, traceAnnotation } from '../../lib/base/trace.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { compile, type EntryCache, type Zone } from './zone.ts';

export interface NamesOptions {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  readonly domain: string;
  readonly ttl: number;
  readonly clock: Clock;
  readonly tracer: Tracer;
  /** Told after each compile: its work, and the time since the first change that it has in it arrived. */
  readonly onCompiled?: (workSeconds: number, lagSeconds: number) => void;
}

/**
 * Keeps the zone equal to services and endpoints: all changes of one turn of the event loop become one new zone, which
 * takes the place of the old one whole. The last zone goes on being served whatever becomes of the API and the bus.
 */
export class Names {
  readonly #o: NamesOptions;
  readonly #cache: EntryCache = new WeakMap();
  #zone: Zone | undefined;
  #serial = 0;
  #waiting: { readonly sinceMs: number; traceparent: string | undefined } | undefined;
  /** The latest revisions among the objects that the zone was made from. */
  readonly revisions = { services: 0, endpoints: 0 };

  constructor(options: NamesOptions) {
    this.#o = options;
  }

  /** Undefined before the first complete snapshot. */
  get zone(): Zone | undefined {
    return this.#zone;
  }

  /** Call it once both views have their first snapshot. Returns the way to stop. */
  start(): () => void {
    for (const object of this.#o.services.list()) this.#note('services', object);
    for (const object of this.#o.endpoints.list()) this.#note('endpoints', object);
    this.#compile();
    const stops = [
      this.#o.services.onChange((change) => this.#hear('services', change)),
      this.#o.endpoints.onChange((change) => this.#hear('endpoints', change)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  #note(kind: 'services' | 'endpoints', object: Service | Endpoints): void {
    this.revisions[kind] = Math.max(this.revisions[kind], Number(object.metadata.resourceVersion));
  }

  #hear(kind: 'services' | 'endpoints', { before, after }: Change<Service | Endpoints>): void {
    const object = after ?? before;
    if (object !== undefined) this.#note(kind, object);
    if (this.#waiting === undefined) {
      this.#waiting = { sinceMs: this.#o.clock.monotonic(), traceparent: undefined };
      setImmediate(() => this.#compile());
    }
    this.#waiting.traceparent = after?.metadata.annotations?.[traceAnnotation] ?? this.#waiting.traceparent;
  }

  #compile(): void {
    const { services, endpoints, domain, ttl, clock, tracer, onCompiled } = this.#o;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const startMs = clock.monotonic();
    const span = tracer.startSpan('dns compile', {}, contextOf(waiting?.traceparent));
    const cache = this.#cache;
    this.#zone = compile(services.list(), (key) => endpoints.get(key), { domain, ttl, serial: ++this.#serial, cache });
    span.end();
    const endMs = clock.monotonic();
    onCompiled?.((endMs - startMs) / 1000, (endMs - (waiting?.sinceMs ?? startMs)) / 1000);
  }
}
