import { connectBus } from '../lib/bus/nats-bus.ts';
import { relaySubject, resourceSubject, type RelayStatus } from '../lib/bus/subjects.ts';
import { silentLog } from '../lib/base/log.ts';
import { until } from '../test/support/until.ts';
import { BenchCluster, benchPod, load, percentile } from './support.ts';
import type { BenchRow } from './row.ts';

const missed = 20_000;
const subscribers = 8;

/**
 * The bus is away while so many changes are committed. From its return to the relay's word that all of them are published, with subscribers
 * that hear those that come after their own return, and how long a read takes meanwhile: leases are renewed within a second, or leaders lose them.
 */
const outage: BenchRow = {
  name: `bus back after ${missed} changes, to all of them published`,
  unit: 'ms',
  better: 'lower',
  goal: 3_000,
  repeats: 3,
  async run(context) {
    context.say('starting NATS and an apiserver');
    const cluster = await BenchCluster.start({ nats: true });
    const buses = Array.from({ length: subscribers }, (_, i) =>
      connectBus({ servers: [cluster.nats], name: `bench-${i}`, cluster: 'bench', log: silentLog }),
    );
    const client = cluster.client(2);
    try {
      let heard = 0;
      let caughtUp = false;
      for (const bus of buses) {
        const subscription = bus.subscribe(
          resourceSubject('bench', 'pods'),
          () => heard++,
          () => undefined,
        );
        await subscription.ready;
        bus.subscribe(
          relaySubject('bench'),
          ({ data }) => (caughtUp = (JSON.parse(Buffer.from(data).toString()) as RelayStatus).catchingUp !== true),
          () => undefined,
        );
      }
      await client.create('pods', benchPod('warm'));
      await until(() => heard === subscribers, { what: 'the first change' });
      await cluster.natsServer.stop();
      context.say(`${missed} changes without the bus`);
      await load(missed, 256, (i) => client.create('pods', benchPod(`pod-${i}`), { fieldValidation: 'Ignore' }));
      caughtUp = false;
      await cluster.natsServer.start();
      const begun = performance.now();
      const reads: number[] = [];
      while (!caughtUp) {
        if (performance.now() - begun > 60_000) throw new Error('the relay has not caught up within 60 s');
        const at = performance.now();
        await client.get('pods', 'default/warm');
        reads.push(performance.now() - at);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return {
        value: performance.now() - begun,
        extra: { 'read p50 ms': percentile(reads, 0.5), 'read max ms': Math.max(...reads), heard },
      };
    } finally {
      client.close();
      await Promise.all(buses.map((bus) => bus.close()));
      await cluster.stop();
    }
  },
};

export const rows: readonly BenchRow[] = [outage];
