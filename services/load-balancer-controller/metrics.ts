import type { Meter } from '@opentelemetry/api';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { Haproxy } from './haproxy/haproxy.ts';
import { readStatistics, type Row } from './haproxy/statistics.ts';

/** HAProxy's own counters, asked for when somebody reads the metrics. They begin anew when it reads its configuration again. */
export function observeHaproxy(haproxy: Haproxy, meter: Meter, log: Log): void {
  const gauge = (name: string, description: string) =>
    meter.createObservableGauge(`troupe_load_balancer_${name}`, { description });
  const counter = (name: string, description: string) =>
    meter.createObservableCounter(`troupe_load_balancer_${name}`, { description });
  const open = gauge('connections_open', 'Connections that are open now');
  const endpoints = gauge('endpoints', 'Endpoints that take new connections');
  const taken = counter('connections', 'Connections from clients');
  const refused = counter('refused', 'Connections refused: sender not in the source ranges, or no endpoint');
  const failed = counter('failures', 'Tries to connect to an endpoint that failed');
  const redispatched = counter('redispatches', 'Connections that another endpoint took after the first did not');
  const bytes = counter('bytes', 'Bytes carried, by direction as seen from the client');
  const perEndpoint = counter('endpoint_connections', 'Connections by endpoint');

  const tell = (row: Row, observe: (instrument: typeof open, value: number, more?: Record<string, string>) => void) => {
    if (row.kind === 'FRONTEND') {
      observe(open, row.open);
      observe(taken, row.connections);
      observe(refused, row.refused);
      observe(bytes, row.bytesIn, { direction: 'in' });
      observe(bytes, row.bytesOut, { direction: 'out' });
    } else if (row.kind === 'BACKEND') {
      observe(endpoints, row.active);
      observe(failed, row.failures);
      observe(redispatched, row.redispatches);
    } else observe(perEndpoint, row.sessions, { endpoint: row.kind });
  };
  meter.addBatchObservableCallback(
    async (result) => {
      try {
        const text = await haproxy.statistics();
        for (const row of readStatistics(text ?? ''))
          tell(row, (instrument, value, more) => {
            result.observe(instrument, value, { ...row.labels, ...more });
          });
      } catch (error) {
        log.debug({ error: messageOf(error) }, 'HAProxy did not tell its statistics');
      }
    },
    [open, endpoints, taken, refused, failed, redispatched, bytes, perEndpoint],
  );
}
