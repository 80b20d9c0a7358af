import { runService } from '../../lib/base/lifecycle.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newViews } from '../../lib/view/views.ts';
import { proxyOptions } from './config.ts';
import { chooseRules, cleanUp } from './mode.ts';
import { Proxy } from './proxy.ts';

runService('proxy', proxyOptions, async (context) => {
  const { config, log, clock, telemetry, signal } = context;
  if (config.cleanup) {
    await cleanUp(config, clock, log);
    context.done();
    return;
  }
  const rules = await chooseRules(config, clock, log);
  const { cluster, nodeName, checkMs } = config;
  const client = newClient({ address: config.apiserver, userAgent: 'troupe-proxy', log });
  context.onStop('client', () => client.close());
  const bus =
    config.nats.length === 0 ? undefined : connectBus({ servers: config.nats, name: 'troupe-proxy', cluster, log });
  context.onStop('bus', () => bus?.close());

  const { meter, tracer } = telemetry;
  const views = newViews({ services: {}, endpoints: {} }, { client, bus, cluster, clock, log, meter, signal });
  const proxy = new Proxy({ ...views, rules, nodeName, clock, log, meter, tracer, checkMs });
  context.onStop('proxy', () => proxy.stop());
  telemetry.ready('rules', () => proxy.notReady);
  // Nothing else holds the process while its dependencies are away and no telemetry is served.
  const alive = setInterval(() => undefined, 2 ** 30);
  context.onStop('alive', () => clearInterval(alive));
  views.synced().then(
    () => proxy.start(),
    () => undefined, // stopped before the first snapshot
  );
});
