import type { Meter } from '@opentelemetry/api';
import type { AnswerKind } from './resolver.ts';
import { rcodes } from './records.ts';

const boundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 2.5, 5];
const rcodeNames = new Map<number, string>(Object.entries(rcodes).map(([name, number]) => [number, name]));

export interface DnsState {
  readonly services: number;
  readonly stored: number;
  /** Dropped by the kernel; undefined where it does not say. */
  readonly unread?: number | undefined;
  readonly revisions: { readonly services: number; readonly endpoints: number };
}

/** The figures of the DNS service. */
export function dnsMetrics(meter: Meter, read: () => DnsState) {
  const histogram = (name: string, description: string, explicitBucketBoundaries = boundaries) =>
    meter.createHistogram(name, { description, advice: { explicitBucketBoundaries } });
  const duration = histogram('troupe_dns_query_seconds', 'From question to answer, by transport');
  const compile = histogram('troupe_dns_compile_seconds', 'Work of making a zone');
  const lag = histogram('troupe_dns_lag_seconds', 'From the arrival of a change to its being answered');
  const answers = meter.createCounter('troupe_dns_answers', { description: 'Answers, by kind of name and code' });
  const check = histogram('troupe_dns_check_seconds', 'One comparison of the zone with what it should be');
  const drift = meter.createCounter('troupe_dns_drift', { description: 'Differences found that no change explains' });
  const dropped = meter.createCounter('troupe_dns_dropped', {
    description: 'Questions by UDP that got no answer: read, and no room, or too late',
  });
  meter
    .createObservableCounter('troupe_dns_unread', {
      description: 'Questions by UDP that the kernel dropped because they were not read in time',
    })
    .addCallback((result) => {
      const { unread } = read();
      if (unread !== undefined) result.observe(unread);
    });
  const upstream = meter.createCounter('troupe_dns_upstream', {
    description: 'Questions about other names: found in the cache, answered or failed',
  });
  const gauge = (name: string, description: string, value: () => number): void =>
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(value()));
  gauge('troupe_dns_services', 'Services with names', () => read().services);
  gauge('troupe_dns_stored_answers', 'Answers of other servers kept', () => read().stored);
  meter
    .createObservableGauge('troupe_dns_programmed_revision', {
      description: 'The latest revision of a resource that is being answered from',
    })
    .addCallback((result) => {
      const { services, endpoints } = read().revisions;
      result.observe(services, { resource: 'services' });
      result.observe(endpoints, { resource: 'endpoints' });
    });
  const transports = { udp: { transport: 'udp' }, tcp: { transport: 'tcp' } };
  return {
    query: (transport: 'udp' | 'tcp', seconds: number) => duration.record(seconds, transports[transport]),
    answer: (kind: AnswerKind, rcode: number) =>
      answers.add(1, { kind, rcode: rcodeNames.get(rcode) ?? String(rcode) }),
    checked: (seconds: number, differences: number) => {
      check.record(seconds);
      if (differences > 0) drift.add(differences);
    },
    dropped: (count: number) => dropped.add(count),
    upstream: (outcome: string) => upstream.add(1, { outcome }),
    compiled: (workSeconds: number, lagSeconds: number) => {
      compile.record(workSeconds);
      lag.record(lagSeconds);
    },
  };
}
