/**
 * Keeps the configuration of an HAProxy of your own in step with the Endpoints of a cluster, from the events on NATS: a change is in
 * the file, and HAProxy told, some milliseconds after the API took it. Nothing of Troupe is used but its .proto files.
 *
 *   tsx main.ts --listen default/web:http=0.0.0.0:8080 --file haproxy.cfg --reload 'kill -USR2 $(cat haproxy.pid)'
 *               [--nats nats://127.0.0.1:4222] [--api 127.0.0.1:7400] [--cluster troupe]
 */
import { exec } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { connect, type Msg } from '@nats-io/transport-node';
import { readListener, render, type Endpoints } from './render.ts';

const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', multiple: true, default: [] },
    file: { type: 'string', default: 'haproxy.cfg' },
    reload: { type: 'string', default: 'true' },
    nats: { type: 'string', default: 'nats://127.0.0.1:4222' },
    api: { type: 'string', default: '127.0.0.1:7400' },
    cluster: { type: 'string', default: 'troupe' },
  },
});
const listeners = options.listen.map(readListener);

// ---- What is known, and up to which revision -----------------------------------------------------------

const known = new Map<string, Endpoints>();
let epoch = '';
/** Everything up to here is in `known`; below 0: nothing is known, and a list is needed. */
let revision = -1;

/** One change. Changes before it may be missing: then nothing is known any more. */
function hear(message: Msg): void {
  const text = (name: string): string => message.headers?.get(name) ?? '';
  const at = Number(text('ce-id'));
  const isNewEpoch = epoch !== '' && text('troupe-epoch') !== epoch;
  epoch = text('troupe-epoch');
  if (isNewEpoch || Number(text('troupe-resource-previous')) > revision || text('troupe-omitted') !== '') revision = -1;
  if (revision < 0 || at <= revision) return; // a list makes up for it, or has
  if (text('ce-type').endsWith('.deleted')) known.delete(text('ce-subject'));
  else known.set(text('ce-subject'), message.json<Endpoints>());
  revision = at;
}

/** The publisher says every second what was the last change: so that the loss of the very last one is noticed too. */
function hearRelay(message: Msg): void {
  const said = message.json<{ epoch: string; positions: Record<string, number> }>();
  if ((epoch !== '' && said.epoch !== epoch) || (said.positions['endpoints'] ?? 0) > revision) revision = -1;
  epoch = said.epoch;
}

// ---- The list, for the beginning and after a loss ---------------------------------------------------------

const protoDir = fileURLToPath(new URL('../../proto', import.meta.url));
const contract = grpc.loadPackageDefinition(
  loadSync('troupe/v1/objects.proto', { keepCase: true, longs: Number, includeDirs: [protoDir] }),
);
const troupe = contract['troupe'] as { v1: { Objects: grpc.ServiceClientConstructor } };
const objects = new troupe.v1.Objects(options.api, grpc.credentials.createInsecure()) as unknown as grpc.Client & {
  List(request: object, call: { deadline: number }): grpc.ClientReadableStream<{ items: Buffer[]; revision: string }>;
};

async function list(): Promise<void> {
  const found: Endpoints[] = [];
  let at = '';
  for await (const chunk of objects.List({ resource: 'endpoints' }, { deadline: Date.now() + 10_000 })) {
    const { items, revision: last } = chunk as { items: Buffer[]; revision: string };
    found.push(...items.map((bytes) => JSON.parse(bytes.toString()) as Endpoints));
    at = last;
  }
  known.clear();
  for (const each of found) known.set(`${each.metadata.namespace}/${each.metadata.name}`, each);
  revision = Number(at);
  console.error(`listed ${found.length} Endpoints at revision ${at}`);
}

// ---- Into the file, and into effect ------------------------------------------------------------------------

let applied = existsSync(options.file) ? readFileSync(options.file, 'utf8') : '';

async function apply(): Promise<void> {
  const text = render(listeners, known);
  if (text === applied) return;
  writeFileSync(`${options.file}.new`, text);
  renameSync(`${options.file}.new`, options.file); // whoever reads it sees all of it or none
  await promisify(exec)(options.reload, { timeout: 10_000 });
  applied = text;
}

/** Tries until it works: with the API away, or HAProxy, the last configuration stays in effect. */
async function catchUp(): Promise<void> {
  for (;;) {
    try {
      if (revision < 0) await list();
      return await apply();
    } catch (error) {
      console.error(`${(error as Error).message}; trying again`);
      await delay(300 + 200 * Math.random());
    }
  }
}

// ---- The connection -----------------------------------------------------------------------------------------

/** Messages that wait to be handled; more than can be kept are as good as lost, and a list makes up for them. */
let waiting: Msg[] = [];
let wake = (): void => undefined;
const callback = (_: Error | null, message: Msg): void => {
  if (waiting.push(message) > 10_000) {
    waiting = [];
    revision = -1;
  }
  wake();
};

// First the subscription, then the list: what happens between them waits.
const connection = await connect({ servers: options.nats, maxReconnectAttempts: -1, waitOnFirstConnect: true });
const [subject, relay] = [`${options.cluster}.v1.endpoints.>`, `${options.cluster}.relay`];
connection.subscribe(subject, { callback });
connection.subscribe(relay, { callback });
await connection.flush();
for (;;) {
  await catchUp();
  if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
  for (const message of waiting.splice(0)) {
    if (message.subject === relay) hearRelay(message);
    else hear(message);
  }
}
