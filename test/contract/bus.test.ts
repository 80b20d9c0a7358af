import assert from 'node:assert/strict';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
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

describe('NATS bus while it connects', () => {
  it('loses no subscription, whenever it is made', async function () {
    this.timeout(60_000);
    const server = await startNatsServer();
    try {
      for (let round = 0; round < 5; round++) {
        const bus = connectBus({ servers: [server.url], name: 'early', cluster: 'contract', log: silentLog });
        const heard = new Set<string>();
        const subscriptions = [];
        const subjects: string[] = [];
        while (!bus.connected) {
          const subject = `early.${subjects.length}`;
          subjects.push(subject);
          subscriptions.push(
            bus.subscribe(
              subject,
              ({ subject: said }) => heard.add(said),
              () => undefined,
            ),
          );
          // A bus that takes long is asked for less often: it is the moment that counts, not how many there are.
          await (subjects.length < 300 ? turn() : delay(1));
        }
        await Promise.all(subscriptions.map(({ ready }) => ready));
        for (const subject of subjects) bus.publish({ subject, headers: {}, data: Buffer.from('x') });
        await until(() => heard.size === subjects.length, {
          what: () => `all ${subjects.length} hear; silent are ${subjects.filter((each) => !heard.has(each)).join()}`,
        }).finally(() => bus.close());
        assert.equal(heard.size, subjects.length);
      }
    } finally {
      await server.remove();
    }
  });
});
