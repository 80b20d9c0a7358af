import type { Meter } from '@opentelemetry/api';
import { kinds } from '../../../lib/api/kinds.ts';

/** What is asked, in words of which there are few. */
export interface Measured {
  /** `get`, `list`, `watch`, `create`…; `other` for what is no verb. */
  readonly verb: string;
  /** With its subresource, `pods/log`; `other` for what is no resource of ours. */
  readonly resource: string;
}

/** What is counted about requests. */
export interface RestMetrics {
  /** A request was answered with this code, so many milliseconds after it came; a long one was begun to be answered. */
  answered(what: Measured, code: number, ms: number): void;
  /** One that counts against the bound of its sort has come; the returned function says that its answer is out. */
  entered(sort: 'read' | 'write' | 'long'): () => void;
  /** A stream into a pod is open; the returned function says that it has ended. */
  streamOpened(what: { readonly subresource: string; readonly protocol: string }): () => void;
}

const nothing = (): void => undefined;
export const noRestMetrics: RestMetrics = { answered: nothing, entered: () => nothing, streamOpened: () => nothing };

/** Names of the OpenTelemetry conventions for HTTP servers where these have one. */
export function newRestMetrics(meter: Meter): RestMetrics {
  const duration = meter.createHistogram('http_server_request_duration', {
    description: 'Time from request to answer, of long requests to its beginning, by verb, resource and code',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });
  const active = { read: 0, write: 0, long: 0 };
  meter
    .createObservableUpDownCounter('http_server_active_requests', {
      description: 'Requests that are being answered now: read, write, or long (watches, logs)',
    })
    .addCallback((result) => {
      for (const [sort, count] of Object.entries(active)) result.observe(count, { sort });
    });
  const open = meter.createUpDownCounter('troupe_rest_open_streams', {
    description: 'Streams into pods that are open now, by subresource and protocol',
  });
  return {
    answered({ verb, resource }, code, ms) {
      duration.record(ms / 1000, { verb, resource, code });
    },
    entered(sort) {
      active[sort]++;
      return () => {
        active[sort]--;
      };
    },
    streamOpened(what) {
      const labels = { ...what };
      open.add(1, labels);
      return () => {
        open.add(-1, labels);
      };
    },
  };
}

/** Only words that we know, since callers could name any number of others. */
export function measured(
  verb: string,
  at: { readonly resource: string; readonly subresource?: string } | undefined,
): Measured {
  if (at === undefined || !Object.hasOwn(kinds, at.resource)) return { verb, resource: 'other' };
  const { resource, subresource } = at;
  if (subresource === undefined) return { verb, resource };
  return { verb, resource: subresources.has(subresource) ? `${resource}/${subresource}` : 'other' };
}

const subresources: ReadonlySet<string> = new Set([
  ...['status', 'scale', 'binding', 'eviction', 'log', 'exec', 'attach', 'portforward', 'proxy'],
  ...['ephemeralcontainers', 'token', 'finalize'],
]);
