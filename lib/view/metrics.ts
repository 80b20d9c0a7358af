import type { Meter, ObservableResult } from '@opentelemetry/api';

/** The figures of all views of a process. */
export interface ViewMetrics {
  /** Seconds from commit to view. */
  lag(resource: string, seconds: number): void;
  list(resource: string, reason: string): void;
  change(resource: string, count: number): void;
  /** Reads a view's state whenever figures are collected. Returns the way to stop. */
  observe(resource: string, state: () => ViewState): () => void;
}
export interface ViewState {
  readonly size: number;
  readonly behind: number;
  readonly source: 'bus' | 'watch';
}

export function viewMetrics(meter: Meter): ViewMetrics {
  const lag = meter.createHistogram('troupe_view_lag_seconds', {
    description: 'From commit to view',
    advice: { explicitBucketBoundaries: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30] },
  });
  const lists = meter.createCounter('troupe_view_lists', { description: 'Full lists taken, by reason' });
  const changes = meter.createCounter('troupe_view_changes', { description: 'Changes that news made to the view' });
  const objects = meter.createObservableGauge('troupe_view_objects', { description: 'Objects held' });
  const behind = meter.createObservableGauge('troupe_view_behind_revisions', {
    description: 'Revisions known to lack',
  });
  const source = meter.createObservableGauge('troupe_view_source', {
    description: '1 for the source of news, bus or watch',
  });
  return {
    lag: (resource, seconds) => {
      if (Number.isFinite(seconds)) lag.record(Math.max(0, seconds), { resource });
    },
    list: (resource, reason) => {
      lists.add(1, { resource, reason });
    },
    change: (resource, count) => {
      changes.add(count, { resource });
    },
    observe(resource, state) {
      const read = {
        objects: (result: ObservableResult) => {
          result.observe(state().size, { resource });
        },
        behind: (result: ObservableResult) => {
          result.observe(state().behind, { resource });
        },
        source: (result: ObservableResult) => {
          const now = state().source;
          for (const name of ['bus', 'watch']) result.observe(now === name ? 1 : 0, { resource, source: name });
        },
      };
      objects.addCallback(read.objects);
      behind.addCallback(read.behind);
      source.addCallback(read.source);
      return () => {
        objects.removeCallback(read.objects);
        behind.removeCallback(read.behind);
        source.removeCallback(read.source);
      };
    },
  };
}
