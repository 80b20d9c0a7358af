import type { Meter } from '@opentelemetry/api';
import type { Programmed } from './rules.ts';
import type { ProxyTable } from './table/table.ts';

export interface ProxyMetrics {
  synced(workSeconds: number, lagSeconds: number, changes: number): void;
  checked(seconds: number, differences: number): void;
  failed(): void;
}

const boundaries = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function proxyMetrics(
  meter: Meter,
  mode: string,
  read: () => { readonly table: ProxyTable; readonly programmed: Programmed },
): ProxyMetrics {
  const histogram = (name: string, description: string) =>
    meter.createHistogram(name, { description, advice: { explicitBucketBoundaries: boundaries } });
  const work = histogram('troupe_proxy_sync_seconds', 'Work of one sync');
  const lag = histogram('troupe_proxy_lag_seconds', 'From the arrival of a change to its taking effect');
  const check = histogram('troupe_proxy_check_seconds', 'Work of one comparison with what is in effect');
  const changes = meter.createCounter('troupe_proxy_changes', { description: 'Separate changes put into effect' });
  const drift = meter.createCounter('troupe_proxy_drift', {
    description: 'Differences found that nobody had asked for',
  });
  const failures = meter.createCounter('troupe_proxy_failures', { description: 'Syncs and checks that failed' });
  const gauge = (name: string, description: string, value: () => number): void =>
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(value(), { mode }));
  gauge('troupe_proxy_targets', 'Service ports in effect', () => read().table.targets.size);
  gauge('troupe_proxy_frontends', 'Addresses and ports in effect', () => read().table.frontends.size);
  gauge('troupe_proxy_conflicts', 'Addresses and ports that two services claim', () => read().table.conflicts.length);
  gauge('troupe_proxy_backends', 'Backends in effect, over all service ports', () =>
    [...read().table.targets.values()].reduce((sum, target) => sum + target.backends.length, 0),
  );
  meter
    .createObservableGauge('troupe_proxy_programmed_revision', {
      description: 'The latest revision of a resource that is in effect',
    })
    .addCallback((result) => {
      const { programmed } = read();
      result.observe(programmed.services, { resource: 'services' });
      result.observe(programmed.endpoints, { resource: 'endpoints' });
    });
  return {
    synced(workSeconds, lagSeconds, count) {
      work.record(workSeconds, { mode });
      lag.record(lagSeconds, { mode });
      changes.add(count, { mode });
    },
    checked(seconds, differences) {
      check.record(seconds, { mode });
      if (differences > 0) drift.add(differences, { mode });
    },
    failed: () => failures.add(1, { mode }),
  };
}
