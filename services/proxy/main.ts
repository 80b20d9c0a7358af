import { hostname } from 'node:os';
import type { Key } from '../../lib/api/keys.ts';
import { runService } from '../../lib/base/lifecycle.ts';
import { raisePriority } from '../../lib/base/priority.ts';
import { serveEffects } from '../../lib/bus/effects.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { tellProgrammed } from '../../lib/bus/teller.ts';
import { serveTraffic } from '../../lib/bus/traffic-figures.ts';
import { tellWanted } from '../../lib/bus/wanted.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newDriftEvents } from '../../lib/controller/drift.ts';
import { newRecorder } from '../../lib/controller/events.ts';
import { newViews } from '../../lib/view/views.ts';
import { proxyOptions } from './config.ts';
import { chooseRules, cleanUp } from './mode.ts';
import { endpointsIndexes } from './cuts.ts';
import { hearDeaths } from './deaths.ts';
import { HealthPorts } from './health-ports.ts';
import { Proxy } from './proxy.ts';
import type { Programmed } from './rules.ts';

runService('proxy', proxyOptions, async (context) => {
  const { config, log, clock, telemetry, signal } = context;
  if (config.cleanup) {
    await cleanUp(config, clock, log);
    context.done();
    return;
  }
  const { cluster, nodeName, checkMs } = config;
  const client = newClient({ address: config.apiserver, userAgent: 'troupe-proxy', log });
  context.onStop('client', () => client.close());
  const bus =
    config.nats.length === 0 ? undefined : connectBus({ servers: config.nats, name: 'troupe-proxy', cluster, log });
  context.onStop('bus', () => bus?.close());

  const { meter, tracer } = telemetry;
  const views = newViews(
    { services: {}, endpoints: { indexes: endpointsIndexes } },
    { client, bus, cluster, clock, log, meter, signal },
  );
  const position = (): Programmed => ({
    epoch: views.endpoints.position.epoch,
    services: views.services.position.revision,
    endpoints: views.endpoints.position.revision,
  });
  const recorder = newRecorder({ client, component: 'proxy', host: nodeName, clock, log, meter, signal });
  const warn = (reason: string, target: string, what: string): void => {
    const [namespace, name, protocol = '', port = ''] = target.split('/');
    const service = views.services.get(`${namespace}/${name}`);
    if (service !== undefined)
      recorder.event(service, 'Warning', reason, `port ${port}/${protocol.toUpperCase()} ${what}`);
  };
  const around = {
    endpoints: (key: Key) => views.endpoints.get(key),
    onUnserved: (target: string, why: string) => warn('NotServed', target, `is refused: ${why}`),
    onWanted: (services: readonly Key[]) => void (bus !== undefined && tellWanted(bus, { cluster, services })),
    onInVain: (target: string, why: string) => warn('WaitedInVain', target, why),
  };
  const rules = await chooseRules(config, around, clock, log);
  if (rules.name !== 'userspace') raisePriority(); // it carries no traffic: all of its work is what others wait for
  const onDrift = newDriftEvents('proxy', nodeName, { client, clock, log, meter, signal });
  const proxy = new Proxy({ ...views, position, rules, nodeName, clock, log, meter, tracer, checkMs, onDrift });
  if (bus !== undefined) {
    const who = { kind: 'proxy', name: nodeName };
    tellProgrammed({ bus, cluster, who, sender: proxy, mode: rules.name, clock, signal });
    hearDeaths({ bus, cluster, proxy, log, meter, signal });
  }
  context.onStop('proxy', () => proxy.stop());
  const healthPorts = new HealthPorts({
    ...{ services: views.services, localEndpoints: (key) => proxy.localEndpoints(key), clock, log },
    onTaken: (service, why) => recorder.event(service, 'Warning', 'HealthCheckPortTaken', why),
  });
  context.onStop('health check ports', () => healthPorts.close());
  const instance = `${hostname()}_${process.pid}`;
  if (bus !== undefined)
    serveTraffic(
      bus,
      { cluster, node: nodeName, instance, signal },
      async (services) => (await rules.carried?.(services)) ?? [],
    );
  if (bus !== undefined)
    serveEffects(bus, { cluster, signal, log }, ({ service }) => ({ ...proxy.effect(service), instance }));
  telemetry.expose(async () => rules.figures?.() ?? '');
  telemetry.ready('rules', () => proxy.notReady);
  // Nothing else holds the process while its dependencies are away and no telemetry is served.
  const alive = setInterval(() => undefined, 2 ** 30);
  context.onStop('alive', () => clearInterval(alive));
  views.synced().then(
    () => {
      proxy.start();
      healthPorts.start();
    },
    () => undefined, // stopped before the first snapshot
  );
});
