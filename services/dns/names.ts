import type { Tracer } from '@opentelemetry/api';
import type { EffectState } from '../../lib/api/effects.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Endpoints, Namespace, Service } from '../../lib/api/objects.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { contextOf, traceAnnotation } from '../../lib/base/trace.ts';
import type { Programmed as ProgrammedFact } from '../../lib/bus/traffic-facts.ts';
import { checkDelayMs } from '../../lib/controller/drift.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { effectOf, entryDifference } from './effect.ts';
import { compile, entryOf, type EntryCache, type Zone } from './zone.ts';

type Programmed = Pick<ProgrammedFact, 'epoch' | 'services' | 'endpoints'>;

export interface NamesOptions {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  readonly namespaces: View<Namespace>;
  readonly domain: string;
  readonly ttl: number;
  readonly clock: Clock;
  readonly tracer: Tracer;
  /** Told after each compile: its work, and the time since the first change that it has in it arrived. */
  readonly onCompiled?: (workSeconds: number, lagSeconds: number) => void;
  /** What the views are complete to. */
  readonly position?: () => Programmed;
  /** About how often the zone is compared with what it should be; absent: never. */
  readonly checkMs?: number;
  readonly random?: () => number;
  /** Told after each comparison what it found, which is mended already. */
  readonly onChecked?: (seconds: number, differences: readonly string[]) => void;
}

/** Changes that are not in the zone yet. */
interface Waiting {
  readonly sinceMs: number;
  traceparent: string | undefined;
}

/** Services compared in one turn of the event loop: questions wait no longer than that takes. */
const slice = 200;
const mostDifferences = 10;

/**
 * Keeps the zone equal to services and endpoints: all changes of one turn of the event loop become one new zone, which
 * takes the place of the old one whole. The last zone goes on being served whatever becomes of the API and the bus.
 */
export class Names {
  readonly #o: NamesOptions;
  #cache: EntryCache = new WeakMap();
  #drift = 0;
  #programmed: Programmed = { epoch: '', services: -1, endpoints: -1 };
  readonly #onProgrammed: (() => void)[] = [];
  #zone: Zone | undefined;
  #serial = 0;
  #waiting: Waiting | undefined;
  /** The latest revisions among the objects that the zone was made from. */
  readonly revisions = { services: 0, endpoints: 0 };

  constructor(options: NamesOptions) {
    this.#o = options;
  }

  /** Undefined before the first complete snapshot. */
  get zone(): Zone | undefined {
    return this.#zone;
  }

  /** Call it once all views have their first snapshot. Returns the way to stop. */
  start(): () => void {
    for (const object of this.#o.services.list()) this.#note('services', object);
    for (const object of this.#o.endpoints.list()) this.#note('endpoints', object);
    this.#compile();
    const stops = [
      this.#o.services.onChange((change) => this.#hear('services', change)),
      this.#o.endpoints.onChange((change) => this.#hear('endpoints', change)),
      this.#o.namespaces.onChange(({ before, after }) => {
        if (before === undefined || after === undefined) this.#wake();
      }),
    ];
    const checks = new AbortController();
    if (this.#o.checkMs !== undefined) void this.#keepChecking(this.#o.checkMs, checks.signal);
    return () => {
      checks.abort(new Error('the names are no longer followed'));
      stops.forEach((stop) => stop());
    };
  }

  /** What is answered from. At rest that is all that the views know. */
  get programmed(): Programmed {
    const atRest = this.#zone !== undefined && this.#waiting === undefined;
    return atRest ? (this.#o.position?.() ?? this.#programmed) : this.#programmed;
  }

  /** Calls after each compile. */
  onProgrammed(listener: () => void): void {
    this.#onProgrammed.push(listener);
  }

  /** What is being answered from, and for one service when named. */
  effect(service?: Key): Pick<EffectState, 'behindMs' | 'services' | 'drift' | 'service'> {
    const entry = service === undefined ? undefined : this.#zone?.entry(service);
    return {
      behindMs: this.#waiting === undefined ? 0 : Math.ceil(this.#o.clock.monotonic() - this.#waiting.sinceMs),
      services: this.#zone?.size ?? 0,
      drift: this.#drift,
      ...(entry === undefined ? {} : { service: effectOf(entry, this.#o.domain) }),
    };
  }

  async #keepChecking(everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, random = Math.random, onChecked } = this.#o;
    for (let tookMs = 0; ;) {
      await wait(clock, checkDelayMs(everyMs, tookMs, random), signal).catch(() => undefined);
      if (signal.aborted) return;
      const startMs = clock.monotonic();
      const differences = await this.check();
      tookMs = clock.monotonic() - startMs;
      onChecked?.(tookMs / 1000, differences);
    }
  }

  /** Works every service out anew, without memory, and compares it with what is answered: a sentence for each difference, at most 10. Mends them. */
  async check(): Promise<readonly string[]> {
    const { services, endpoints } = this.#o;
    const keys = new Set([...services.list().map((service) => keyOf(service)), ...(this.#zone?.keys() ?? [])]);
    const differences: string[] = [];
    let inSlice = 0;
    for (const key of keys) {
      if (inSlice++ % slice === 0) await this.#settled();
      const service = services.get(key);
      const fresh = service && entryOf(service, (of) => endpoints.get(of), new WeakMap());
      const difference = entryDifference(this.#zone?.entry(key), fresh);
      if (difference !== undefined && differences.length < mostDifferences) differences.push(difference);
    }
    if (differences.length > 0) {
      this.#drift += differences.length;
      this.#cache = new WeakMap();
      this.#compile();
    }
    return differences;
  }

  /** Another turn of the event loop, in which no change waits to be compiled. */
  async #settled(): Promise<void> {
    do await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting !== undefined);
  }

  #note(kind: 'services' | 'endpoints', object: Service | Endpoints): void {
    this.revisions[kind] = Math.max(this.revisions[kind], Number(object.metadata.resourceVersion));
  }

  #hear(kind: 'services' | 'endpoints', { before, after }: Change<Service | Endpoints>): void {
    const object = after ?? before;
    if (object !== undefined) this.#note(kind, object);
    const waiting = this.#wake();
    waiting.traceparent = after?.metadata.annotations?.[traceAnnotation] ?? waiting.traceparent;
  }

  #wake(): Waiting {
    if (this.#waiting !== undefined) return this.#waiting;
    setImmediate(() => this.#compile());
    return (this.#waiting = { sinceMs: this.#o.clock.monotonic(), traceparent: undefined });
  }

  #compile(): void {
    const { services, endpoints, domain, ttl, clock, tracer, onCompiled } = this.#o;
    const namespaces = this.#o.namespaces.list().map(({ metadata }) => metadata.name);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const startMs = clock.monotonic();
    const span = tracer.startSpan('dns compile', {}, contextOf(waiting?.traceparent));
    const cache = this.#cache;
    this.#zone = compile(services.list(), (key) => endpoints.get(key), {
      domain,
      ttl,
      serial: ++this.#serial,
      namespaces,
      cache,
    });
    span.end();
    this.#programmed = this.#o.position?.() ?? this.#programmed;
    for (const listener of this.#onProgrammed) listener();
    const endMs = clock.monotonic();
    onCompiled?.((endMs - startMs) / 1000, (endMs - (waiting?.sinceMs ?? startMs)) / 1000);
  }
}
