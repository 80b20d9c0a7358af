/**
 * Follows every change of a Troupe cluster with nothing but a NATS client, and misses none: not when NATS restarts, not when this
 * program is killed. Each change is one line of JSON in a file; the file is also its memory of how far it has come.
 *
 *   tsx subscriber.ts [--nats nats://127.0.0.1:4222] [--cluster troupe] [--name my-subscriber] [--file changes.jsonl]
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, type Consumer, type JsMsg } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const { values: options } = parseArgs({
  options: {
    nats: { type: 'string', default: 'nats://127.0.0.1:4222' },
    cluster: { type: 'string', default: 'troupe' },
    name: { type: 'string', default: 'my-subscriber' },
    file: { type: 'string', default: 'changes.jsonl' },
  },
});
const stream = `TROUPE_${options.cluster}`;

/** One line of the file. */
interface Line {
  readonly epoch: string;
  readonly revision: number;
  readonly resource: string;
  readonly type: string;
  readonly subject: string;
  /** True when changes before this one were missed, or may have been: whoever keeps a copy lists again. */
  readonly relist?: true;
}

// ---- Where we are -------------------------------------------------------------------------------------

let epoch = '';
/** The last revision handled, per resource. */
const handled = new Map<string, number>();

/** Reads the file back. The last line may be half written, if this program was killed just then. */
function recall(): void {
  if (!existsSync(options.file)) return;
  const bytes = readFileSync(options.file);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(options.file, end);
  for (const text of bytes.subarray(0, end).toString().split('\n')) {
    if (text !== '') remember(JSON.parse(text) as Line);
  }
}

function remember(line: Line): void {
  if (line.epoch !== epoch) handled.clear();
  epoch = line.epoch;
  handled.set(line.resource, line.revision);
}

// ---- One change -----------------------------------------------------------------------------------------

function handle(message: JsMsg): void {
  const text = (name: string): string => message.headers?.get(name) ?? '';
  const revision = Number(text('ce-id'));
  const type = text('ce-type'); // troupe.v1.pods.added
  const resource = type.split('.')[2] ?? '';
  const isNewEpoch = text('troupe-epoch') !== epoch;
  const last = isNewEpoch ? undefined : handled.get(resource);

  // Delivered a second time, because we were killed after writing the line and before the server knew.
  if (last !== undefined && revision <= last) return;

  // The chain: each message names the one before it on its resource. The first of a resource names where its epoch began.
  const epochStart = Number(text('troupe-epoch').split('-')[0]);
  const isWhole = Number(text('troupe-resource-previous')) <= (last ?? epochStart);
  const isFirstEver = epoch === '';
  const relist = !isWhole || (isNewEpoch && !isFirstEver);

  const line: Line = {
    epoch: text('troupe-epoch'),
    revision,
    resource,
    type,
    subject: text('ce-subject'),
    ...(relist ? { relist } : {}),
  };
  // The object itself is JSON: message.json<{ metadata: … }>(); for a deletion its last state.
  appendFileSync(options.file, `${JSON.stringify(line)}\n`);
  remember(line);
}

// ---- The connection ---------------------------------------------------------------------------------------

/** A durable consumer: the server remembers for us what we have acknowledged, for as long as the stream lives. */
async function durable(connection: Awaited<ReturnType<typeof connect>>): Promise<Consumer> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  await manager.consumers.add(stream, {
    durable_name: options.name,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    max_ack_pending: 1_000,
  });
  return jetstream(connection).consumers.get(stream, options.name);
}

async function follow(): Promise<never> {
  const connection = await connect({ servers: options.nats, name: options.name, reconnect: false, timeout: 2_000 });
  try {
    const consumer = await durable(connection);
    console.error(`following ${stream} at ${options.nats}`);
    for (;;) {
      const batch = await consumer.fetch({ max_messages: 200, expires: 2_000, idle_heartbeat: 500 });
      for await (const message of batch) {
        handle(message);
        message.ack();
      }
      if (connection.isClosed()) throw new Error('the connection was lost');
    }
  } finally {
    await connection.close();
  }
}

recall();
for (;;) {
  try {
    await follow();
  } catch (error) {
    console.error(`${(error as Error).message}; trying again`);
    await delay(200 + 300 * Math.random());
  }
}
