import { runService } from '../../lib/base/lifecycle.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { controllerOptions } from '../../lib/controller/service.ts';
import { hostedOptions, managerOptions } from './config.ts';
import { startTogether } from './start.ts';

runService('controller-manager', { ...hostedOptions, ...managerOptions, ...controllerOptions }, async (context) => {
  const { log } = context;
  const { apiserver, nats, cluster } = context.config;
  const client = newClient({ address: apiserver, userAgent: 'troupe-controller-manager', log });
  context.onStop('client', () => client.close());
  const bus =
    nats.length === 0 ? undefined : connectBus({ servers: nats, name: 'troupe-controller-manager', cluster, log });
  context.onStop('bus', () => bus?.close());
  await startTogether({ ...context, client, bus }, context.config.controllers);
});
