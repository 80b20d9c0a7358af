import { header, resourceSubject } from '../lib/bus/subjects.ts';
import { connectBus } from '../lib/bus/nats-bus.ts';
import { silentLog } from '../lib/base/log.ts';
import { BenchCluster, benchPod, spread } from './support.ts';
import type { BenchRow } from './row.ts';

const changes = 200;
const everyMs = 10;

/**
 * From the create call being sent to the last and each subscriber having the change, through the store, the relay and NATS.
 * Each subscriber is a subscription of its own; they share a few connections of this process, as watchers on one host would.
 */
const fanout = (subscribers: number, goal?: number): BenchRow => ({
  name: `change to subscriber on the bus, ${subscribers} subscribers`,
  unit: 'ms p50',
  better: 'lower',
  ...(goal !== undefined && { goal }),
  repeats: 3,
  async run(context) {
    context.say('starting NATS and an apiserver');
    const cluster = await BenchCluster.start({ nats: true });
    const connections = Array.from({ length: Math.min(10, subscribers) }, (_, i) =>
      connectBus({ servers: [cluster.nats], name: `bench-${i}`, cluster: 'bench', log: silentLog }),
    );
    const client = cluster.client(1);
    try {
      const sentAt = new Map<string, number>();
      const timesMs: number[] = [];
      let heard = 0;
      let allHeard = (): void => undefined;
      const wanted = subscribers * changes;
      const subscriptions = Array.from({ length: subscribers }, (_, i) =>
        connections[i % connections.length]?.subscribe(
          resourceSubject('bench', 'pods'),
          (message) => {
            const sent = sentAt.get(message.headers[header.subject] ?? '');
            if (sent === undefined) return;
            timesMs.push(performance.now() - sent);
            if (++heard === wanted) allHeard();
          },
          () => undefined,
        ),
      );
      await Promise.all(subscriptions.flatMap((subscription) => subscription?.ready ?? []));
      await client.create('pods', benchPod('warm'));
      const done = new Promise<void>((resolve) => (allHeard = resolve));
      context.say(`${changes} changes, one every ${everyMs} ms`);
      const creates: Promise<unknown>[] = [];
      let next = performance.now();
      for (let i = 0; i < changes; i++) {
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
        next += everyMs;
        sentAt.set(`default/pod-${i}`, performance.now());
        creates.push(client.create('pods', benchPod(`pod-${i}`), { fieldValidation: 'Ignore' }));
      }
      await Promise.all(creates);
      await Promise.race([
        done,
        new Promise((_, reject) =>
          setTimeout(() => {
            reject(new Error(`heard ${heard} of ${wanted}`));
          }, 30_000).unref(),
        ),
      ]);
      const { 'p50 ms': p50 = NaN, 'p99 ms': p99 = NaN } = spread(timesMs);
      return { value: p50, extra: { 'p99 ms': p99 } };
    } finally {
      client.close();
      await Promise.all(connections.map((connection) => connection.close()));
      await cluster.stop();
    }
  },
});

export const rows: readonly BenchRow[] = [fanout(1, 1.5), fanout(100, 3), fanout(1_000)];
