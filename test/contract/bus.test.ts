import { silentLog } from '../../lib/base/log.ts';
import type { Bus } from '../../lib/bus/bus.ts';
import { MemoryBus } from '../../lib/bus/memory-bus.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { startNatsServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';
import { busContract } from './bus.contract.ts';

busContract('memory', async () => {
  const first = new MemoryBus();
  const all: MemoryBus[] = [];
  return {
    connect: async () => {
      const bus = new MemoryBus(first.broker);
      all.push(bus);
      return bus;
    },
    stop: async () => {
      for (const bus of all) bus.disconnect();
    },
    start: async () => {
      for (const bus of all) bus.reconnect();
    },
    remove: async () => undefined,
  };
});

busContract('NATS', async () => {
  const server = await startNatsServer();
  let isUp = true;
  const open: Bus[] = [];
  return {
    connect: async () => {
      const bus = connectBus({ servers: [server.url], name: 'contract', cluster: 'contract', log: silentLog });
      open.push(bus);
      await until(() => bus.connected, { what: 'the bus connects' });
      return bus;
    },
    stop: async () => {
      isUp = false;
      await server.kill();
    },
    start: async () => {
      if (!isUp) await server.start();
      isUp = true;
    },
    remove: async () => {
      for (const bus of open) await bus.close();
      await server.remove();
    },
  };
});
