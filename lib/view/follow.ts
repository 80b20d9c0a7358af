import { keyOf, type Key } from '../api/keys.ts';
import type { Objects, Resource } from '../api/kinds.ts';
import { backoffMs } from '../base/backoff.ts';
import { wait, type Clock } from '../base/clock.ts';
import { ApiError, hasReason, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { BusMessage, EventBus } from '../bus/bus.ts';
import { readHeaders } from '../bus/change.ts';
import { changeSubject, isPublished } from '../bus/subjects.ts';
import type { ListOptions, Reader } from '../client/client.ts';
import { RelayWatch } from './relay-watch.ts';
import { Wake } from './wake.ts';

/**
 * Single objects, by name, kept current by pushed changes: for a process that needs a few of a resource of which there may be many.
 * However many ask for an object, it costs one subscription to its subject; where the bus does not carry it (Secrets; any while
 * the bus is away), one gRPC Watch of that name.
 */
export interface ObjectFollower {
  /**
   * `onChange` is called after each change, the first answer being one where it was not known before, until `stop`. An object that says
   * that it is immutable is looked at once for each follower and costs nothing more.
   */
  follow<R extends Resource>(resource: R, key: Key, onChange: () => void): Following<Objects[R]>;
  /** How many objects are followed. */
  readonly size: number;
}

export interface Following<T> {
  /** The object as last heard of; undefined: there is none. Rejects with ServiceUnavailable when the first answer takes longer than `timeoutMs`. */
  read(timeoutMs: number): Promise<T | undefined>;
  stop(): void;
}

export interface FollowSource {
  readonly client: Pick<Reader, 'list' | 'watch'>;
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly times?: Partial<FollowTimes>;
  readonly random?: () => number;
}

export interface FollowTimes {
  /** The relay may be silent so long. */
  readonly relaySilenceMs: number;
  /** What is heard by the bus is compared with the API about so often: core NATS may lose a message without a word. */
  readonly checkMs: number;
}

const defaultTimes: FollowTimes = { relaySilenceMs: 3_500, checkMs: 300_000 };
const retry = { firstMs: 100, maxMs: 5_000, jitter: 0.5 };
const spreadMs = 500;
const decoder = new TextDecoder();

/** Lasts until `signal` aborts, whatever happens to the API and the bus. */
export function newObjectFollower(source: FollowSource): ObjectFollower {
  const { bus, cluster, clock, signal } = source;
  const times = { ...defaultTimes, ...source.times };
  const followed = new Map<string, FollowedObject<Resource>>();
  let relay: RelayWatch | undefined; // made when the first object needs it
  signal.addEventListener('abort', () => relay?.close(), { once: true });
  return {
    follow<R extends Resource>(resource: R, key: Key, onChange: () => void): Following<Objects[R]> {
      const id = `${resource}/${key}`;
      let one = followed.get(id) as FollowedObject<R> | undefined;
      if (one === undefined) {
        const carrier =
          bus === undefined || !isPublished(resource)
            ? undefined
            : { bus, relay: (relay ??= new RelayWatch(bus, cluster, clock, times.relaySilenceMs)) };
        one = new FollowedObject(resource, key, { ...source, times, carrier });
        followed.set(id, one);
        void one.run();
      }
      const stop = one.add(onChange);
      const shared = one;
      return {
        read: (timeoutMs) => shared.read(timeoutMs),
        stop: () => {
          stop();
          if (shared.hasFollowers || followed.get(id) !== (shared as unknown)) return;
          followed.delete(id);
          shared.close();
        },
      };
    },
    get size() {
      return followed.size;
    },
  };
}

interface FollowedOptions extends FollowSource {
  readonly times: FollowTimes;
  readonly carrier: { readonly bus: EventBus; readonly relay: RelayWatch } | undefined;
}

/**
 * One object.
 *
 *   subscribe ─► list ─► bus carries: messages are applied as they come; any doubt, and every 5 min: list again
 *                 │  ▲     bus away: Watch from the list's revision; it breaks, or the bus carries again: list again
 *                 │  └──── somebody new follows
 *                 └► immutable: nothing more
 */
class FollowedObject<R extends Resource> {
  readonly #resource: R;
  readonly #key: Key;
  readonly #o: FollowedOptions;
  readonly #selection: ListOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  readonly #wake = new Wake();
  readonly #waiting = new Set<() => void>();
  #value: Objects[R] | undefined;
  /** Of the value: that of its last change, or of the list that did not have it. */
  #revision = -1;
  #isKnown = false;
  #listDue = true;
  #lastError = '';

  constructor(resource: R, key: Key, options: FollowedOptions) {
    this.#resource = resource;
    this.#key = key;
    this.#o = options;
    this.#signal = AbortSignal.any([options.signal, this.#closing.signal]);
    const slash = key.indexOf('/');
    const fieldSelector = `metadata.name=${key.slice(slash + 1)}`;
    this.#selection = slash === -1 ? { fieldSelector } : { namespace: key.slice(0, slash), fieldSelector };
  }

  get hasFollowers(): boolean {
    return this.#listeners.size > 0;
  }
  add(listener: () => void): () => void {
    const own = (): void => {
      listener();
    };
    this.#listeners.add(own);
    if (this.#isImmutable()) this.#doubt(); // it may have been made anew under the same name
    return () => this.#listeners.delete(own);
  }
  close(): void {
    this.#closing.abort(new Error('nobody follows the object any more'));
  }

  async read(timeoutMs: number): Promise<Objects[R] | undefined> {
    if (!this.#isKnown) await this.#firstAnswer(timeoutMs);
    if (!this.#isKnown)
      throw new ApiError(
        'ServiceUnavailable',
        `${this.#resource} "${this.#key}" could not be read within ${timeoutMs} ms${this.#lastError}`,
      );
    return this.#value;
  }

  #firstAnswer(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#waiting.delete(end);
        resolve();
      };
      const cancel = this.#o.clock.after(timeoutMs, end);
      this.#waiting.add(end);
    });
  }

  /** Never rejects. */
  async run(): Promise<void> {
    const { clock, carrier, random = Math.random, log, times } = this.#o;
    const stop = await this.#listen();
    let failures = 0;
    while (!this.#signal.aborted) {
      try {
        if (this.#listDue) {
          await this.#list();
          continue;
        }
        if (this.#isImmutable()) await this.#wake.next(this.#signal);
        else if (carrier?.relay.carries === true) {
          await this.#wake.nextOr(clock, times.checkMs * (0.8 + 0.4 * random()), this.#signal);
          this.#listDue = true; // a doubt, or the time to check
        } else await this.#watch();
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted) break;
        this.#listDue = true;
        this.#lastError = `: ${messageOf(error)}`;
        if (failures === 0)
          log.debug(
            { resource: this.#resource, key: this.#key, error: messageOf(error) },
            'an object cannot be followed',
          );
        await this.#wake.nextOr(clock, backoffMs(failures++, retry, random), this.#signal);
      }
    }
    stop();
  }

  /** Subscribes to the object's own subject, where there is a bus. Returns the way to stop. */
  async #listen(): Promise<() => void> {
    const { carrier, cluster, clock } = this.#o;
    if (carrier === undefined) return () => undefined;
    const { namespace, fieldSelector = '' } = this.#selection;
    const subject = changeSubject(cluster, {
      resource: this.#resource,
      name: fieldSelector.slice('metadata.name='.length),
      ...(namespace === undefined ? {} : { namespace }),
    });
    const doubt = (): void => {
      if (!this.#isImmutable()) this.#doubt();
    };
    const subscription = carrier.bus.subscribe(subject, (message) => this.#heard(message), doubt);
    const stopDoubt = carrier.relay.onDoubt(doubt);
    let ready = false;
    void subscription.ready.then(
      () => {
        if (!ready) doubt();
        ready = true;
      },
      () => undefined,
    );
    // A bus that is away holds nothing up.
    if (carrier.bus.connected)
      await Promise.race([subscription.ready.catch(() => undefined), this.#wake.nextOr(clock, 500, this.#signal)]);
    ready = true;
    return () => {
      stopDoubt();
      subscription.close();
    };
  }

  #doubt(): void {
    this.#listDue = true;
    this.#wake.wake();
  }

  #heard(message: BusMessage): void {
    const headers = readHeaders(message);
    if (headers === undefined) return;
    if (headers.omitted) return this.#doubt();
    const object = JSON.parse(decoder.decode(message.data)) as Objects[R];
    // Two names may share a subject, since a dot is written as another sign.
    if (keyOf(object) === this.#key) this.#apply(headers.type === 'deleted' ? undefined : object, headers.revision);
  }

  async #list(): Promise<void> {
    const { clock, random = Math.random } = this.#o;
    // What makes one doubt makes all doubt, on every node.
    if (this.#isKnown) await wait(clock, spreadMs * random(), this.#signal);
    this.#listDue = false;
    const before = this.#revision;
    const { items, revision } = await this.#o.client.list(this.#resource, this.#selection, { signal: this.#signal });
    // Unless the bus told of something newer meanwhile, the list is right, even where a restored store went back in time.
    if (this.#revision === before || Number(revision) >= this.#revision) this.#set(items[0], Number(revision));
  }

  async #watch(): Promise<void> {
    const { client, carrier } = this.#o;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#signal, stop.signal]);
    void this.#wake.next(signal).then(() => {
      stop.abort();
    });
    const fromRevision = String(Math.max(0, this.#revision));
    try {
      for await (const batch of client.watch(this.#resource, { ...this.#selection, fromRevision }, signal)) {
        for (const { type, revision, object } of batch) {
          if (object === undefined) this.#revision = Math.max(this.#revision, Number(revision));
          else this.#apply(type === 'DELETED' ? undefined : object, Number(revision));
        }
        if (carrier?.relay.carries === true || this.#isImmutable()) break;
      }
      if (this.#isImmutable()) return;
      if (!signal.aborted && carrier?.relay.carries !== true)
        throw new ApiError('ServiceUnavailable', 'the watch ended');
      this.#listDue = true;
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#listDue = true;
      if (!stop.signal.aborted && !hasReason(error, 'Expired')) throw error;
    } finally {
      stop.abort();
    }
  }

  #apply(object: Objects[R] | undefined, revision: number): void {
    if (revision > this.#revision) this.#set(object, revision);
  }

  #set(value: Objects[R] | undefined, revision: number): void {
    const same = this.#isKnown && value?.metadata.resourceVersion === this.#value?.metadata.resourceVersion;
    this.#value = value;
    this.#revision = revision;
    this.#isKnown = true;
    for (const resolve of this.#waiting) resolve();
    if (same) return;
    for (const listener of [...this.#listeners]) listener();
  }

  #isImmutable(): boolean {
    return this.#value !== undefined && (this.#value as { readonly immutable?: boolean }).immutable === true;
  }
}
