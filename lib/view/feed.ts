import { keyOf } from '../api/keys.ts';
import type { Objects, Resource } from '../api/kinds.ts';
import type { ApiObject } from '../api/objects.ts';
import { backoffMs } from '../base/backoff.ts';
import { wait, type Clock } from '../base/clock.ts';
import { ApiError, hasReason, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { BusMessage, EventBus, Subscription } from '../bus/bus.ts';
import { epochStart, readHeaders } from '../bus/change.ts';
import { isPublished, relaySubject, resourceSubject, type RelayStatus } from '../bus/subjects.ts';
import type { ListOptions, Reader, WatchEvent } from '../client/client.ts';
import { Chain } from './chain.ts';
import type { HistoryReader, StoreHistory } from './history.ts';
import type { ViewMetrics } from './metrics.ts';
import type { ObjectTable } from './table.ts';
import type { Change } from './view.ts';
import { Wake } from './wake.ts';

/** Times of a view in milliseconds. */
export interface ViewTimes {
  /** The position is checked about so often. */
  readonly checkMs: number;
  /** A full list is taken about so often, whatever the chain says. */
  readonly relistMs: number;
  /** A change that the API knows of may take so long to arrive before it counts as lost. */
  readonly arrivalMs: number;
  /** The bus may be away so long before the view reads through gRPC. */
  readonly graceMs: number;
  /** The relay, which speaks every second, may be silent so long. */
  readonly relaySilenceMs: number;
}

export const defaultTimes: ViewTimes = {
  checkMs: 30_000,
  relistMs: 600_000,
  arrivalMs: 2_000,
  graceMs: 400,
  relaySilenceMs: 3_500,
};

export interface FeedOptions<R extends Resource> {
  readonly resource: R;
  readonly client: Reader;
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly node: string | undefined;
  readonly selection: ListOptions;
  /** Whether a changed object belongs to the selection. */
  readonly matches: (object: Objects[R]) => boolean;
  readonly table: ObjectTable<Objects[R] & ApiObject>;
  readonly notify: (changes: readonly Change<Objects[R]>[]) => void;
  readonly onSynced: () => void;
  /** Called when the feed may be trusted again after it could not be. */
  readonly onCurrent: () => void;
  readonly history: StoreHistory;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ViewMetrics;
  readonly times: ViewTimes;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

const decoder = new TextDecoder();
const retry = { firstMs: 50, maxMs: 2_000, jitter: 0.5 };

/**
 * Keeps a table equal to what the API has.
 *
 *   subscribe ─► list ─► bus: messages are applied as they come ◄──────────────┐
 *                 ▲       │ bus or relay away longer than the grace            │ bus back, and all up to its return seen
 *                 │       └────► watch: gRPC Watch from the last revision ─────┘
 *                 └── a break in the chain · a new epoch · the watch Expired · behind the API's position · every 10 min
 *
 * News is applied in whatever state it comes, since the table takes the later revision of two; the state only says
 * what must be asked for. After a reconnect or a slow-consumer warning, and every 30 s, the API's position is compared with
 * what the chain covers; only a difference that lasts leads to a list. All waits are jittered.
 *
 * Signs that the store has gone back in time (an epoch that begins before what is known, an own write with a revision long past)
 * make it list at once; until that has shown which it is, the feed is not `current`.
 */
export class Feed<R extends Resource> implements HistoryReader {
  readonly #o: FeedOptions<R>;
  readonly #chain = new Chain();
  readonly #wake = new Wake();
  readonly #bus: EventBus | undefined;
  #subscription: Subscription | undefined;
  #subscribed = false;
  #relayHeardMs = 0;
  #downSinceMs: number;
  /** Why a list is due; undefined when none is. */
  #listDue: string | undefined = 'start';
  #checkDue = false;
  #lastListMs = -Infinity;
  #synced = false;
  #position = 0;
  /** A watch carries the news; breaks in the chain are its business. */
  #following = false;
  /** Somebody waits for the chain to come further. */
  #awaiting = 0;
  /** False while the table may be of another history than the store's present one. */
  #current = true;

  constructor(options: FeedOptions<R>) {
    this.#o = options;
    this.#bus = isPublished(options.resource) ? options.bus : undefined;
    this.#downSinceMs = options.clock.monotonic();
  }

  /** `bus` or `watch`: where news comes from now. */
  get source(): 'bus' | 'watch' {
    return this.#busCarries() ? 'bus' : 'watch';
  }
  get current(): boolean {
    return this.#current;
  }
  /** The store may have gone back in time: a list will tell, and nothing is sure before. */
  historyChanged(): void {
    if (!this.#synced || !this.#current) return;
    this.#current = false;
    this.#want('another history');
  }

  /** How many revisions of this resource the view is known to lack, or 0. */
  get behind(): number {
    return Math.max(0, this.#position - this.#chain.covered);
  }

  /** Runs until aborted; never rejects. */
  async run(): Promise<void> {
    const { signal, times } = this.#o;
    const stops = [
      this.#listen(),
      this.#o.history.join(this),
      this.#every(times.checkMs, () => (this.#checkDue = true)),
    ];
    stops.push(this.#every(times.relistMs, () => (this.#listDue ??= 'routine')));
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#step();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        if (failures === 0) {
          const { resource } = this.#o;
          this.#o.log.warn({ resource, error: messageOf(error) }, 'the view cannot reach the API; trying again');
        }
        await this.#pause(backoffMs(failures++, retry, this.#o.random));
      }
    }
    for (const stop of stops) stop();
  }

  async #step(): Promise<void> {
    if (this.#listDue !== undefined) return this.#list();
    if (!this.#busCarries()) return this.#follow();
    if (this.#checkDue) return this.#check();
    // The silence of the relay wakes nobody: look again after a while.
    await this.#wake.nextOr(this.#o.clock, this.#o.times.relaySilenceMs, this.#o.signal);
  }

  // ---- The bus ---------------------------------------------------------------------------------

  /** Subscribes to the changes and to the relay's word. Returns the way to stop. */
  #listen(): () => void {
    const bus = this.#bus;
    if (bus === undefined) return () => undefined;
    const { cluster, resource, node } = this.#o;
    const gap = (): void => this.#distrust();
    this.#subscription = bus.subscribe(resourceSubject(cluster, resource, node), (m) => this.#heard(m), gap);
    const relay = bus.subscribe(relaySubject(cluster), (m) => this.#relaySpoke(m), gap);
    void Promise.all([this.#subscription.ready, relay.ready]).then(
      () => {
        this.#subscribed = true;
        this.#distrust();
      },
      () => undefined, // closed before it was ready
    );
    const stopStatus = bus.onStatus((connected) => {
      this.#downSinceMs = this.#o.clock.monotonic();
      if (connected) this.#distrust();
      this.#wake.wake();
    });
    return () => {
      stopStatus();
      relay.close();
      this.#subscription?.close();
    };
  }

  /** Something may have been lost: the position will tell. */
  #distrust(): void {
    this.#relayHeardMs = this.#o.clock.monotonic();
    this.#checkDue = true;
    this.#wake.wake();
  }

  #busCarries(): boolean {
    const { clock, times } = this.#o;
    if (this.#bus === undefined || !this.#bus.connected || !this.#subscribed) return false;
    return clock.monotonic() - this.#relayHeardMs < times.relaySilenceMs;
  }

  #heard(message: BusMessage): void {
    const headers = readHeaders(message);
    if (headers === undefined) return;
    const { metrics, resource, node, clock, log } = this.#o;
    const { revision, epoch, type } = headers;
    this.#enter(epoch);
    this.#chain.heard(node === undefined ? headers.resourcePrevious : headers.previous, revision);
    if (!this.#chain.intact && !this.#following && this.#busCarries()) this.#want('break');
    metrics.lag(resource, (clock.now() - headers.timeMs) / 1000);
    if (headers.omitted) return this.#want('omitted');
    try {
      this.#apply(JSON.parse(decoder.decode(message.data)) as Objects[R], revision, type === 'deleted');
    } catch (error) {
      log.error({ resource, revision, error: messageOf(error) }, 'a change message cannot be read; listing again');
      this.#want('unreadable');
    }
  }

  #relaySpoke(message: BusMessage): void {
    const status = JSON.parse(decoder.decode(message.data)) as RelayStatus;
    const { clock, resource, node } = this.#o;
    const wasSilent = !this.#busCarries();
    this.#relayHeardMs = clock.monotonic();
    if (this.#enter(status.epoch)) return;
    if (wasSilent) this.#distrust();
    // The relay speaks after it has published, on the same connection: what it names should be here.
    const position = status.positions[resource];
    if (node !== undefined || position === undefined || !this.#synced) return;
    this.#position = position;
    if (position > this.#chain.covered && this.#chain.intact && this.#busCarries()) this.#distrust();
  }

  /** True when the epoch is a new one. */
  #enter(epoch: string): boolean {
    if (!this.#chain.entered(epoch)) return false;
    if (epochStart(epoch) < this.#o.table.latest) this.historyChanged();
    this.#want('epoch');
    return true;
  }

  // ---- The API -----------------------------------------------------------------------------------

  #trusted(): void {
    if (this.#current) return;
    this.#current = true;
    this.#o.onCurrent();
  }

  async #list(): Promise<void> {
    const { client, resource, table, clock, times, signal, metrics } = this.#o;
    if (this.#bus?.connected === true && !this.#subscribed) await this.#wake.nextOr(clock, times.graceMs, signal);
    await this.#pace();
    const reason = this.#listDue ?? 'start';
    this.#listDue = undefined;
    const known = table.latest;
    try {
      const { items, revision } = await client.list(resource, this.#o.selection, { signal });
      if (signal.aborted) return;
      const at = Number(revision);
      // A list always sees what had been heard before it was asked for; where it does not, the store was restored to an older state.
      const wentBack = at < known;
      const changes = table.replace(items, at, wentBack);
      this.#chain.listed(at);
      this.#advance();
      metrics.list(resource, reason);
      this.#lastListMs = clock.monotonic();
      if (this.#synced) this.#o.notify(changes);
      else {
        this.#synced = true;
        this.#o.onSynced();
        // Some of it may have come by the bus before the list did.
        this.#o.notify(table.list().map((object) => ({ key: keyOf(object), before: undefined, after: object })));
      }
      if (wentBack) {
        // What was heard while the list was under way has been thrown out with the rest: list once more.
        this.#o.history.wentBack();
        this.#current = false;
        this.#listDue ??= 'another history';
        return;
      }
      this.#trusted();
      // A break that was noticed meanwhile and lies within the list is mended.
      if (this.#listDue === 'break' && this.#chain.intact) this.#listDue = undefined;
    } catch (error) {
      this.#listDue ??= reason;
      throw error;
    }
  }

  /** A small view lists at once; lists in quick succession, and those of big views, are spread. */
  async #pace(): Promise<void> {
    const { clock, table, random } = this.#o;
    const sinceMs = clock.monotonic() - this.#lastListMs;
    const spreadMs = sinceMs > 1_000 ? (table.size <= 100 ? 0 : Math.min(2_000, table.size / 10)) : 500;
    if (spreadMs > 0 && this.#synced && this.#current) await this.#pause(spreadMs * (0.2 + 0.8 * random()));
  }

  /** Compares the API's position with what is covered, and gives what is missing some time to arrive. */
  async #check(): Promise<void> {
    const { client, resource, node, clock, times, signal } = this.#o;
    this.#checkDue = false;
    let position: number;
    try {
      position = Number(await client.position(resource, node, { signal }));
    } catch (error) {
      this.#checkDue = true;
      throw error;
    }
    const deadlineMs = clock.monotonic() + times.arrivalMs;
    this.#awaiting++;
    try {
      while (!signal.aborted && this.#chain.intact && position > this.#chain.covered) {
        const leftMs = deadlineMs - clock.monotonic();
        if (leftMs <= 0 || this.#listDue !== undefined || !this.#busCarries()) break;
        await this.#wake.nextOr(clock, leftMs, signal);
      }
    } finally {
      this.#awaiting--;
    }
    if (!this.#chain.intact) this.#want('break');
    else if (position > this.#chain.covered) this.#want('behind');
  }

  /** Reads by Watch until the bus carries again and everything up to its return has been seen. */
  async #follow(): Promise<void> {
    const { clock, times, client, resource, selection, signal, random, log } = this.#o;
    const graceMs = times.graceMs * (0.5 + random()) - (clock.monotonic() - this.#downSinceMs);
    if (this.#bus !== undefined && graceMs > 0) return void (await this.#wake.nextOr(clock, graceMs, signal));

    const stop = new AbortController();
    const fromRevision = String(this.#chain.covered);
    log.debug({ resource, fromRevision }, 'reading by watch');
    this.#following = true;
    const handover = this.#handover(stop);
    try {
      const watch = client.watch(resource, { ...selection, fromRevision }, AbortSignal.any([signal, stop.signal]));
      for await (const batch of watch) {
        this.#watched(batch);
        if (stop.signal.aborted) return;
      }
      if (!signal.aborted && !stop.signal.aborted) throw new ApiError('ServiceUnavailable', 'the watch ended');
    } catch (error) {
      if (signal.aborted || stop.signal.aborted) return;
      this.#checkDue = true;
      if (!hasReason(error, 'Expired')) throw error;
      this.#want('expired');
    } finally {
      this.#following = false;
      stop.abort();
      await handover;
    }
  }

  /**
   * Ends the watch once it is not needed any more, which is when the bus carries again and the watch has passed the position
   * the API had then; or once a list is due. Now and then it checks against the position that the watch itself is not stuck.
   */
  async #handover(stop: AbortController): Promise<void> {
    const { client, resource, node, clock, times, signal } = this.#o;
    const ended = AbortSignal.any([signal, stop.signal]);
    let goal: { readonly position: number; readonly deadlineMs: number; readonly carried: boolean } | undefined;
    this.#awaiting++;
    while (!ended.aborted && this.#listDue === undefined) {
      const carried = this.#busCarries();
      if (goal?.carried !== carried) goal = undefined;
      if (goal === undefined && (carried || this.#checkDue)) {
        this.#checkDue = false;
        try {
          const position = Number(await client.position(resource, node, { signal: ended }));
          goal = { position, deadlineMs: clock.monotonic() + times.arrivalMs, carried };
        } catch {
          this.#checkDue = true;
          await this.#wake.nextOr(clock, 1_000, ended);
        }
        continue;
      }
      if (goal !== undefined && this.#chain.covered >= goal.position && (this.#chain.intact || !carried)) {
        if (carried) break;
        goal = undefined;
      } else if (goal !== undefined && clock.monotonic() >= goal.deadlineMs) this.#want('behind');
      else await this.#wake.nextOr(clock, goal === undefined ? times.checkMs : times.arrivalMs, ended);
    }
    this.#awaiting--;
    stop.abort();
  }

  #watched(batch: readonly WatchEvent<Objects[R]>[]): void {
    for (const { type, revision, object } of batch) {
      this.#chain.known(Number(revision));
      if (object === undefined) this.#advance();
      else this.#apply(object, Number(revision), type === 'DELETED');
    }
  }

  // ---- Both --------------------------------------------------------------------------------------

  #apply(object: Objects[R], revision: number, gone: boolean): void {
    const { table, matches, metrics, resource } = this.#o;
    const change = gone || !matches(object) ? table.remove(keyOf(object), revision) : table.put(object, revision);
    this.#advance();
    if (change === undefined) return;
    metrics.change(resource);
    if (this.#synced) this.#o.notify([change]);
  }

  #advance(): void {
    // One commit may change several objects, so others of the last revision may follow.
    if (this.#chain.intact) this.#o.table.knownUpTo(this.#chain.covered - 1);
    if (this.#awaiting > 0) this.#wake.wake();
  }

  #want(reason: string): void {
    this.#listDue ??= reason;
    this.#wake.wake();
  }

  async #pause(ms: number): Promise<void> {
    await wait(this.#o.clock, ms, this.#o.signal).catch(() => undefined);
  }

  /** Calls `run` about every `ms`, a fifth more or less. */
  #every(ms: number, run: () => void): () => void {
    const { clock, random } = this.#o;
    let cancel = (): void => undefined;
    const arm = (): void => {
      cancel = clock.after(ms * (0.8 + 0.4 * random()), () => {
        run();
        this.#wake.wake();
        arm();
      });
    };
    arm();
    return () => cancel();
  }
}
