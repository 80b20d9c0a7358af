import type { Meter } from '@opentelemetry/api';

export interface SchedulerMetrics {
  /** A batch was decided. */
  decided(ms: number, placed: number, refused: number): void;
  /** A pod got its node so long after it was made. */
  bound(ms: number): void;
  /** So many pods were ended to make room; or not all of them could be. */
  preempted(victims: number, done: boolean): void;
  /** A binding was refused. */
  failed(reason: string): void;
}

export function schedulerMetrics(
  meter: Meter,
  sizes: () => { readonly ready: number; readonly taken: number; readonly waiting: number },
): SchedulerMetrics {
  const decisions = meter.createCounter('troupe_scheduler_decisions', { description: 'Pods decided, by result' });
  const bindings = meter.createCounter('troupe_scheduler_bindings', { description: 'Bindings, by result' });
  const victims = meter.createCounter('troupe_scheduler_victims', {
    description: 'Pods to be ended for others of higher priority, by whether all of them could be',
  });
  const batch = meter.createHistogram('troupe_scheduler_batch_seconds', {
    description: 'Time to decide one batch',
    advice: { explicitBucketBoundaries: [0.0005, 0.002, 0.01, 0.05, 0.2, 1] },
  });
  const latency = meter.createHistogram('troupe_scheduler_bind_latency_seconds', {
    description: 'From the making of a pod (whole seconds) to its binding',
    advice: { explicitBucketBoundaries: [1, 2, 5, 15, 60, 300] },
  });
  meter
    .createObservableGauge('troupe_scheduler_pods', { description: 'Pods without a node, by state' })
    .addCallback((result) => {
      for (const [state, count] of Object.entries(sizes())) result.observe(count, { state });
    });
  return {
    decided(ms, placed, refused) {
      batch.record(ms / 1000);
      decisions.add(placed, { result: 'placed' });
      decisions.add(refused, { result: 'refused' });
    },
    bound(ms) {
      bindings.add(1, { result: 'bound' });
      latency.record(Math.max(0, ms) / 1000);
    },
    preempted: (count, done) => {
      victims.add(count, { result: done ? 'ended' : 'refused' });
    },
    failed: (reason) => bindings.add(1, { result: reason }),
  };
}
