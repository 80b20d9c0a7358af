import { keyOf } from '../api/keys.ts';
import type { Objects, Resource } from '../api/kinds.ts';
import type { ApiObject } from '../api/objects.ts';
import { backoffMs } from '../base/backoff.ts';
import { wait, type Clock } from '../base/clock.ts';
import { ApiError, hasReason, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { BusMessage, EventBus, Subscription } from '../bus/bus.ts';
import { readBundle, type Bundle } from '../bus/bundle.ts';
import { epochStart, readHeaders } from '../bus/change.ts';
import { bundleSubject, isPublished, relaySubject, resourceSubject, type RelayStatus } from '../bus/subjects.ts';
import type { ListOptions, Reader, WatchEvent } from '../client/client.ts';
import { Chain } from './chain.ts';
import type { HistoryReader, StoreHistory } from './history.ts';
import type { ViewMetrics } from './metrics.ts';
import type { ObjectTable } from './table.ts';
import type { ViewTimes } from './times.ts';
import type { Change } from './view.ts';
import { Wake } from './wake.ts';

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
 *                 ▲       │ bus or relay away longer than the grace, or behind │ bus back, and all up to its return seen
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
  /** The relay has said, since the bus was last away, that it is not behind. */
  #vouched = false;
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
  /** How many messages told of a change without what changed, and how many of these a later list has made up for. */
  #lacked = 0;
  #filled = 0;

  constructor(options: FeedOptions<R>) {
    this.#o = options;
    this.#bus = isPublished(options.resource) ? options.bus : undefined;
    this.#downSinceMs = options.clock.monotonic();
  }

  /** `bus` or `watch`: where news comes from now. */
  get source(): 'bus' | 'watch' {
    return this.#busCarries() ? 'bus' : 'watch';
  }
  get position(): { readonly epoch: string; readonly revision: number } {
    const complete = this.#synced && this.#current && this.#lacked === this.#filled;
    return { epoch: this.#chain.epoch ?? '', revision: complete ? this.#chain.covered : -1 };
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
    this.#subscription =
      node === undefined
        ? bus.subscribe(bundleSubject(cluster, resource), (message) => this.#heardBundle(message), gap)
        : bus.subscribe(resourceSubject(cluster, resource, node), (message) => this.#heardOne(message), gap);
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
      this.#vouched = false;
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

  #heardBundle(message: BusMessage): void {
    let bundle: Bundle;
    try {
      bundle = readBundle(message);
    } catch (error) {
      return this.#unreadable(error);
    }
    this.#heard(bundle);
  }

  /** One node's pods come one a message, and are a chain of their own. */
  #heardOne(message: BusMessage): void {
    const headers = readHeaders(message);
    if (headers === undefined) return;
    const { epoch, timeMs, omitted } = headers;
    this.#heard({ epoch, timeMs, changes: [{ ...headers, json: omitted ? undefined : message.data }] });
  }

  #heard({ epoch, timeMs, changes }: Bundle): void {
    const { metrics, resource, clock, table } = this.#o;
    this.#enter(epoch);
    for (const { previous, revision } of changes) this.#chain.heard(previous, revision);
    if (!this.#chain.intact && !this.#following && this.#busCarries()) this.#want('break');
    metrics.lag(resource, (clock.now() - timeMs) / 1000);
    const news: Change<Objects[R]>[] = [];
    for (const { type, key, revision, json } of changes) {
      // Mostly the echo of an own write: not worth parsing.
      if (type !== 'deleted' && table.knows(key, revision)) continue;
      if (json === undefined) {
        this.#lack('omitted');
        continue;
      }
      try {
        const change = this.#put(JSON.parse(decoder.decode(json)) as Objects[R], revision, type === 'deleted');
        if (change !== undefined) news.push(change);
      } catch (error) {
        this.#unreadable(error);
      }
    }
    this.#tell(news);
  }

  #unreadable(error: unknown): void {
    const { log, resource } = this.#o;
    log.error({ resource, error: messageOf(error) }, 'a change message cannot be read; listing again');
    this.#lack('unreadable');
  }

  #relaySpoke(message: BusMessage): void {
    const status = JSON.parse(decoder.decode(message.data)) as RelayStatus;
    const { clock, resource, node } = this.#o;
    const wasInDoubt = !this.#vouched || !this.#busCarries();
    if (status.catchingUp === true) this.#lateNews();
    else {
      this.#vouched = true;
      this.#relayHeardMs = clock.monotonic();
    }
    if (this.#enter(status.epoch) || !this.#vouched) return;
    if (wasInDoubt) this.#distrust();
    // The relay speaks after it has published, on the same connection: what it names should be here.
    const position = status.positions[resource];
    if (node !== undefined || position === undefined || !this.#synced) return;
    this.#position = position;
    if (position > this.#chain.covered && this.#chain.intact && this.#busCarries()) this.#distrust();
  }

  /** The relay is behind: what it brings is no news, and what is news waits behind it. */
  #lateNews(): void {
    if (this.#busCarries()) this.#downSinceMs = this.#o.clock.monotonic();
    this.#vouched = false;
    this.#relayHeardMs = -Infinity;
    this.#wake.wake();
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
    const lacked = this.#lacked;
    const known = table.latest;
    try {
      const { items, revision } = await client.list(resource, this.#o.selection, { signal });
      if (signal.aborted) return;
      const at = Number(revision);
      // A list always sees what had been heard before it was asked for; where it does not, the store was restored to an older state.
      const wentBack = at < known;
      const changes = table.replace(items, at, wentBack);
      this.#chain.listed(at);
      this.#filled = lacked;
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
   * Ends the watch once it is not needed any more, which is when the bus carries again, the relay is not behind, and the watch has
   * passed the position the API had then; or once a list is due. Now and then it checks against the position that the watch itself is not stuck.
   */
  async #handover(stop: AbortController): Promise<void> {
    const { client, resource, node, clock, times, signal } = this.#o;
    const ended = AbortSignal.any([signal, stop.signal]);
    let goal: { readonly position: number; readonly deadlineMs: number; readonly carried: boolean } | undefined;
    this.#awaiting++;
    while (!ended.aborted && this.#listDue === undefined) {
      const carried = this.#busCarries() && this.#vouched;
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
    const news: Change<Objects[R]>[] = [];
    for (const { type, revision, object } of batch) {
      this.#chain.known(Number(revision));
      const change = object && this.#put(object, Number(revision), type === 'DELETED');
      if (change !== undefined) news.push(change);
    }
    this.#tell(news);
  }

  // ---- Both --------------------------------------------------------------------------------------

  /** What that changed in the table; undefined where nothing did. */
  #put(object: Objects[R], revision: number, gone: boolean): Change<Objects[R]> | undefined {
    const { table, matches } = this.#o;
    return gone || !matches(object) ? table.remove(keyOf(object), revision) : table.put(object, revision);
  }

  /** The chain has come further, by these changes. */
  #tell(news: readonly Change<Objects[R]>[]): void {
    this.#advance();
    if (news.length === 0) return;
    this.#o.metrics.change(this.#o.resource, news.length);
    if (this.#synced) this.#o.notify(news);
  }

  #advance(): void {
    // One commit may change several objects, so others of the last revision may follow.
    if (this.#chain.intact) this.#o.table.knownUpTo(this.#chain.covered - 1);
    if (this.#awaiting > 0) this.#wake.wake();
  }

  /** The chain counts the message as heard, but what it was about is not known before the next list. */
  #lack(reason: string): void {
    this.#lacked++;
    this.#want(reason);
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
