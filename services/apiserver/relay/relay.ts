import { randomBytes } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';
import { resources, type BuiltIn } from '../../../lib/api/kinds.ts';
import { backoffMs } from '../../../lib/base/backoff.ts';
import { wait, type Clock } from '../../../lib/base/clock.ts';
import { ApiError, messageOf } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { BusMessage, EventBus, EventStream } from '../../../lib/bus/bus.ts';
import { bundlesOf } from '../../../lib/bus/bundle.ts';
import { changeMessage, newEpoch, readHeaders, type BusChange } from '../../../lib/bus/change.ts';
import { allSubjects, changeSubject, isPublished, relaySubject, type RelayStatus } from '../../../lib/bus/subjects.ts';
import { Slices } from '../cache/slices.ts';
import type { Store, StoreChange } from '../store/store.ts';
import { Chains } from './chains.ts';
import { Flight } from './flight.ts';
import { relayMetrics, type RelayMetrics } from './metrics.ts';
import { publicationOf, type Publication } from './publication.ts';

export interface RelayOptions {
  readonly store: Store;
  readonly bus: EventBus;
  readonly stream: EventStream;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal: AbortSignal;
  /** True when no other apiserver can have this store, so that there is nobody to give way to. */
  readonly exclusive: boolean;
  readonly maxAgeMs?: number;
  readonly maxBytes?: number;
  readonly random?: () => number;
}

export interface Relay {
  /** Why it does not publish now; undefined when it does, or when another relay does. */
  notPublishing(): string | undefined;
  /** Resolves when it has stopped after `signal` aborted. */
  readonly ended: Promise<void>;
}

const dayMs = 24 * 3_600_000;
const gibibyte = 1 << 30;
/** How far back a new stream begins, so that it is soon up to date and still has something to replay. */
const maxReplay = 20_000;
/** Messages appended at one time: one answer of the server for all of them. */
const maxAppend = 256;
const speakMs = 1_000;
/** Another relay's silence after which this one takes over. */
const silenceMs = 2_500;
const retry = { firstMs: 50, maxMs: 2_000, jitter: 0.5 };
/** A message's headers and subject take no more than this. */
const envelopeBytes = 4_096;

/** Where the stream stands: the last message captured, and the chain to go on with. */
interface Position {
  readonly sequence: number;
  /** Everything before this revision is captured; of this revision itself everything up to `subject`. */
  readonly revision: number;
  readonly subject: string | undefined;
  readonly chains: Chains;
}

/**
 * Publishes every committed change to the bus, once and in order, from the store's watch.
 *
 *   connect ─► (wait while another relay speaks) ─► resume: the stream's last message says where ─► publish ─┐
 *      ▲                                                                                                     │
 *      └────────── bus lost · fenced by another relay · the stream refused · history too short ──────────────┘
 *
 * Nothing is kept here that the stream and the store do not say. Appends are pipelined: what is under way when something
 * fails is found again by resuming after the last message that was captured.
 */
export function startRelay(options: RelayOptions): Relay {
  const relay = new ChangeRelay(options);
  return { ended: relay.run(), notPublishing: () => relay.notPublishing() };
}

class ChangeRelay {
  readonly #o: RelayOptions;
  readonly #id = randomBytes(4).toString('hex');
  readonly #metrics: RelayMetrics;
  readonly #random: () => number;
  #otherSpokeMs: number;
  #otherId = '';
  #state: 'starting' | 'away' | 'standing by' | 'publishing' = 'starting';
  #published = 0;

  constructor(options: RelayOptions) {
    this.#o = options;
    this.#random = options.random ?? Math.random;
    this.#otherSpokeMs = options.clock.monotonic();
    this.#metrics = relayMetrics(options.meter, () => this.#state === 'publishing');
  }

  notPublishing(): string | undefined {
    if (this.#state === 'publishing' || this.#state === 'standing by') return undefined;
    return this.#state === 'away' ? 'changes are not published: the bus is away' : 'changes are not published yet';
  }

  async run(): Promise<void> {
    const { signal, log, clock, bus, cluster } = this.#o;
    const hearing = bus.subscribe(
      relaySubject(cluster),
      (message) => this.#heardRelay(message),
      () => undefined,
    );
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#untilConnected();
        if (!this.#o.exclusive) await this.#untilAlone();
        await this.#publish(await this.#resume(), () => (failures = 0));
      } catch (error) {
        if (signal.aborted) break;
        this.#state = 'away';
        this.#metrics.restarted();
        const isFirst = failures === 0;
        if (isFirst) log.warn({ error: messageOf(error) }, 'changes are not published; trying again');
        await wait(clock, backoffMs(failures++, retry, this.#random), signal).catch(() => undefined);
      }
    }
    hearing.close();
  }

  async #untilConnected(): Promise<void> {
    const { bus, signal } = this.#o;
    if (bus.connected) return;
    this.#state = 'away';
    await new Promise<void>((resolve) => {
      let stop = (): void => undefined;
      const done = (): void => {
        signal.removeEventListener('abort', done);
        queueMicrotask(() => stop());
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      stop = bus.onStatus((connected) => {
        if (connected) done();
      });
    });
  }

  // ---- One relay at a time -----------------------------------------------------------------------

  #heardRelay(message: BusMessage): void {
    const { relay } = JSON.parse(new TextDecoder().decode(message.data)) as RelayStatus;
    if (relay === this.#id) return;
    this.#otherId = relay;
    this.#otherSpokeMs = this.#o.clock.monotonic();
  }

  /** Several API servers: one relays, the others listen until it is silent. */
  async #untilAlone(): Promise<void> {
    const { clock, signal } = this.#o;
    const patienceMs = silenceMs * (1 + 0.2 * this.#random());
    for (;;) {
      const leftMs = this.#otherSpokeMs + patienceMs - clock.monotonic();
      if (leftMs <= 0) return;
      this.#state = 'standing by';
      await wait(clock, leftMs, signal);
    }
  }

  /** Two that speak at once: the one with the greater name gives way. What both published is fenced in any case. */
  #mustGiveWay(): boolean {
    const { clock, exclusive } = this.#o;
    return (
      !exclusive &&
      this.#otherId < this.#id &&
      clock.monotonic() - this.#otherSpokeMs < silenceMs &&
      this.#otherId !== ''
    );
  }

  // ---- Where to go on ----------------------------------------------------------------------------

  async #resume(): Promise<Position> {
    const { store, stream, cluster, maxAgeMs = dayMs, maxBytes = gibibyte, log } = this.#o;
    await stream.ensure({ subjects: [allSubjects(cluster)], maxAgeMs, maxBytes });
    const last = await stream.last();
    const sequence = Math.max(await stream.lastSequence(), last?.sequence ?? 0);
    const headers = last === undefined ? undefined : readHeaders(last.message);
    const [current, { compactedRevision }] = await Promise.all([store.revision(), store.history()]);
    if (last !== undefined && headers !== undefined) {
      const { epoch, revision } = headers;
      // A stream that is ahead of the store belongs to a store that was restored to an older state.
      if (revision <= current && revision >= compactedRevision) {
        const chains = new Chains(epoch, (pattern) => this.#lastOn(pattern, epoch));
        const known = [...resources.filter(isPublished), ...(await customResources(store))];
        await Promise.all(known.map((resource) => chains.learn(resource)));
        return { sequence, revision, subject: revision > compactedRevision ? last.message.subject : undefined, chains };
      }
    }
    const start = Math.max(compactedRevision, current - maxReplay);
    const epoch = newEpoch(start, randomBytes(6).toString('hex'));
    log.info({ epoch, start }, 'a new chain of changes begins: subscribers list again');
    const chains = new Chains(epoch, (pattern) => this.#lastOn(pattern, epoch), true);
    return { sequence, revision: start, subject: undefined, chains };
  }

  async #lastOn(pattern: string, epoch: string): Promise<number | undefined> {
    const { stream, cluster } = this.#o;
    const last = await stream.last(`${cluster}.v1.${pattern}`);
    const headers = last === undefined ? undefined : readHeaders(last.message);
    return headers?.epoch === epoch ? headers.revision : undefined;
  }

  // ---- Publishing --------------------------------------------------------------------------------

  /** Publishes from a position on. Resolves only after `signal` has aborted; rejects when it must begin again. */
  async #publish(from: Position, onUp: () => void): Promise<void> {
    const { store, bus, stream, cluster, clock, signal, log } = this.#o;
    const stop = new AbortController();
    const flight = new Flight(stream, from.sequence, (error) => stop.abort(error));
    const stopStatus = bus.onStatus((connected) => {
      if (!connected) stop.abort(new ApiError('ServiceUnavailable', 'the bus is not connected'));
    });
    const missed = await store.revision();
    this.#published = from.revision;
    this.#state = 'publishing';
    const { epoch } = from.chains;
    log.info({ revision: from.revision, missed: missed - from.revision, epoch }, 'publishing changes');
    onUp();
    const speaking = this.#speak(from.chains, { stop, missed });
    const slices = new Slices();
    try {
      // The last message may have been one of several of its commit: read its revision again, and skip what was captured.
      const after = from.subject === undefined ? from.revision : from.revision - 1;
      let skipping = from.subject;
      for await (const batch of store.watch('', after, AbortSignal.any([signal, stop.signal]))) {
        let changes = batch;
        if (skipping !== undefined) [changes, skipping] = this.#withoutCaptured(batch, from.revision, skipping);
        const committedMs = changes.at(-1)?.timeMs ?? clock.now();
        const isCatchingUp = this.#published < missed;
        for (let at = 0; at < changes.length; at += maxAppend) {
          const linked = await this.#linked(changes.slice(at, at + maxAppend), from.chains);
          await flight.room();
          if (stop.signal.aborted) break;
          for (const bundle of bundlesOf(cluster, linked)) bus.publish(bundle);
          flight.send(
            linked.map((change) => changeMessage(cluster, change)),
            () => this.#metrics.captured(clock.now() - committedMs),
          );
          this.#metrics.published(linked.length);
          // What an outage of minutes has left must not keep requests and the renewal of leases waiting.
          if (isCatchingUp && slices.isOver(1)) await slices.next();
        }
        this.#published = batch.at(-1)?.revision ?? this.#published;
        if (isCatchingUp && this.#published >= missed) speaking.now();
      }
      if (!signal.aborted) throw new ApiError('ServiceUnavailable', 'the store ended the watch');
    } catch (error) {
      if (signal.aborted) return;
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      speaking.end();
      stopStatus();
    }
  }

  /** The changes after the captured one, and its subject for as long as it was not met. */
  #withoutCaptured(
    batch: readonly StoreChange[],
    revision: number,
    subject: string,
  ): [readonly StoreChange[], string | undefined] {
    for (const [index, change] of batch.entries()) {
      if (change.revision > revision) return [batch.slice(index), undefined];
      const publication = publicationOf(change);
      if (publication !== undefined && changeSubject(this.#o.cluster, publication) === subject) {
        return [batch.slice(index + 1), undefined];
      }
    }
    return [[], subject];
  }

  /** What of the changes is published, as links of their chains. */
  async #linked(changes: readonly StoreChange[], chains: Chains): Promise<readonly BusChange[]> {
    const publications: Publication[] = [];
    for (const change of changes) {
      const publication = publicationOf(change);
      if (publication !== undefined) publications.push(publication);
    }
    await chains.prepare(publications);
    const maxBytes = this.#o.bus.maxMessageBytes - envelopeBytes;
    return publications.map((publication) => ({
      ...chains.link(publication),
      omitted: publication.json.length > maxBytes,
    }));
  }

  /** Says every second, and when asked to, how far this relay is, and stops it when another should go on. */
  #speak(
    chains: Chains,
    { stop, missed }: { readonly stop: AbortController; readonly missed: number },
  ): { readonly now: () => void; readonly end: () => void } {
    const { bus, clock, cluster, store } = this.#o;
    let cancel = (): void => undefined;
    const speak = (): void => {
      cancel();
      if (stop.signal.aborted) return;
      if (this.#mustGiveWay()) return stop.abort(new ApiError('Conflict', 'another relay publishes'));
      const status: RelayStatus = {
        relay: this.#id,
        epoch: chains.epoch,
        revision: this.#published,
        ...(this.#published < missed ? { catchingUp: true } : {}),
        positions: chains.positions(),
      };
      try {
        bus.publish({ subject: relaySubject(cluster), headers: {}, data: Buffer.from(JSON.stringify(status)) });
      } catch (error) {
        return stop.abort(error);
      }
      cancel = clock.after(speakMs, speak);
      store.revision().then(
        (revision) => this.#metrics.behind(revision - this.#published),
        () => undefined, // the watch tells of a store that fails
      );
    };
    speak();
    return {
      now: speak,
      end: () => {
        cancel();
      },
    };
  }
}

/** The kinds that users defined: their definitions are called like their resources. */
async function customResources(store: Pick<Store, 'list'>): Promise<readonly string[]> {
  const prefix = `${definitions}/`;
  const { entries } = await store.list(prefix);
  return entries.map(({ key }) => key.slice(prefix.length));
}
const definitions: BuiltIn = 'customresourcedefinitions';
