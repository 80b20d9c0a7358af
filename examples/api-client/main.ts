/**
 * Manages a workload with nothing but the .proto files of this project: run it against a cluster with
 * `npx tsx examples/api-client/main.ts --address 127.0.0.1:7400`.
 * It uses two libraries that know nothing of Troupe; the same can be done in any language that has gRPC.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';

const { values: flags } = parseArgs({
  options: {
    address: { type: 'string', default: '127.0.0.1:7400' },
    namespace: { type: 'string', default: 'default' },
    name: { type: 'string', default: 'api-client' },
    image: { type: 'string', default: 'busybox' },
    replicas: { type: 'string', default: '2' },
    ready: { type: 'boolean', default: false },
  },
});
const { namespace, name } = flags;
const replicas = Number(flags.replicas);

// ---- The contract, read at run time ------------------------------------------------------------

const protoDir = fileURLToPath(new URL('../../proto', import.meta.url));
const loadOptions = { keepCase: true, longs: Number, includeDirs: [protoDir] };
const contract = grpc.loadPackageDefinition(loadSync('troupe/v1/services.proto', loadOptions));
const health = grpc.loadPackageDefinition(loadSync('grpc/health/v1/health.proto', loadOptions));
/** Messages that come as bytes in a status: no service names them, so they are decoded by hand below. */
const details = loadSync('google/rpc/error_details.proto', loadOptions);

type Message = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- read at run time: the compiler cannot know it
type Service = grpc.Client & Record<string, (...parts: unknown[]) => grpc.ClientReadableStream<Message>>;

function connect(root: grpc.GrpcObject, service: string): Service {
  const found = service.split('.').reduce<unknown>((space, part) => (space as grpc.GrpcObject)[part], root);
  return new (found as grpc.ServiceClientConstructor)(
    flags.address,
    grpc.credentials.createInsecure(),
  ) as unknown as Service;
}

const controllers = connect(contract, 'troupe.v1.ReplicationControllers');
const pods = connect(contract, 'troupe.v1.Pods');
const healthService = connect(health, 'grpc.health.v1.Health');

/** One call, with a deadline. */
function call(service: Service, method: string, request: Message): Promise<Message> {
  return new Promise((resolve, reject) => {
    service[method]?.(request, { deadline: Date.now() + 10_000 }, (error: grpc.ServiceError | null, reply: Message) => {
      if (error === null) resolve(reply);
      else reject(error);
    });
  });
}

// ---- What it does ------------------------------------------------------------------------------

const selector = { app: name };

async function main(): Promise<void> {
  const { status } = await call(healthService, 'Check', {});
  console.log(`the server at ${flags.address} is ${status === 1 || status === 'SERVING' ? 'serving' : 'not serving'}`);

  await showAnError();

  const created = await call(controllers, 'Create', {
    object: {
      metadata: { namespace, name },
      spec: {
        replicas,
        selector,
        template: {
          metadata: { labels: selector },
          spec: { containers: [{ name: 'main', image: flags.image, command: ['sleep', '3600'] }] },
        },
      },
    },
  });
  console.log(`created ${name} at revision ${created.metadata.resourceVersion}`);

  await waitForPods(replicas);
  await scaleTo(replicas + 1);
  await waitForPods(replicas + 1);

  await call(controllers, 'Delete', { namespace, name, options: { propagationPolicy: 'Background' } });
  const { deleted } = await call(pods, 'DeleteCollection', { selection: { namespace, label_selector: `app=${name}` } });
  console.log(`deleted ${name} and ${deleted} pods`);
}

/** An object that breaks rules: the status says which, field by field. */
async function showAnError(): Promise<void> {
  try {
    await call(controllers, 'Create', {
      object: { metadata: { namespace, name: 'Not A Name' }, spec: { replicas: -1, selector: {} } },
    });
  } catch (error) {
    const { code, metadata } = error as grpc.ServiceError;
    console.log(`refused with ${grpc.status[code]}:`);
    for (const violation of violationsIn(metadata)) console.log(`  ${violation.field}: ${violation.description}`);
  }
}

/** List once, then follow the changes from that revision: nothing is missed and nothing is asked twice. */
async function waitForPods(count: number): Promise<void> {
  const selection = { namespace, label_selector: `app=${name}` };
  const known = new Map<string, Message>();
  let revision = '';
  for await (const chunk of stream(pods, 'List', { selection })) {
    for (const pod of (chunk.items ?? []) as Message[]) known.set(pod.metadata.name as string, pod);
    revision = chunk.metadata.resourceVersion as string;
  }
  const isEnough = (): boolean => [...known.values()].filter((pod) => !flags.ready || isReady(pod)).length >= count;
  if (isEnough()) return;
  const changes = stream(pods, 'Watch', { selection, from_revision: revision });
  for await (const reply of changes) {
    for (const { type, object } of (reply.changes ?? []) as Message[]) {
      console.log(`${type} ${object.metadata.name} ${object.status?.phase ?? ''}`);
      if (type === 'DELETED') known.delete(object.metadata.name as string);
      else known.set(object.metadata.name as string, object as Message);
    }
    if (isEnough()) return; // leaving the loop ends the watch
  }
}

const isReady = (pod: Message): boolean =>
  ((pod.status?.conditions ?? []) as Message[]).some((each) => each.type === 'Ready' && each.status === 'True');

/** Read, change, write: when somebody else was quicker, the server says ABORTED and we do it again. */
async function scaleTo(count: number): Promise<void> {
  for (;;) {
    const scale = await call(controllers, 'GetScale', { namespace, name });
    try {
      await call(controllers, 'UpdateScale', { object: { ...scale, spec: { replicas: count } } });
      return console.log(`scaled to ${count}`);
    } catch (error) {
      if ((error as grpc.ServiceError).code !== grpc.status.ABORTED) throw error;
    }
  }
}

function stream(service: Service, method: string, request: Message): AsyncIterable<Message> {
  const messages = service[method]?.(request);
  if (messages === undefined) throw new Error(`no method ${method}`);
  messages.on('error', () => undefined); // errors reach the loop that reads; one after it has left is its own cancellation
  return messages;
}

/** The broken rules in the details of an error: google.rpc.Status → google.rpc.BadRequest. */
function violationsIn(metadata: grpc.Metadata): Message[] {
  const [bytes] = metadata.get('grpc-status-details-bin');
  const status = loadSync('google/rpc/status.proto', loadOptions)['google.rpc.Status'] as MessageTypeDefinition<
    object,
    Message
  >;
  const badRequest = details['google.rpc.BadRequest'] as MessageTypeDefinition<object, Message>;
  const any = (status.deserialize(bytes as Buffer).details ?? []) as Message[];
  return any
    .filter((detail) => String(detail.type_url).endsWith('/google.rpc.BadRequest'))
    .flatMap((detail) => badRequest.deserialize(detail.value as Buffer).field_violations as Message[]);
}

try {
  await main();
} finally {
  for (const service of [controllers, pods, healthService]) service.close();
}
