/**
 * Follows every change of a Troupe cluster with nothing but a NATS client, and misses none: not when NATS restarts, not when this
 * program is killed. Each change is one line of JSON in a file; the file is also its memory of how far it has come.
 *
 *   tsx subscriber.ts [--nats nats://127.0.0.1:4222] [--cluster troupe] [--file changes.jsonl]
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DeliverPolicy, jetstream, jetstreamManager, type Consumer, type JsMsg } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const { values: options } = parseArgs({
  options: {
    nats: { type: 'string', default: 'nats://127.0.0.1:4222' },
    cluster: { type: 'string', default: 'troupe' },
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
  /** The place of the message: when its stream was made, and its number there. */
  readonly made: string;
  readonly sequence: number;
  /** True when changes before this one were missed, or may have been: whoever keeps a copy lists again. */
  readonly relist?: true;
}

// ---- Where we are -------------------------------------------------------------------------------------

let epoch = '';
/** The last revision handled, per resource. */
const handled = new Map<string, number>();
/** The place of the last message handled. */
let place = { made: '', sequence: 0 };

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
  place = { made: line.made, sequence: line.sequence };
}

// ---- One change -----------------------------------------------------------------------------------------

function handle(message: JsMsg, made: string): void {
  const text = (name: string): string => message.headers?.get(name) ?? '';
  const revision = Number(text('ce-id'));
  const type = text('ce-type'); // troupe.v1.pods.added
  const resource = type.split('.')[2] ?? '';
  const isNewEpoch = text('troupe-epoch') !== epoch;
  const last = isNewEpoch ? undefined : handled.get(resource);

  // A stream that was made anew may tell what its predecessor told.
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
    made,
    sequence: message.seq,
    ...(relist ? { relist } : {}),
  };
  // The object itself is JSON: message.json<{ metadata: … }>(); for a deletion its last state.
  appendFileSync(options.file, `${JSON.stringify(line)}\n`);
  remember(line);
}

// ---- The connection ---------------------------------------------------------------------------------------

/**
 * Everything after the last message handled, in order. The server keeps no account of us: with one, what a killed program had been given comes
 * again after what is new.
 */
async function rest(connection: Awaited<ReturnType<typeof connect>>): Promise<{ consumer: Consumer; made: string }> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const { created: made } = await manager.streams.info(stream);
  const from = made === place.made ? place.sequence + 1 : 1;
  const consumer = await jetstream(connection).consumers.get(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
  });
  return { consumer, made };
}

async function follow(): Promise<never> {
  const connection = await connect({ servers: options.nats, reconnect: false, timeout: 2_000 });
  try {
    const { consumer, made } = await rest(connection);
    const messages = await consumer.consume({ max_messages: 200 });
    void connection.closed().then(() => {
      messages.stop();
    });
    console.error(`following ${stream} at ${options.nats}`);
    for await (const message of messages) handle(message, made);
    throw new Error('the connection was lost');
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
