import { runService } from '../../lib/base/lifecycle.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newViews } from '../../lib/view/views.ts';
import { ensureAddress, removeAddress } from './address.ts';
import { dnsOptions, parseListen } from './config.ts';
import { Forwarder } from './forwarder.ts';
import { dnsMetrics } from './metrics.ts';
import { Names } from './names.ts';
import { Resolver } from './resolver.ts';
import { serveDns } from './server.ts';
import { machineUpstreams } from './upstreams.ts';

runService('dns', dnsOptions, async (context) => {
  const { config, log, clock, telemetry, signal } = context;
  const { cluster, domain, ttl, completeSearch, upstream } = config;
  const listen = config.listen.map(parseListen);
  const { meter, tracer } = telemetry;
  if (config.cleanup) {
    for (const address of config.ensureAddress) await removeAddress(address);
    context.done();
    return;
  }
  const metrics = dnsMetrics(meter, () => ({
    services: names.zone?.size ?? 0,
    stored: forwarder.size,
    revisions: names.revisions,
  }));

  const client = newClient({ address: config.apiserver, userAgent: 'troupe-dns', log });
  context.onStop('client', () => client.close());
  const bus =
    config.nats.length === 0 ? undefined : connectBus({ servers: config.nats, name: 'troupe-dns', cluster, log });
  context.onStop('bus', () => bus?.close());
  const views = newViews({ services: {}, endpoints: {} }, { client, bus, cluster, clock, log, meter, signal });
  const { services, endpoints } = views;
  const names = new Names({ services, endpoints, domain, ttl, clock, tracer, onCompiled: metrics.compiled });

  const own = [...listen, ...config.ensureAddress.map((host) => ({ host, port: 53 }))];
  const upstreams =
    upstream === undefined ? machineUpstreams('/etc/resolv.conf', own, () => clock.monotonic()) : () => upstream;
  const forwarder = new Forwarder({ upstreams, clock, log, onOutcome: metrics.upstream });
  const resolver = new Resolver({
    zone: () => names.zone,
    ...{ domain, forwarder, completeSearch, clock, log, onAnswer: metrics.answer },
  });

  for (const address of config.ensureAddress) await ensureAddress(address);
  for (const { host, port } of listen) {
    const server = await serveDns({ resolver, host, port, log, onQuery: metrics.query });
    context.onStop('server', () => server.close());
    log.info({ host, port: server.port }, 'answering');
  }
  telemetry.ready('zone', () => (names.zone === undefined ? 'waits for the first snapshot' : undefined));
  views.synced().then(
    () => context.onStop('names', names.start()),
    () => undefined, // stopped before the first snapshot
  );
});
