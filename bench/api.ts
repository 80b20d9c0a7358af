import { benchPod, load, spread, withServer } from './support.ts';
import type { BenchRow } from './row.ts';

const creates = (inFlight: number, count: number, goal?: number): BenchRow => ({
  name: `durable pod creates over gRPC, ${inFlight} at a time`,
  unit: 'pods/s',
  better: 'higher',
  ...(goal !== undefined && { goal }),
  repeats: 3,
  run: (context) =>
    withServer(context, {}, async (cluster) => {
      const client = cluster.client();
      await load(200, inFlight, (i) => client.create('pods', benchPod(`warm-${i}`)));
      context.say(`creating ${count} pods`);
      const { perSecond, timesMs } = await load(count, inFlight, (i) =>
        client.create('pods', benchPod(`pod-${i}`), { fieldValidation: 'Ignore' }),
      );
      client.close();
      return { value: perSecond, extra: spread(timesMs) };
    }),
});

const batches: BenchRow = {
  name: 'durable pod creates over gRPC, batches of 100, 4 at a time',
  unit: 'pods/s',
  better: 'higher',
  goal: 10_000,
  repeats: 3,
  run: (context) =>
    withServer(context, {}, async (cluster) => {
      const client = cluster.client();
      const batch = (name: string): never[] => Array.from({ length: 100 }, (_, k) => benchPod(`${name}-${k}`));
      await load(10, 4, (i) => client.createMany('pods', batch(`warm-${i}`), { fieldValidation: 'Ignore' }));
      context.say('creating 20,000 pods');
      const { perSecond, timesMs } = await load(200, 4, (i) =>
        client.createMany('pods', batch(`pod-${i}`), { fieldValidation: 'Ignore' }),
      );
      client.close();
      return { value: perSecond * 100, extra: spread(timesMs) };
    }),
};

const reads: BenchRow = {
  name: 'get a pod over gRPC, 16 at a time',
  unit: 'gets/s',
  better: 'higher',
  goal: 10_000,
  repeats: 3,
  run: (context) =>
    withServer(context, {}, async (cluster) => {
      const client = cluster.client();
      await client.create('pods', benchPod('one'));
      await load(2_000, 16, () => client.get('pods', 'default/one'));
      const { perSecond, timesMs } = await load(10_000, 16, () => client.get('pods', 'default/one'));
      client.close();
      return { value: perSecond, extra: spread(timesMs) };
    }),
};

const list = (count: number, goal?: number): BenchRow => ({
  name: `list of ${count} pods over gRPC, parsed by the client`,
  unit: 'ms',
  better: 'lower',
  ...(goal !== undefined && { goal }),
  repeats: 3,
  run: (context) =>
    withServer(context, {}, async (cluster) => {
      const client = cluster.client();
      context.say(`creating ${count} pods`);
      await load(count / 100, 4, (i) =>
        client.createMany(
          'pods',
          Array.from({ length: 100 }, (_, k) => benchPod(`pod-${i}-${k}`)),
          { fieldValidation: 'Ignore' },
        ),
      );
      const { timesMs } = await load(10, 1, async () => {
        const { items } = await client.list('pods');
        if (items.length !== count) throw new Error(`the list has ${items.length} of ${count} pods`);
      });
      client.close();
      return { value: spread(timesMs)['p50 ms'] ?? NaN, extra: { 'p99 ms': spread(timesMs)['p99 ms'] ?? NaN } };
    }),
});

export const rows: readonly BenchRow[] = [
  creates(1, 1_000),
  creates(16, 5_000, 5_000),
  creates(256, 10_000, 5_000),
  batches,
  reads,
  list(2_000, 10),
  list(10_000),
];
