import { status } from '@grpc/grpc-js';
import type { Meter } from '@opentelemetry/api';

/** What is counted about calls. */
export interface CallMetrics {
  /** A unary call has begun; the returned function tells the code of its end. */
  started(method: string): (code: status) => void;
  /** A stream has begun; the returned function tells the code of its end. */
  streamOpened(method: string): (code: status) => void;
  streamSent(method: string, bytes: number): void;
}

/** Names of the OpenTelemetry conventions for RPC servers where these have one. */
export function newCallMetrics(meter: Meter | undefined, now: () => number): CallMetrics {
  if (meter === undefined) {
    const nothing = (): void => undefined;
    return { started: () => nothing, streamOpened: () => nothing, streamSent: nothing };
  }
  const duration = meter.createHistogram('rpc_server_call_duration', {
    description: 'Time from request to reply of unary calls, by method and status code',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });
  const open = meter.createUpDownCounter('troupe_grpc_open_streams', { description: 'Streams open now, by method' });
  const ended = meter.createCounter('troupe_grpc_streams', { description: 'Streams ended, by method and status code' });
  const messages = meter.createCounter('troupe_grpc_stream_messages', { description: 'Messages sent on streams' });
  const bytesSent = meter.createCounter('troupe_grpc_stream_bytes', { description: 'Bytes sent on streams' });
  return {
    started(method) {
      const begun = now();
      return (code) => {
        duration.record((now() - begun) / 1000, { method, code: status[code] });
      };
    },
    streamOpened(method) {
      open.add(1, { method });
      return (code) => {
        open.add(-1, { method });
        ended.add(1, { method, code: status[code] });
      };
    },
    streamSent(method, bytes) {
      messages.add(1, { method });
      bytesSent.add(bytes, { method });
    },
  };
}
