import type { Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { parseObject, type Indexed } from './indexed.ts';
import type { Selecting } from './selecting.ts';

export interface Served {
  readonly json: Buffer;
  readonly revision: number;
}
export interface WatchBatch {
  readonly revision: number;
  readonly changes: readonly { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly served: Served }[];
}
type Told = WatchBatch['changes'][number];

/** One change of one object, indexed before and after; bytes are parsed and made at most once for all who watch. */
export class ObjectChange {
  readonly resource: Resource;
  readonly key: Key;
  readonly revision: number;
  readonly before: Indexed | undefined;
  readonly after: Indexed | undefined;
  readonly #json: () => Buffer | undefined;
  readonly #previous: Uint8Array | undefined;
  #parsedBefore: ApiObject | undefined;
  #parsedAfter: ApiObject | undefined;
  #served: Served | undefined;
  #servedDeletion: Served | undefined;

  constructor(change: {
    readonly resource: Resource;
    readonly key: Key;
    readonly revision: number;
    readonly before: Indexed | undefined;
    readonly after: Indexed | undefined;
    /** As served, with the revision; made if somebody wants it. Undefined for a deletion. */
    readonly json: () => Buffer | undefined;
    /** As stored; undefined for a creation. */
    readonly previous: Uint8Array | undefined;
  }) {
    this.resource = change.resource;
    this.key = change.key;
    this.revision = change.revision;
    this.before = change.before;
    this.after = change.after;
    this.#json = change.json;
    this.#previous = change.previous;
  }

  /** How the change looks to one selection; undefined when it does not concern it. */
  toldTo(selecting: Selecting): Told | undefined {
    if (this.resource !== selecting.resource) return undefined;
    const was = this.before !== undefined && selecting.matches(this.before, () => this.#parseBefore());
    const is = this.after !== undefined && selecting.matches(this.after, () => this.#parseAfter());
    if (is) return { type: was ? 'MODIFIED' : 'ADDED', served: this.#serve() };
    return was ? { type: 'DELETED', served: this.#serveDeletion() } : undefined;
  }

  #parseBefore(): ApiObject {
    return (this.#parsedBefore ??= parseObject(this.#previous ?? nothing));
  }
  #parseAfter(): ApiObject {
    return (this.#parsedAfter ??= parseObject(this.#serve().json));
  }
  #serve(): Served {
    return (this.#served ??= { json: this.#json() ?? nothing, revision: this.revision });
  }
  /** The last state that was told, at the revision at which it stopped to be. */
  #serveDeletion(): Served {
    return (this.#servedDeletion ??= {
      json: withRevision(this.#previous ?? nothing, this.revision),
      revision: this.revision,
    });
  }
}
const nothing = Buffer.from('{"metadata":{}}');

/** A place in a feed; what was told before it is garbage as soon as no watch stands there any more. */
interface Link {
  batch: WatchBatch | undefined;
  next: Link | undefined;
  /** How many changes the feed had told up to and including this link. */
  readonly told: number;
}

/** A watch that reads slower than this many changes are made is cut off, so that what is kept for it has an end. */
const maxBehind = 8_192;

/** The live changes of one selection, matched once and shared as the same batches by all who watch it. */
export class Feed {
  readonly selecting: Selecting;
  #tail: Link;
  #pending: Told[] = [];
  #waiting: (() => void)[] = [];
  readonly #watches = new Set<FeedWatch>();
  #nextCheck = maxBehind;

  constructor(selecting: Selecting) {
    this.selecting = selecting;
    this.#tail = { batch: undefined, next: undefined, told: 0 };
  }

  get size(): number {
    return this.#watches.size;
  }

  offer(change: ObjectChange): boolean {
    const told = change.toldTo(this.selecting);
    if (told === undefined) return false;
    this.#pending.push(told);
    return true;
  }

  /** Hands on what was offered since the last time; without any, a batch with the revision alone if `bookmark`. */
  flush(revision: number, bookmark = false): void {
    if (this.#pending.length === 0 && !(bookmark && (this.#tail.batch?.revision ?? 0) < revision)) return;
    const changes = this.#pending;
    this.#pending = [];
    const link: Link = { batch: { revision, changes }, next: undefined, told: this.#tail.told + changes.length };
    this.#tail.next = link;
    this.#tail = link;
    if (link.told >= this.#nextCheck) {
      this.#nextCheck = link.told + maxBehind / 8;
      for (const watch of this.#watches) watch.cutOffIfBehind(link.told - maxBehind);
    }
    this.wake();
  }

  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Ends every watch with Expired: what comes next does not follow from what was told. */
  expireAll(): void {
    for (const watch of this.#watches) watch.cutOffIfBehind(Infinity);
    this.wake();
  }

  open(): FeedWatch {
    const watch = new FeedWatch(this.#tail, {
      wait: () => new Promise((resolve) => this.#waiting.push(resolve)),
      wake: () => {
        this.wake();
      },
      close: () => this.#watches.delete(watch),
    });
    this.#watches.add(watch);
    return watch;
  }
}

/** One reader of a feed, from the moment it was opened. */
export class FeedWatch {
  #at: Link | undefined;
  readonly #feed: { readonly wait: () => Promise<void>; readonly wake: () => void; readonly close: () => void };

  constructor(
    at: Link,
    feed: { readonly wait: () => Promise<void>; readonly wake: () => void; readonly close: () => void },
  ) {
    this.#at = at;
    this.#feed = feed;
  }

  cutOffIfBehind(told: number): void {
    if (this.#at !== undefined && this.#at.told < told) this.#at = undefined;
  }

  close(): void {
    this.#feed.close();
    this.#at = undefined;
  }

  /** Batches until aborted. Expired when cut off. */
  async *batches(signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    const onAbort = (): void => {
      this.#feed.wake();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted) {
        if (this.#at === undefined) {
          throw new ApiError('Expired', 'the watch was cut off: it read too slowly or history was lost; list again');
        }
        const { next } = this.#at;
        if (next?.batch === undefined) await this.#feed.wait();
        else {
          this.#at = next;
          yield next.batch;
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** All feeds, filed so that a change is offered only to those it may concern. */
export class Feeds {
  readonly #byId = new Map<string, Feed>();
  /** By resource, and for selections of one node's pods by that node: thousands of agents may watch. */
  readonly #byRoute = new Map<string, Set<Feed>>();
  readonly #touched = new Set<Feed>();

  get watches(): number {
    let sum = 0;
    for (const feed of this.#byId.values()) sum += feed.size;
    return sum;
  }

  open(selecting: Selecting): FeedWatch {
    let feed = this.#byId.get(selecting.id);
    if (feed === undefined) {
      feed = new Feed(selecting);
      this.#byId.set(selecting.id, feed);
      const route = routeOf(selecting);
      const filed = this.#byRoute.get(route);
      if (filed === undefined) this.#byRoute.set(route, new Set([feed]));
      else filed.add(feed);
    }
    return feed.open();
  }

  close(selecting: Selecting, watch: FeedWatch): void {
    watch.close();
    const feed = this.#byId.get(selecting.id);
    if (feed === undefined || feed.size > 0) return;
    this.#byId.delete(selecting.id);
    const route = routeOf(selecting);
    const filed = this.#byRoute.get(route);
    filed?.delete(feed);
    if (filed?.size === 0) this.#byRoute.delete(route);
  }

  offer(change: ObjectChange): void {
    this.#offerTo(change.resource, change);
    if (change.resource !== 'pods') return;
    const [before, after] = [change.before?.fields[0], change.after?.fields[0]];
    if (after !== undefined) this.#offerTo(`pods@${after}`, change);
    if (before !== undefined && before !== after) this.#offerTo(`pods@${before}`, change);
  }

  flush(revision: number): void {
    for (const feed of this.#touched) feed.flush(revision);
    this.#touched.clear();
  }

  /** Tells every watch that nothing of interest happened up to a revision. */
  bookmark(revision: number): void {
    for (const feed of this.#byId.values()) feed.flush(revision, true);
  }

  expireAll(): void {
    for (const feed of this.#byId.values()) feed.expireAll();
  }

  #offerTo(route: string, change: ObjectChange): void {
    const feeds = this.#byRoute.get(route);
    if (feeds === undefined) return;
    for (const feed of feeds) if (feed.offer(change)) this.#touched.add(feed);
  }
}

const routeOf = ({ resource, filed }: Selecting): string => {
  const node = resource === 'pods' ? filed.find(({ index }) => index === 0)?.value : undefined;
  return node === undefined ? resource : `pods@${node}`;
};
