import { hostname } from 'node:os';
import { runService } from '../../lib/base/lifecycle.ts';
import { serveEffects } from '../../lib/bus/effects.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { tellProgrammed } from '../../lib/bus/teller.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newDriftEvents } from '../../lib/controller/drift.ts';
import { newViews } from '../../lib/view/views.ts';
import { ensureAddress, removeAddress } from './address.ts';
import { dnsOptions, parseListen } from './config.ts';
import { Forwarder } from './forwarder.ts';
import { dnsMetrics } from './metrics.ts';
import { Names } from './names.ts';
import { allowReceiveBuffer, kernelDrops, receiveBuffer } from './receive-buffer.ts';
import { Resolver } from './resolver.ts';
import { serveDns } from './server.ts';
import { machineUpstreams, serversFor } from './upstreams.ts';

runService('dns', dnsOptions, async (context) => {
  const { config, log, clock, telemetry, signal } = context;
  const { cluster, nodeName, domain, ttl, checkMs, completeSearch, upstream, stubDomains } = config;
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
    unread: kernelDrops(ports),
  }));
  const ports = new Set<number>();

  const client = newClient({ address: config.apiserver, userAgent: 'troupe-dns', log });
  context.onStop('client', () => client.close());
  const bus =
    config.nats.length === 0 ? undefined : connectBus({ servers: config.nats, name: 'troupe-dns', cluster, log });
  context.onStop('bus', () => bus?.close());
  const views = newViews(
    { services: {}, endpoints: {}, namespaces: {} },
    { client, bus, cluster, clock, log, meter, signal },
  );
  const { services, endpoints, namespaces } = views;
  const tellDrift = newDriftEvents('dns', nodeName, { client, clock, log, meter, signal });
  const names = new Names({
    ...{ services, endpoints, namespaces, domain, ttl, clock, tracer, checkMs, onCompiled: metrics.compiled },
    position: () => ({
      epoch: endpoints.position.epoch,
      services: services.position.revision,
      endpoints: endpoints.position.revision,
    }),
    onChecked(seconds, differences) {
      metrics.checked(seconds, differences.length);
      if (differences.length === 0) return;
      log.warn({ differences }, 'the names were not as they should be; made all of them anew');
      tellDrift(differences);
    },
  });
  const mode = config.listen.join(',');
  const state = { part: 'dns', node: nodeName, instance: `${hostname()}_${process.pid}`, mode };
  if (bus !== undefined) {
    const who = { kind: 'dns', name: nodeName };
    tellProgrammed({ bus, cluster, who, sender: names, mode, clock, signal });
  }
  if (bus !== undefined)
    serveEffects(bus, { cluster, signal, log }, ({ service }) => ({
      ...state,
      servicesRevision: names.revisions.services,
      endpointsRevision: names.revisions.endpoints,
      ...names.effect(service),
    }));

  const own = [...listen, ...config.ensureAddress.map((host) => ({ host, port: 53 }))];
  const upstreams =
    upstream === undefined ? machineUpstreams('/etc/resolv.conf', own, () => clock.monotonic()) : () => upstream;
  const forwarder = new Forwarder({
    upstreams: serversFor(stubDomains, upstreams),
    clock,
    log,
    onOutcome: metrics.upstream,
  });
  const resolver = new Resolver({
    zone: () => names.zone,
    ...{ domain, forwarder, completeSearch, clock, log, onAnswer: metrics.answer },
  });

  for (const address of config.ensureAddress) await ensureAddress(address);
  const limit = allowReceiveBuffer();
  if (limit !== undefined) {
    const fix = `sysctl -w net.core.rmem_max=${receiveBuffer}`;
    log.info({ limit, fix }, 'a burst of questions may be lost: the machine allows small receive buffers only');
  }
  for (const { host, port } of listen) {
    const server = await serveDns({ resolver, host, port, log, onQuery: metrics.query, onDropped: metrics.dropped });
    ports.add(server.port);
    context.onStop('server', () => server.close());
    log.info({ host, port: server.port }, 'answering');
  }
  telemetry.ready('zone', () => (names.zone === undefined ? 'waits for the first snapshot' : undefined));
  views.synced().then(
    () => context.onStop('names', names.start()),
    () => undefined, // stopped before the first snapshot
  );
});
