import type { Meter } from '@opentelemetry/api';

export interface RelayMetrics {
  published(count: number): void;
  /** From commit to captured by the stream. */
  captured(lagMs: number): void;
  /** Revisions of the store that are not published yet. */
  behind(revisions: number): void;
  restarted(): void;
}

export function relayMetrics(meter: Meter, isPublishing: () => boolean): RelayMetrics {
  let behind = 0;
  const published = meter.createCounter('troupe_relay_published', { description: 'Changes published to the bus' });
  const restarts = meter.createCounter('troupe_relay_restarts', {
    description: 'Times that publishing had to begin again',
  });
  const lag = meter.createHistogram('troupe_relay_lag_seconds', {
    description: 'From commit to captured by the stream',
    advice: { explicitBucketBoundaries: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30] },
  });
  meter
    .createObservableGauge('troupe_relay_behind_revisions', { description: 'Revisions of the store not published yet' })
    .addCallback((result) => result.observe(behind));
  meter
    .createObservableGauge('troupe_relay_publishing', { description: '1 while this process publishes changes' })
    .addCallback((result) => result.observe(isPublishing() ? 1 : 0));
  return {
    published: (count) => published.add(count),
    captured: (lagMs) => lag.record(Math.max(0, lagMs) / 1000),
    behind: (revisions) => {
      behind = Math.max(0, revisions);
    },
    restarted: () => restarts.add(1),
  };
}
