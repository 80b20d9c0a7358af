import type { Meter } from '@opentelemetry/api';
import { keyOf } from '../api/keys.ts';
import type { BuiltIn, Objects, Resource } from '../api/kinds.ts';
import type { ApiObject } from '../api/objects.ts';
import { messageOf } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { EventBus } from '../bus/bus.ts';
import type { ListOptions, Reader } from '../client/client.ts';
import { Feed } from './feed.ts';
import { StoreHistory } from './history.ts';
import { viewMetrics } from './metrics.ts';
import { ObjectTable } from './table.ts';
import { defaultTimes, type ViewTimes } from './times.ts';
import type { Change, Indexer, View } from './view.ts';

/** What views are made from; one set serves all views of a process. */
export interface ViewSource {
  readonly client: Reader;
  /** Without one the view reads by gRPC Watch alone. */
  readonly bus?: EventBus | undefined;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal: AbortSignal;
  readonly times?: Partial<ViewTimes>;
  readonly random?: () => number;
  /** Shared by the views of a process that are read together; default: one of its own. */
  readonly history?: StoreHistory;
}

/** What one view holds, and how it is indexed. */
export interface ViewScope<R extends Resource> {
  readonly indexes?: Readonly<Record<string, Indexer<Objects[R]>>>;
  readonly namespace?: string;
  /** Pods of one node only. */
  readonly node?: string;
  /** The selection as the API understands it, and the same as a function for what comes by the bus. */
  readonly select?: { readonly labelSelector: string; readonly matches: (object: Objects[R]) => boolean };
}

export interface LiveView<T> extends View<T> {
  /** Resolves with the first complete snapshot; rejects when the view ends before that. */
  readonly whenSynced: Promise<void>;
  /** False while the view may show a history that the store does not have any more, as after a restore. Decide nothing by it then. */
  readonly current: boolean;
  /** Resolves when it is current, which is at once but for rare moments. */
  whenCurrent(): Promise<void>;
  /** Where news comes from now. */
  readonly source: 'bus' | 'watch';
  /** How far the view is complete, to be compared with what others say of theirs. */
  readonly position: ViewPosition;
  /** Adds indexes to those that it was made with; of a name each. */
  declare(indexes: Readonly<Record<string, Indexer<T>>>): void;
  /** Ends the feed; what the view holds stays readable. */
  close(): void;
}

export interface ViewPosition {
  /** The life of the chain of changes (`RelayStatus.epoch`); empty while it is not known. Revisions of different lives say nothing of each other. */
  readonly epoch: string;
  /** Nothing up to this revision is missing; -1 when that cannot be said. */
  readonly revision: number;
}

/** Starts a view of one resource. It survives whatever happens to the API and the bus until `signal` aborts or it is closed. */
export function newView<R extends Resource>(resource: R, source: ViewSource & ViewScope<R>): LiveView<Objects[R]> {
  const { client, bus, cluster, clock, log, meter, namespace, node, select } = source;
  type T = Objects[R] & ApiObject;
  const table = new ObjectTable<T>(source.indexes);
  const listeners = new Set<(change: Change<Objects[R]>) => void>();
  const closing = new AbortController();
  const signal = AbortSignal.any([source.signal, closing.signal]);
  const metrics = viewMetrics(meter);
  const synced = deferred();
  synced.promise.catch(() => undefined); // whoever waits hears of it; nobody has to wait
  let isSynced = false;

  const notify = (changes: readonly Change<Objects[R]>[]): void => {
    for (const change of changes) {
      for (const listener of listeners) {
        try {
          listener(change);
        } catch (error) {
          log.error({ resource, key: change.key, error: messageOf(error) }, 'a listener of a view threw');
        }
      }
    }
  };

  const matches = (object: Objects[R]): boolean =>
    (namespace === undefined || object.metadata.namespace === namespace) && (select?.matches(object) ?? true);

  let waiting = deferred();
  const feed = new Feed<R>({
    resource,
    client,
    bus,
    cluster,
    node,
    selection: selectionOf(namespace, node, select?.labelSelector),
    matches,
    table,
    notify,
    onSynced: () => {
      isSynced = true;
      synced.resolve();
    },
    onCurrent: () => {
      waiting.resolve();
      waiting = deferred();
    },
    history: source.history ?? new StoreHistory(),
    clock,
    log,
    metrics,
    times: { ...defaultTimes, ...source.times },
    random: source.random ?? Math.random,
    signal,
  });
  const stopObserving = metrics.observe(resource, () => ({
    size: table.size,
    behind: feed.behind,
    source: feed.source,
  }));
  void feed.run().finally(() => {
    stopObserving();
    synced.reject(new Error(`the view of ${resource} ended before its first snapshot`));
  });

  const wrote = (object: Objects[R], gone: boolean): void => {
    const own = object as T;
    const revision = Number(own.metadata.resourceVersion);
    const change = gone || !matches(object) ? table.remove(keyOf(own), revision) : table.put(own, revision);
    if (change !== undefined && isSynced) notify([change]);
    // Writes are numbered in order: one that lies before what was known is late news, or the store has gone back.
    else if (!gone && isSynced && table.get(keyOf(own)) === undefined) feed.historyChanged();
  };

  return {
    get: (key) => (isSynced ? table.get(key) : undefined),
    list: (place) => (isSynced ? table.list(place) : []),
    by: (index, value) => (isSynced ? table.by(index, value) : []),
    get size() {
      return isSynced ? table.size : 0;
    },
    get synced() {
      return isSynced;
    },
    get source() {
      return feed.source;
    },
    get position() {
      return feed.position;
    },
    whenSynced: synced.promise,
    get current() {
      return feed.current;
    },
    whenCurrent: () => (feed.current ? Promise.resolve() : waiting.promise),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    wrote: (object) => {
      wrote(object, false);
    },
    wroteDeletion: (object) => {
      wrote(object, true);
    },
    declare: (indexes) => {
      table.declare(indexes);
    },
    close: () => {
      closing.abort(new Error(`the view of ${resource} was closed`));
    },
  };
}
function selectionOf(
  namespace: string | undefined,
  node: string | undefined,
  labelSelector: string | undefined,
): ListOptions {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(node === undefined ? {} : { fieldSelector: `spec.nodeName=${node}` }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
  };
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve = (): void => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

type Scopes = { readonly [R in BuiltIn]?: ViewScope<R> };
type ViewsOf<S extends Scopes> = { readonly [R in keyof S & BuiltIn]: LiveView<Objects[R]> };

/** Several views at once, and `synced()` for all of them. */
export function newViews<S extends Scopes>(
  scopes: S,
  source: ViewSource,
): ViewsOf<S> & { synced(): Promise<void>; close(): void } {
  const views: Partial<Record<BuiltIn, LiveView<Objects[BuiltIn]>>> = {};
  const history = source.history ?? new StoreHistory();
  for (const resource of Object.keys(scopes) as BuiltIn[]) {
    views[resource] = newView(resource, { ...source, history, ...scopes[resource] } as ViewSource & ViewScope<BuiltIn>);
  }
  const all = Object.values(views);
  return {
    ...(views as ViewsOf<S>),
    synced: async () => {
      await Promise.all(all.map((view) => view.whenSynced));
    },
    close: () => {
      for (const view of all) view.close();
    },
  };
}
