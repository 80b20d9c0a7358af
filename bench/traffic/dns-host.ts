import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { systemClock } from '../../lib/base/clock.ts';
import { newLog } from '../../lib/base/log.ts';
import { Forwarder } from '../../services/dns/forwarder.ts';
import { dnsMetrics } from '../../services/dns/metrics.ts';
import { allowReceiveBuffer } from '../../services/dns/receive-buffer.ts';
import { Resolver } from '../../services/dns/resolver.ts';
import { serveDns } from '../../services/dns/server.ts';
import { compile } from '../../services/dns/zone.ts';
import { aService, anEndpoints } from '../../test/support/builders.ts';
import { serveRequests } from '../../test/support/netns-requests.ts';

/** The DNS server over a zone of many services, with its metrics, in a process of its own. */
class Reader extends MetricReader {
  override onForceFlush = (): Promise<void> => Promise.resolve();
  override onShutdown = (): Promise<void> => Promise.resolve();
}

serveRequests({
  async serve({ services: count }: { readonly services: number }) {
    const services = Array.from({ length: count }, (_, i) =>
      aService({ name: `s${i}`, clusterIP: i % 10 === 9 ? 'None' : `10.96.${i >> 8}.${i & 255}` }),
    );
    const endpoints = anEndpoints({ ips: Array.from({ length: 10 }, (_, i) => `10.244.0.${i}`) });
    const zone = compile(services, () => endpoints, { domain: 'cluster.local', ttl: 5, serial: 1 });
    const log = newLog('bench', { level: 'silent' });
    const clock = systemClock;
    const forwarder = new Forwarder({ upstreams: () => [], clock, log });
    const meter = new MeterProvider({ readers: [new Reader()] }).getMeter('bench');
    const metrics = dnsMetrics(meter, () => ({ services: 0, stored: 0, revisions: { services: 0, endpoints: 0 } }));
    const resolver = new Resolver({
      zone: () => zone,
      ...{ domain: 'cluster.local', forwarder, completeSearch: true, clock, log, onAnswer: metrics.answer },
    });
    allowReceiveBuffer();
    const server = await serveDns({ resolver, host: '127.0.0.1', port: 0, log, onQuery: metrics.query });
    return server.port;
  },
});
