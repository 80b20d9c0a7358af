import type { Objects, Resource } from '../api/kinds.ts';
import type { Indexer } from './view.ts';
import { StoreHistory } from './history.ts';
import { newView, type LiveView, type ViewScope, type ViewSource } from './views.ts';

/** Views of a process with several loops: each resource is read, parsed and held once for all of them. */
export interface SharedViews {
  /**
   * The view of a resource as one reader sees it: its indexes are its own, and what it writes all see at once. A narrower selection
   * is a view of its own. Closing it ends the feed when no other reader is left.
   */
  view<R extends Resource>(resource: R, scope?: ViewScope<R>): LiveView<Objects[R]>;
}

interface Shared {
  readonly view: LiveView<unknown>;
  readers: number;
}

export function newSharedViews(source: ViewSource): SharedViews {
  const history = source.history ?? new StoreHistory();
  const whole = new Map<Resource, Shared>();
  let readers = 0;
  return {
    view<R extends Resource>(resource: R, scope: ViewScope<R> = {}): LiveView<Objects[R]> {
      const { indexes = {}, ...narrower } = scope;
      if (Object.values(narrower).some((part) => part !== undefined))
        return newView(resource, { ...source, history, ...scope });
      let shared = whole.get(resource);
      if (shared === undefined) {
        shared = { view: newView(resource, { ...source, history }), readers: 0 };
        whole.set(resource, shared);
      }
      shared.readers++;
      return asReader(shared, `${++readers}/`, indexes as Readonly<Record<string, Indexer<unknown>>>, () =>
        whole.delete(resource),
      ) as LiveView<Objects[R]>;
    },
  };
}

/** The shared view with indexes under names of the reader's own. */
function asReader(
  shared: Shared,
  prefix: string,
  indexes: Readonly<Record<string, Indexer<unknown>>>,
  onLast: () => void,
): LiveView<unknown> {
  const { view } = shared;
  const named = (own: Readonly<Record<string, Indexer<unknown>>>): Record<string, Indexer<unknown>> =>
    Object.fromEntries(Object.entries(own).map(([name, indexer]) => [prefix + name, indexer]));
  view.declare(named(indexes));
  const stops: (() => void)[] = [];
  let isOpen = true;
  return Object.create(view, {
    onChange: {
      value: (...[listener]: Parameters<LiveView<unknown>['onChange']>) => {
        const stop = view.onChange(listener);
        stops.push(stop);
        return stop;
      },
    },
    by: { value: (index: string, value: string) => view.by(prefix + index, value) },
    declare: {
      value: (more: Readonly<Record<string, Indexer<unknown>>>) => {
        view.declare(named(more));
      },
    },
    close: {
      value: () => {
        if (!isOpen) return;
        isOpen = false;
        for (const stop of stops) stop();
        if (--shared.readers > 0) return;
        onLast();
        view.close();
      },
    },
  }) as LiveView<unknown>;
}
