import { createNoopMeter, type Meter } from '@opentelemetry/api';
import type { Key } from '../../../lib/api/keys.ts';
import { isCustom, kinds, resources, type Resource } from '../../../lib/api/kinds.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { backoffMs } from '../../../lib/base/backoff.ts';
import { systemClock, wait, type Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { Store, StoreChange } from '../store/store.ts';
import { Feeds, ObjectChange, type Served, type WatchBatch } from './feeds.ts';
import { Filing, type Entry } from './filing.ts';
import { indexedOf, nodeOf, type Indexed } from './indexed.ts';
import type { Selecting } from './selecting.ts';
import { Slices } from './slices.ts';

export interface CacheOptions {
  readonly store: Store;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
  /** How often watches without changes are told the present revision. */
  readonly bookmarkEveryMs?: number;
}

/** A key of the store that is no object: what the registry keeps for itself under `claims/`. */
export interface Claim {
  readonly value: Uint8Array;
  readonly revision: number;
}

export type ChangeListener = (key: Key, entry: Entry | undefined) => void;

const loadPage = 2_000;
const fileSlice = 500;
const slicePieces = 50;
const caughtUpTimeoutMs = 10_000;

/**
 * The apiserver's picture of the whole state, held as the bytes that are served, and fed by the store alone:
 *
 *     loading --everything listed--> following --the store's watch ends or fails--> loading …
 *
 * It lags behind the store by a moment; `fresh` waits until it does not. Loading anew ends every watch with Expired.
 */
export class Cache {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log | undefined;
  readonly #bookmarkEveryMs: number;
  readonly #filings = new Map<Resource, Filing>();
  readonly #claims = new Map<string, Claim>();
  readonly #feeds = new Feeds();
  readonly #listeners = new Map<string, ChangeListener[]>();
  readonly #everywhere: ((resource: Resource, key: Key) => void)[] = [];
  /** The last change of each resource, and of its objects on each node, since loading. */
  readonly #positions = new Map<string, number>();
  #loadedRevision = 0;
  #revision = 0;
  #waiting: { readonly revision: number; readonly resolve: () => void }[] = [];
  #stop = new AbortController();
  #following: Promise<void> | undefined;
  #cancelBookmarks: () => void = () => undefined;

  constructor(options: CacheOptions) {
    this.#store = options.store;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.#bookmarkEveryMs = options.bookmarkEveryMs ?? 10_000;
    for (const resource of resources) this.#filings.set(resource, new Filing(resource));
    const meter = options.meter ?? createNoopMeter();
    meter
      .createObservableGauge('troupe_apiserver_objects', { description: 'Objects by resource' })
      .addCallback((result) => {
        for (const [resource, filing] of this.#filings) result.observe(filing.size, { resource });
      });
    meter.createObservableGauge('troupe_apiserver_watches', { description: 'Open watches' }).addCallback((result) => {
      result.observe(this.#feeds.watches);
    });
  }

  /** Resolves once everything is loaded and changes are being followed. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    await this.#load();
    this.#following = this.#follow();
    this.#scheduleBookmarks();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#cancelBookmarks();
    this.#feeds.expireAll();
    await this.#following;
  }

  /** Everything up to and including this revision is here. */
  get revision(): number {
    return this.#revision;
  }

  /** Resolves once every commit that was acknowledged before the call is here. */
  async fresh(): Promise<void> {
    const revision = await this.#store.revision();
    if (this.#revision < revision) await this.caughtUp(revision);
  }

  /** Rejects with ServiceUnavailable when the store's changes do not come. */
  caughtUp(revision: number): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(caughtUpTimeoutMs, () => {
        reject(
          new ApiError('ServiceUnavailable', `the cache is at revision ${this.#revision}, not yet at ${revision}`),
        );
      });
      this.#waiting.push({
        revision,
        resolve: () => {
          cancel();
          resolve();
        },
      });
    });
  }

  filing(resource: Resource): Filing {
    let filing = this.#filings.get(resource);
    if (filing === undefined) this.#filings.set(resource, (filing = new Filing(resource)));
    return filing;
  }

  /** Resolves once all that was loaded of a resource can be found by label and field. */
  async filed(resource: Resource): Promise<void> {
    const filing = this.filing(resource);
    const slices = new Slices();
    while (filing.fileSome(slicePieces)) if (slices.isOver(1)) await slices.next();
  }

  get(resource: Resource, key: Key): Entry | undefined {
    return this.filing(resource).get(key);
  }

  claim(key: string): Claim | undefined {
    return this.#claims.get(key);
  }
  claims(): Iterable<readonly [string, Claim]> {
    return this.#claims;
  }

  /**
   * The revision of the last change to a resource, or to its objects on one node. Never less than the truth, but after
   * loading it may be more, up to the revision of that moment: deletions before it are not known.
   */
  position(resource: Resource, node?: string): number {
    const known = this.#positions.get(node === undefined ? resource : `${resource}@${node}`);
    return known ?? this.#loadedRevision;
  }

  /** Calls for each change of a resource's objects, or of `claims`, after it has been applied. Not during loading. */
  onChange(resource: Resource, listener: ChangeListener): void {
    this.#listeners.set(resource, [...(this.#listeners.get(resource) ?? []), listener]);
  }

  /** Calls for each change of any object, after it has been applied. Not during loading. */
  onEveryChange(listener: (resource: Resource, key: Key) => void): void {
    this.#everywhere.push(listener);
  }

  /** `Registry.watch`. */
  async *watch(
    selecting: Selecting,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (fromRevision > this.#revision) {
      const latest = await this.#store.revision();
      if (fromRevision > latest) {
        throw new ApiError('Expired', `revision ${fromRevision} is yet to come: the latest is ${latest}; list again`);
      }
      await this.caughtUp(fromRevision);
    }
    const joinRevision = this.#revision;
    const watch = this.#feeds.open(selecting);
    try {
      if (fromRevision < joinRevision) yield* this.#past(selecting, fromRevision, joinRevision, signal);
      yield* watch.batches(signal);
    } finally {
      this.#feeds.close(selecting, watch);
    }
  }

  /** From the store's history: changes after one revision up to another, and a last batch that ends exactly there. */
  async *#past(
    selecting: Selecting,
    afterRevision: number,
    upToRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    const done = new AbortController();
    const either = AbortSignal.any([done.signal, signal]);
    try {
      for await (const batch of this.#store.watch('', afterRevision, either)) {
        const changes: WatchBatch['changes'][number][] = [];
        for (const change of batch) {
          if (change.revision > upToRevision) break;
          const told = objectChangeOf(change)?.toldTo(selecting);
          if (told !== undefined) changes.push(told);
        }
        const revision = Math.min(batch.at(-1)?.revision ?? 0, upToRevision);
        if (changes.length > 0 || revision === upToRevision) yield { revision, changes };
        if (revision === upToRevision) return;
      }
    } finally {
      done.abort();
    }
  }

  async #load(): Promise<void> {
    const seen = new Set<string>();
    let revision: number | undefined;
    let afterKey = '';
    for (;;) {
      const list = await this.#store.list('', {
        limit: loadPage,
        afterKey,
        ...(revision === undefined ? {} : { atRevision: revision }),
      });
      revision = list.revision;
      for (const { key, value, revision: changed } of list.entries) {
        seen.add(key);
        const at = addressOf(key);
        if (at === undefined) this.#claims.set(key, { value, revision: changed });
        else this.filing(at.resource).load(at.key, value, changed);
      }
      afterKey = list.entries.at(-1)?.key ?? '';
      if (!list.more) break;
    }
    this.#dropUnseen(seen);
    this.#positions.clear();
    this.#loadedRevision = revision;
    this.#arrived(revision);
    this.#fileRest();
  }

  /** What loading left to do, in slices between which requests are served. */
  #fileRest(): void {
    if (this.#stop.signal.aborted) return;
    const hasMore = [...this.#filings.values()].filter((filing) => filing.fileSome(fileSlice)).length > 0;
    if (hasMore) setImmediate(() => this.#fileRest());
  }

  #dropUnseen(seen: ReadonlySet<string>): void {
    for (const [resource, filing] of this.#filings) {
      for (const { key } of [...filing.entries()]) if (!seen.has(`${resource}/${key}`)) filing.remove(key);
    }
    for (const key of this.#claims.keys()) if (!seen.has(key)) this.#claims.delete(key);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        if (attempt > 0) {
          this.#feeds.expireAll();
          await this.#load();
        }
        for await (const batch of this.#store.watch('', this.#revision, signal)) {
          this.#apply(batch);
          attempt = 0;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#log?.error({ error }, 'lost the changes of the store; loading again');
        await wait(this.#clock, backoffMs(attempt, { firstMs: 50, maxMs: 5_000 }), signal).catch(() => undefined);
      }
    }
  }

  #apply(batch: readonly StoreChange[]): void {
    const last = batch.at(-1);
    if (last === undefined) return;
    for (const change of batch) this.#applyOne(change);
    this.#arrived(last.revision);
    this.#feeds.flush(last.revision);
  }

  #applyOne(change: StoreChange): void {
    const at = addressOf(change.key);
    if (at === undefined) {
      if (change.value === undefined) this.#claims.delete(change.key);
      else this.#claims.set(change.key, { value: change.value, revision: change.revision });
      return;
    }
    const { resource, key } = at;
    const filing = this.filing(resource);
    const { revision, previous } = change;
    const before = filing.get(key)?.indexed;
    const entry = change.value === undefined ? undefined : filing.put(key, change.value, revision);
    if (entry === undefined) filing.remove(key);
    this.#moved(resource, revision, before, entry?.indexed);
    // Whoever is concerned takes the bytes now: the entry may be another in a moment.
    this.#feeds.offer(
      new ObjectChange({ resource, key, revision, before, after: entry?.indexed, json: () => entry?.json, previous }),
    );
    const listeners = this.#listeners.get(resource);
    if (listeners !== undefined) for (const listener of listeners) listener(key, entry);
    for (const listener of this.#everywhere) listener(resource, key);
  }

  #moved(resource: Resource, revision: number, before: Indexed | undefined, after: Indexed | undefined): void {
    this.#positions.set(resource, revision);
    // A change is told on the channel of the node where the object is, or was when it is gone.
    const indexed = after ?? before;
    const node = indexed === undefined ? undefined : nodeOf(resource, indexed);
    if (node !== undefined) this.#positions.set(`${resource}@${node}`, revision);
  }

  #arrived(revision: number): void {
    this.#revision = revision;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (one.revision <= revision) one.resolve();
      else this.#waiting.push(one);
    }
  }

  #scheduleBookmarks(): void {
    this.#cancelBookmarks = this.#clock.after(this.#bookmarkEveryMs, () => {
      this.#feeds.bookmark(this.#revision);
      this.#scheduleBookmarks();
    });
  }
}

function objectChangeOf(change: StoreChange): ObjectChange | undefined {
  const at = addressOf(change.key);
  if (at === undefined) return undefined;
  const { value, previous, revision } = change;
  return new ObjectChange({
    ...at,
    revision,
    before: previous === undefined ? undefined : indexedOf(at.resource, at.key, previous),
    after: value === undefined ? undefined : indexedOf(at.resource, at.key, value),
    json: () => (value === undefined ? undefined : withRevision(value, revision)),
    previous,
  });
}

/** Where an object of the API is in the store: `<resource>/<namespace>/<name>`; undefined for what is no object. */
export function addressOf(storeKey: string): { readonly resource: Resource; readonly key: Key } | undefined {
  const slash = storeKey.indexOf('/');
  const resource = storeKey.slice(0, slash);
  return Object.hasOwn(kinds, resource) || isCustom(resource)
    ? { resource: resource as Resource, key: storeKey.slice(slash + 1) }
    : undefined;
}
export const storeKeyOf = (resource: Resource, key: Key): string => `${resource}/${key}`;

export type { Entry, Served, WatchBatch };
