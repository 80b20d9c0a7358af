import type { Meter, Tracer } from '@opentelemetry/api';
import type { Key } from '../../lib/api/keys.ts';
import type { Endpoints, Service } from '../../lib/api/objects.ts';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { traceAnnotation, withSpan } from '../../lib/base/trace.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { countChanges, diff, type TableChanges } from './diff.ts';
import { proxyMetrics } from './metrics.ts';
import type { Programmed, TrafficRules } from './rules.ts';
import { compile, emptyTable, partOf, recompile, type CompiledTable, type ProxyTable } from './table.ts';

export interface ProxyOptions {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  readonly rules: TrafficRules;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  /** About how often what is in effect is compared with what should be. */
  readonly checkMs: number;
  readonly random?: () => number;
}

const retry = { firstMs: 20, maxMs: 5_000 };
/** A check that took long on a big table comes less often: it may take this share of the time. */
const checkShare = 1 / 50;

/**
 * Keeps the rules of one node equal to services and endpoints.
 *
 *   start ─► replaceAll ─► at rest ◄─────────────┐
 *                ▲           │ changes (many in one turn are one)
 *                │           ▼
 *                ├─ failed ─ compile, diff, apply
 *                └─ differs ─ check, every 30 s or so
 *
 * Start it once both views have their first snapshot: nothing partial is ever put into effect.
 */
export class Proxy {
  readonly #o: ProxyOptions;
  readonly #metrics;
  /** What is in effect, unless `#unknown`. */
  #table: ProxyTable = emptyTable;
  /** The latest compile, and the services and endpoints that have changed since. */
  #compiled: CompiledTable | undefined;
  #touched = new Set<Key>();
  /** What the rules hold is not known: write all of it. */
  #unknown = true;
  #changed = false;
  #checkDue = false;
  #running: Promise<void> | undefined;
  readonly #stopping = new AbortController();
  readonly #seen = { services: 0, endpoints: 0 };
  #programmed: Programmed = { services: 0, endpoints: 0 };
  /** When the oldest change not yet in effect arrived, and the trace of the newest. */
  #waitingSinceMs: number | undefined;
  #traceparent: string | undefined;
  #onProgrammed: ((programmed: Programmed) => void)[] = [];

  constructor(options: ProxyOptions) {
    this.#o = options;
    this.#metrics = proxyMetrics(options.meter, options.rules.name, () => ({
      table: this.#table,
      programmed: this.#programmed,
    }));
  }

  /** Why traffic may not be right yet; undefined when it is. */
  get notReady(): string | undefined {
    return this.#unknown ? 'the rules are not in effect yet' : undefined;
  }

  get programmed(): Programmed {
    return this.#programmed;
  }

  /** Calls after each sync, with what is in effect from then on. */
  onProgrammed(listener: (programmed: Programmed) => void): void {
    this.#onProgrammed.push(listener);
  }

  start(): void {
    for (const object of this.#o.services.list()) this.#note('services', object);
    for (const object of this.#o.endpoints.list()) this.#note('endpoints', object);
    const stops = [
      this.#o.services.onChange((change) => this.#hear('services', change)),
      this.#o.endpoints.onChange((change) => this.#hear('endpoints', change)),
    ];
    this.#stopping.signal.addEventListener('abort', () => stops.forEach((stop) => stop()));
    this.#wake();
    this.#planCheck(0);
  }

  /** Stops following; what is in effect stays as the rules' `close` leaves it. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the proxy is stopping'));
    await this.#running;
    await this.#o.rules.close();
  }

  #hear(kind: 'services' | 'endpoints', change: Change<Service | Endpoints>): void {
    const object = change.after ?? change.before;
    if (object !== undefined) this.#note(kind, object);
    this.#touched.add(change.key);
    this.#traceparent = change.after?.metadata.annotations?.[traceAnnotation] ?? this.#traceparent;
    this.#wake();
  }

  #note(kind: 'services' | 'endpoints', object: Service | Endpoints): void {
    this.#seen[kind] = Math.max(this.#seen[kind], Number(object.metadata.resourceVersion));
  }

  /** Changes of one turn of the event loop become one sync; those that come while one runs become the next. */
  #wake(): void {
    this.#changed = true;
    this.#waitingSinceMs ??= this.#o.clock.monotonic();
    this.#running ??= new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#work())
      .finally(() => (this.#running = undefined));
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; (this.#changed || this.#checkDue) && !signal.aborted;) {
      try {
        if (this.#changed) await this.#sync();
        else await this.#check();
        failures = 0;
      } catch (error) {
        this.#o.log.error({ error, rules: this.#o.rules.name }, 'could not change the rules; writing all of them anew');
        this.#metrics.failed();
        this.#unknown = this.#changed = true;
        await wait(this.#o.clock, backoffMs(failures++, retry), signal).catch(() => undefined);
      }
    }
  }

  async #sync(): Promise<void> {
    const { clock, rules, tracer, log } = this.#o;
    const start = clock.monotonic();
    const waitingSinceMs = this.#waitingSinceMs ?? start;
    const revisions = { ...this.#seen };
    const traceparent = this.#traceparent;
    this.#changed = false;
    this.#waitingSinceMs = this.#traceparent = undefined;

    const { next, changes } = this.#next();
    const count = countChanges(changes);
    if (this.#unknown || count > 0) {
      await withSpan(tracer, 'proxy sync', { traceparent, attributes: { changes: count } }, async () =>
        this.#unknown ? rules.replaceAll(next) : rules.apply(this.#table, next, changes),
      );
      const end = clock.monotonic();
      this.#metrics.synced((end - start) / 1000, (end - waitingSinceMs) / 1000, count);
      const ms = Math.round((end - start) * 10) / 10;
      log.debug({ changes: count, whole: this.#unknown, ms, ...revisions }, 'rules are in effect');
    }
    if (next.conflicts.join() !== this.#table.conflicts.join()) {
      for (const conflict of next.conflicts) log.warn({ conflict }, 'two services want the same address and port');
    }
    this.#table = next;
    this.#unknown = false;
    this.#programmed = revisions;
    for (const listener of this.#onProgrammed) listener(revisions);
  }

  /** The table as it should be now, and what leads there from the one before. */
  #next(): { readonly next: CompiledTable; readonly changes: TableChanges } {
    const { services, endpoints, nodeName } = this.#o;
    const keys = this.#touched;
    const before = this.#compiled;
    this.#touched = new Set();
    const snapshot = { service: (key: Key) => services.get(key), endpoints: (key: Key) => endpoints.get(key) };
    const partial = before && recompile(before, keys, snapshot, nodeName);
    const next = partial ?? compile(services.list(), snapshot.endpoints, nodeName);
    this.#compiled = next;
    const changes =
      before === undefined || partial === undefined || this.#unknown
        ? diff(this.#table, next)
        : diff(partOf(before, keys), partOf(next, keys));
    return { next, changes };
  }

  /** Compiles without memory, compares with what was programmed and with what is in effect. */
  async #check(): Promise<void> {
    const { clock, rules, log } = this.#o;
    this.#checkDue = false;
    const start = clock.monotonic();
    const fresh = compile(this.#o.services.list(), (key) => this.#o.endpoints.get(key), this.#o.nodeName);
    const stale = countChanges(diff(this.#table, fresh));
    const differences = await rules.differences(this.#table);
    const tookMs = clock.monotonic() - start;
    this.#metrics.checked(tookMs / 1000, stale + differences.length);
    if (stale + differences.length > 0) {
      log.warn({ differences, stale }, 'the rules were not as they should be; writing all of them anew');
      this.#unknown = true;
      this.#compiled = undefined;
      this.#wake();
    }
    this.#planCheck(tookMs);
  }

  #planCheck(tookMs: number): void {
    const { clock, checkMs, random = Math.random } = this.#o;
    const cancel = clock.after(Math.max(checkMs, tookMs / checkShare) * (0.8 + 0.4 * random()), () => {
      this.#checkDue = true;
      this.#running ??= this.#work().finally(() => (this.#running = undefined));
    });
    this.#stopping.signal.addEventListener('abort', cancel, { once: true });
  }
}
