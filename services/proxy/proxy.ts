import type { Meter, Tracer } from '@opentelemetry/api';
import type { EffectState } from '../../lib/api/effects.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Endpoints, Service } from '../../lib/api/objects.ts';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { traceAnnotation, withSpan } from '../../lib/base/trace.ts';
import { checkDelayMs } from '../../lib/controller/drift.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { backendsOf, Cuts, readyUids, type DeadPod } from './cuts.ts';
import { countChanges, describeChanges, diff, type TableChanges } from './table/diff.ts';
import { effectOf } from './table/effect.ts';
import { proxyMetrics } from './metrics.ts';
import type { Programmed, TrafficRules } from './rules.ts';
import { compile, emptyCompiled, partOf, recompile, type Backend, type CompiledTable } from './table/table.ts';

export interface ProxyOptions {
  readonly services: View<Service>;
  /** With the indexes of `endpointsIndexes`. */
  readonly endpoints: View<Endpoints>;
  /** How far the two views are complete; default: as far as the objects in them tell. */
  readonly position?: () => Programmed;
  readonly rules: TrafficRules;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  /** About how often what is in effect is compared with what should be. */
  readonly checkMs: number;
  readonly random?: () => number;
  /** Told of each difference that a check found, before it is mended. */
  readonly onDrift?: (differences: readonly string[]) => void;
}

const retry = { firstMs: 20, maxMs: 5_000 };

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
  #table: CompiledTable = emptyCompiled;
  /** The latest compile, and the services and endpoints that have changed since. */
  #compiled: CompiledTable | undefined;
  #touched = new Set<Key>();
  /** What the rules hold is not known: write all of it. */
  #unknown = true;
  #changed = false;
  #checkDue = false;
  #cancelCheck = (): void => undefined;
  #running: Promise<void> | undefined;
  /** Syncs that are under way, or whose connections are still being moved. */
  #syncing = 0;
  readonly #stopping = new AbortController();
  readonly #seen = { services: 0, endpoints: 0 };
  #programmed: Programmed = { epoch: '', services: -1, endpoints: -1 };
  readonly #cuts: Cuts;
  /** Addresses whose open connections are to be ended once the table is without them. */
  #toCut = new Set<string>();
  /** Backends that leave with the next sync because they are dead. */
  #dead = new Set<Backend>();
  /** When the oldest change not yet in effect arrived, and the trace of the newest. */
  #waitingSinceMs: number | undefined;
  #traceparent: string | undefined;
  /** Since when what is in effect has not been what it should be; undefined at rest. */
  #behindSinceMs: number | undefined;
  #drift = 0;
  readonly #onProgrammed: (() => void)[] = [];

  constructor(options: ProxyOptions) {
    this.#o = options;
    this.#cuts = new Cuts(options.clock, (uids) => {
      options.log.info(
        { pods: uids.length },
        'pods that were told to be dead are in the Endpoints still: serving them again',
      );
      this.#touch(uids);
    });
    this.#metrics = proxyMetrics(options.meter, options.rules.name, () => ({
      table: this.#table,
      programmed: this.#programmed,
    }));
  }

  /** Why traffic may not be right yet; undefined when it is. */
  get notReady(): string | undefined {
    return this.#unknown ? 'the rules are not in effect yet' : undefined;
  }

  /** What is in effect. At rest that is all that the views know, whatever it was about. */
  get programmed(): Programmed {
    const atRest = !this.#unknown && !this.#changed && this.#syncing === 0;
    return atRest ? this.#position() : this.#programmed;
  }

  /** How many endpoints of a service on this node it is led to; undefined until the rules are in effect. */
  localEndpoints(service: Key): number | undefined {
    return this.#unknown ? undefined : (this.#table.pieces.get(service)?.local.length ?? 0);
  }

  /** What is in effect on this node, and for one service when named. */
  effect(service?: Key): Omit<EffectState, 'instance'> {
    const { clock, nodeName, rules } = this.#o;
    const forService = service === undefined ? undefined : effectOf(this.#table, service);
    return {
      ...{ part: 'proxy', node: nodeName, mode: rules.name },
      servicesRevision: this.#programmed.services,
      endpointsRevision: this.#programmed.endpoints,
      behindMs: this.#behindSinceMs === undefined ? 0 : Math.ceil(clock.monotonic() - this.#behindSinceMs),
      services: this.#table.pieces.size,
      drift: this.#drift,
      ...(forService === undefined ? {} : { service: forService }),
    };
  }

  /** Calls after each sync, once connections that it moves have been moved too. */
  onProgrammed(listener: () => void): void {
    this.#onProgrammed.push(listener);
  }

  /**
   * Nothing answers at these pods now: no new connection goes there from the next moment on, and open ones end, until the Endpoints have
   * dropped them. Pods that the Endpoints still have some seconds later are served again: somebody was wrong, or too late.
   */
  cut(pods: readonly DeadPod[]): void {
    const uids = pods.map(({ uid }) => uid);
    for (const uid of uids)
      for (const endpoints of this.#vouchers(uid))
        for (const backend of backendsOf(endpoints, uid)) this.#dead.add(backend);
    for (const { ip } of pods) if (ip !== '') this.#toCut.add(ip);
    this.#cuts.add(uids.filter((uid) => this.#vouchers(uid).length > 0));
    this.#touch(uids);
  }

  /** The node of these pods says that they are ready again: what the Endpoints say of them counts from now on. */
  serves(uids: readonly string[]): void {
    this.#touch(uids.filter((uid) => this.#cuts.lift(uid)));
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
    this.#cancelCheck();
    this.#cuts.close();
    await this.#running;
    await this.#o.rules.close();
  }

  #position(): Programmed {
    return this.#o.position?.() ?? { epoch: '', ...this.#seen };
  }

  #touch(uids: readonly string[]): void {
    for (const uid of uids) for (const endpoints of this.#vouchers(uid)) this.#touched.add(keyOf(endpoints));
    if (this.#touched.size > 0 || this.#toCut.size > 0) this.#wake();
  }

  #liftDropped({ before, after }: Change<Endpoints>): void {
    const stays = readyUids(after);
    for (const uid of readyUids(before)) if (!stays.has(uid) && this.#vouchers(uid).length === 0) this.#cuts.lift(uid);
  }

  /** The Endpoints that say that a pod is ready. Those of a service that wants unready ones too say nothing of it. */
  #vouchers(uid: string): readonly Endpoints[] {
    return this.#o.endpoints.by('ready', uid).filter((endpoints) => !this.#takesUnready(keyOf(endpoints)));
  }

  #takesUnready(key: Key): boolean {
    return this.#o.services.get(key)?.spec.publishNotReadyAddresses === true;
  }

  /** As the API has them, without pods that are known dead. */
  readonly #endpointsNow = (key: Key): Endpoints | undefined => {
    const endpoints = this.#o.endpoints.get(key);
    return this.#takesUnready(key) ? endpoints : this.#cuts.without(endpoints);
  };

  #hear(kind: 'services' | 'endpoints', change: Change<Service | Endpoints>): void {
    const object = change.after ?? change.before;
    if (object !== undefined) this.#note(kind, object);
    if (kind === 'endpoints' && this.#cuts.size > 0) this.#liftDropped(change);
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
    this.#behindSinceMs ??= this.#waitingSinceMs;
    this.#running ??= new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#work())
      .finally(() => (this.#running = undefined));
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; (this.#changed || this.#checkDue) && !signal.aborted;) {
      try {
        if (this.#changed) await this.#sync().finally(() => this.#syncing--);
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
    const position = this.#position();
    const toCut = [...this.#toCut];
    const dead = this.#dead;
    const traceparent = this.#traceparent;
    this.#syncing++;
    this.#changed = false;
    this.#toCut.clear();
    this.#dead = new Set();
    this.#waitingSinceMs = this.#traceparent = undefined;

    const { next, changes } = this.#next();
    const count = countChanges(changes);
    if (this.#unknown || count > 0) {
      await withSpan(tracer, 'proxy sync', { traceparent, attributes: { changes: count } }, async () =>
        this.#unknown ? rules.replaceAll(next) : rules.apply(this.#table, next, changes, dead),
      );
      const end = clock.monotonic();
      this.#metrics.synced((end - start) / 1000, (end - waitingSinceMs) / 1000, count);
      const ms = Math.round((end - start) * 10) / 10;
      log.debug({ changes: count, whole: this.#unknown, ms, ...position }, 'rules are in effect');
    }
    if (next.conflicts.join() !== this.#table.conflicts.join()) {
      for (const conflict of next.conflicts) log.warn({ conflict }, 'two services want the same address and port');
    }
    this.#table = next;
    this.#unknown = false;
    this.#behindSinceMs = this.#waitingSinceMs;
    this.#settle(position, toCut);
  }

  /** Moves connections while the next sync may begin; what was to be moved counts as in effect in any case, since new ones go right. */
  #settle(position: Programmed, toCut: readonly string[]): void {
    const { rules, log } = this.#o;
    this.#syncing++;
    const moved = toCut.length === 0 ? rules.settled() : Promise.all([rules.cut(toCut), rules.settled()]);
    void moved
      .catch((error: unknown) => {
        log.warn({ error, addresses: toCut.length }, 'could not end connections to pods that are dead');
      })
      .then(() => {
        this.#syncing--;
        if (isLater(position, this.#programmed)) this.#programmed = position;
        for (const listener of this.#onProgrammed) listener();
      });
  }

  /** The table as it should be now, and what leads there from the one before. */
  #next(): { readonly next: CompiledTable; readonly changes: TableChanges } {
    const { services, nodeName } = this.#o;
    const keys = this.#touched;
    const before = this.#compiled;
    this.#touched = new Set();
    const snapshot = {
      service: (key: Key) => services.get(key),
      endpoints: this.#endpointsNow,
    };
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
    const { clock, rules, log, services, nodeName } = this.#o;
    this.#checkDue = false;
    const start = clock.monotonic();
    const fresh = compile(services.list(), this.#endpointsNow, nodeName);
    const differences = [...describeChanges(diff(this.#table, fresh)), ...(await rules.differences(this.#table))];
    const tookMs = clock.monotonic() - start;
    this.#metrics.checked(tookMs / 1000, differences.length);
    if (differences.length > 0) {
      log.warn({ differences }, 'the rules were not as they should be; writing all of them anew');
      this.#drift += differences.length;
      this.#o.onDrift?.(differences);
      this.#unknown = true;
      this.#compiled = undefined;
      this.#wake();
    }
    this.#planCheck(tookMs);
  }

  #planCheck(tookMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const { clock, checkMs, random = Math.random } = this.#o;
    this.#cancelCheck = clock.after(checkDelayMs(checkMs, tookMs, random), () => {
      this.#checkDue = true;
      this.#running ??= this.#work().finally(() => (this.#running = undefined));
    });
  }
}

/** Moves end in any order; of two in one life of the chain the later counts. */
const isLater = (a: Programmed, b: Programmed): boolean => a.epoch !== b.epoch || a.endpoints >= b.endpoints;
