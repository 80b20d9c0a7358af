import { Agent, request as httpsRequest } from 'node:https';
import { connect, type ClientHttp2Session } from 'node:http2';
import { HttpsClient, type Asked } from './https-client.ts';
import { benchPod, cpuSeconds, load, spread, withServer, type BenchCluster } from './support.ts';
import type { BenchRow } from './row.ts';

const clients = 16;
const pods = '/api/v1/namespaces/default/pods';

/** By the i-th of `clients` connections that stay open; resolves to the whole answer. Rejects for every answer but 200 and 201. */
type Ask = (client: number, asked: Asked) => Promise<Buffer>;
interface Door {
  readonly ask: Ask;
  close(): void;
}

const secrets = (cluster: BenchCluster): { ca: Buffer; cert: Buffer; key: Buffer } => ({
  ca: cluster.certificate('ca.crt'),
  cert: cluster.certificate('admin.crt'),
  key: cluster.certificate('admin.key'),
});
const headersOf = ({ body, type = 'application/json' }: Asked): Record<string, string> =>
  body === undefined ? {} : { 'content-type': type, 'content-length': String(body.length) };

function overHttp1(cluster: BenchCluster): Door {
  const all = Array.from({ length: clients }, () => new HttpsClient(cluster.rest, secrets(cluster)));
  return {
    ask: (i, asked) => all[i % clients]?.ask(asked) ?? Promise.reject(new Error('no client')),
    close: () => {
      for (const client of all) client.close();
    },
  };
}

function overHttp2(cluster: BenchCluster): Door {
  const sessions: ClientHttp2Session[] = Array.from({ length: clients }, () =>
    connect(`https://${cluster.rest}`, secrets(cluster)),
  );
  return {
    ask: (i, asked) =>
      new Promise((resolve, reject) => {
        const { method, path, body } = asked;
        const stream = sessions[i % clients]?.request({ ':method': method, ':path': path, ...headersOf(asked) });
        if (stream === undefined) return;
        let status = 0;
        const parts: Buffer[] = [];
        stream.on('response', (headers) => (status = Number(headers[':status'])));
        stream.on('data', (part: Buffer) => parts.push(part));
        stream.on('end', () => {
          finish(status, Buffer.concat(parts), { resolve, reject });
        });
        stream.on('error', reject);
        stream.end(body);
      }),
    close: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

function finish(
  status: number,
  body: Buffer,
  { resolve, reject }: { readonly resolve: (body: Buffer) => void; readonly reject: (error: Error) => void },
): void {
  if (status === 200 || status === 201) resolve(body);
  else reject(new Error(`${status}: ${body.toString()}`));
}

const doors = { 'HTTP/1.1': overHttp1, 'HTTP/2': overHttp2 } as const;

type Client = ReturnType<BenchCluster['client']>;
/** One piece of work through REST, and the same through gRPC. */
interface Verb {
  readonly what: string;
  readonly count: number;
  readonly goal?: number;
  readonly prepare?: (client: Client) => Promise<unknown>;
  readonly rest: (ask: (asked: Asked) => Promise<Buffer>, i: number) => Promise<unknown>;
  readonly grpc: (client: Client, i: number) => Promise<unknown>;
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const patch = (turn: string): object => ({ metadata: { labels: { turn } } });

const verbs: readonly Verb[] = [
  {
    what: 'create a pod',
    count: 5_000,
    goal: 5_000,
    rest: (ask, i) => ask({ method: 'POST', path: pods, body: json(benchPod(`rest-${i}`)) }),
    grpc: (client, i) => client.create('pods', benchPod(`grpc-${i}`)),
  },
  {
    what: 'get a pod',
    count: 10_000,
    goal: 10_000,
    prepare: (client) => client.create('pods', benchPod('one')),
    rest: (ask) => ask({ method: 'GET', path: `${pods}/one` }),
    grpc: (client) => client.get('pods', 'default/one'),
  },
  {
    what: 'merge-patch one of 100 pods',
    count: 5_000,
    prepare: (client) => load(100, 4, (i) => client.create('pods', benchPod(`p-${i}`))),
    rest: (ask, i) =>
      ask({
        ...{ method: 'PATCH', path: `${pods}/p-${i % 100}`, body: json(patch(`rest-${i}`)) },
        type: 'application/merge-patch+json',
      }),
    grpc: (client, i) => client.patch('pods', `default/p-${i % 100}`, patch(`grpc-${i}`)),
  },
];

/** Before anything counts, so that the engine has compiled what both need. */
const warmUp = 1_500;
const turns = 4;

/** Both in one run, by turns, so that they have the same machine, and an apiserver that has run as long. */
const verbRow = (protocol: keyof typeof doors, verb: Verb): BenchRow => ({
  name: `${verb.what} through REST, ${protocol}, ${clients} clients`,
  unit: 'requests/s',
  better: 'higher',
  ...(verb.goal !== undefined && { goal: verb.goal }),
  repeats: 3,
  run: (context) =>
    withServer(context, { rest: true }, async (cluster) => {
      const client = cluster.client();
      const door = doors[protocol](cluster);
      const byRest = (i: number, worker: number): Promise<unknown> => verb.rest((asked) => door.ask(worker, asked), i);
      const byGrpc = (i: number): Promise<unknown> => verb.grpc(client, i);
      try {
        await verb.prepare?.(client);
        const { count } = verb;
        for (const work of [byRest, byGrpc]) await load(warmUp, clients, (i, worker) => work(count + i, worker));
        const [rest, grpc] = [new Side(cluster), new Side(cluster)];
        for (let turn = 0; turn < turns; turn++) {
          context.say(`${count} each, turn ${turn + 1} of ${turns}`);
          const first = (turn * count) / turns;
          await rest.add(count / turns, (i, worker) => byRest(first + i, worker));
          await grpc.add(count / turns, (i) => byGrpc(first + i));
        }
        const peer = Object.entries(grpc.figures()).map(([name, value]) => [`gRPC ${name}`, value]);
        return {
          value: rest.perSecond,
          extra: {
            'of gRPC': rest.perSecond / grpc.perSecond,
            ...rest.figures(),
            'gRPC requests/s': grpc.perSecond,
            ...(Object.fromEntries(peer) as Record<string, number>),
          },
        };
      } finally {
        door.close();
        client.close();
      }
    }),
});

/** What one of two ways has done in all its turns, and what that took of the processor: of the server, and of the clients in this process. */
class Side {
  readonly #server: number;
  readonly #timesMs: number[] = [];
  #seconds = 0;
  #serverSeconds = 0;
  #clientSeconds = 0;

  constructor(cluster: BenchCluster) {
    this.#server = cluster.pids.get('apiserver') ?? 0;
  }

  get perSecond(): number {
    return this.#timesMs.length / this.#seconds;
  }

  async add(count: number, work: (i: number, worker: number) => Promise<unknown>): Promise<void> {
    const [server, client] = [cpuSeconds(this.#server), cpuSeconds(process.pid)];
    const { perSecond, timesMs } = await load(count, clients, work);
    this.#seconds += count / perSecond;
    this.#timesMs.push(...timesMs);
    this.#serverSeconds += cpuSeconds(this.#server) - server;
    this.#clientSeconds += cpuSeconds(process.pid) - client;
  }

  figures(): Record<string, number> {
    const us = (seconds: number): number => (seconds / this.#timesMs.length) * 1e6;
    return {
      ...spread(this.#timesMs),
      'server µs': us(this.#serverSeconds),
      'client µs': us(this.#clientSeconds),
    };
  }
}

const fill = (client: Client, count: number): Promise<unknown> =>
  load(count / 100, 4, (i) =>
    client.createMany(
      'pods',
      Array.from({ length: 100 }, (_, k) => benchPod(`pod-${i}-${k}`)),
      { fieldValidation: 'Ignore' },
    ),
  );

const listRow = (protocol: keyof typeof doors, count: number, goal?: number): BenchRow => ({
  name: `list of ${count} pods through REST, ${protocol}, as bytes`,
  unit: 'ms',
  better: 'lower',
  ...(goal !== undefined && { goal }),
  repeats: 3,
  run: (context) =>
    withServer(context, { rest: true }, async (cluster) => {
      const client = cluster.client();
      const door = doors[protocol](cluster);
      try {
        context.say(`creating ${count} pods`);
        await fill(client, count);
        const rest = await load(12, 1, () => door.ask(0, { method: 'GET', path: pods }));
        const grpc = await load(6, 1, () => client.list('pods'));
        const { 'p50 ms': p50 = NaN, 'p99 ms': p99 = NaN } = spread(rest.timesMs);
        return { value: p50, extra: { 'p99 ms': p99, 'gRPC, parsed, ms': spread(grpc.timesMs)['p50 ms'] ?? NaN } };
      } finally {
        door.close();
        client.close();
      }
    }),
});

/** From the moment in which a change is sent to the moment in which a watch over REST has heard of it. */
const watchRow: BenchRow = {
  name: 'a change to a watcher through REST, HTTP/1.1, one at a time',
  unit: 'ms',
  better: 'lower',
  goal: 1.5,
  repeats: 3,
  run: (context) =>
    withServer(context, { rest: true }, async (cluster) => {
      const client = cluster.client();
      await client.create('pods', benchPod('one'));
      let heard: (() => void) | undefined;
      const agent = new Agent({ keepAlive: true, ...secrets(cluster) });
      const watching = await new Promise<ReturnType<typeof httpsRequest>>((resolve, reject) => {
        const sent = httpsRequest(`https://${cluster.rest}${pods}?watch=true`, { agent }, (reply) => {
          resolve(sent);
          reply.on('data', () => heard?.());
          reply.on('error', () => undefined); // the end of the row
        });
        sent.on('error', reject);
        sent.end();
      });
      try {
        const { timesMs } = await load(1_000, 1, async (i) => {
          const told = new Promise<void>((resolve) => (heard = resolve));
          await client.patch('pods', 'default/one', patch(String(i)));
          await told;
        });
        const { 'p50 ms': p50 = NaN, 'p99 ms': p99 = NaN } = spread(timesMs);
        return { value: p50, extra: { 'p99 ms': p99 } };
      } finally {
        watching.destroy();
        agent.destroy();
        client.close();
      }
    }),
};

export const rows: readonly BenchRow[] = [
  ...verbs.flatMap((verb) => [verbRow('HTTP/1.1', verb), verbRow('HTTP/2', verb)]),
  listRow('HTTP/1.1', 2_000, 10),
  listRow('HTTP/2', 2_000, 10),
  listRow('HTTP/1.1', 50_000),
  watchRow,
];
