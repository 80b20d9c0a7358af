import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../lib/api/codec/message.ts';
import { services } from '../../lib/api/gen/services.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Client as Api, Draft } from '../../lib/client/client.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { newGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../services/apiserver/grpc/server.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import type { Registry } from '../../services/apiserver/registry/registry.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';

type Message = Record<string, unknown>;

export const pod = (name: string, labels: Record<string, string> = {}): Draft<Pod> => ({
  metadata: { name, namespace: 'default', labels },
  spec: { containers: [{ name: 'c', image: 'busybox' }], restartPolicy: 'Never' },
});

/** The real registry, with a look at what the door asks of it. */
class Spied {
  /** Watches held now. */
  watches = 0;
  /** The options that the last write of pods came with. */
  lastOptions: object | undefined;
  readonly registry: Registry;

  constructor(inner: Registry) {
    const noteWatch = this.#watch.bind(this, inner);
    this.registry = {
      ...inner,
      watch: noteWatch,
      create: (resource, namespace, draft, options) => {
        this.lastOptions = options;
        return inner.create(resource, namespace, draft, options);
      },
      delete: (resource, key, options) => {
        this.lastOptions = options;
        return inner.delete(resource, key, options);
      },
    };
  }

  async *#watch(inner: Registry, ...parts: Parameters<Registry['watch']>): ReturnType<Registry['watch']> {
    this.watches++;
    try {
      yield* inner.watch(...parts);
    } finally {
      this.watches--;
    }
  }
}

/** The gRPC door over a registry in memory, our client to it, and a bare channel for calls as anybody makes them. */
export class DoorFixture {
  readonly store: MemoryStore;
  readonly spied: Spied;
  readonly #registry: RunningRegistry;
  /** The revision before the test wrote anything. */
  readonly start: number;
  #door: GrpcServer;
  #address = '';
  #api: Api | undefined;
  #bare: Client | undefined;

  private constructor(store: MemoryStore, registry: RunningRegistry, start: number) {
    this.store = store;
    this.#registry = registry;
    this.spied = new Spied(registry);
    this.start = start;
    this.#door = newGrpcServer(this.registry, { drainMs: 200 });
  }

  static async open(): Promise<DoorFixture> {
    const store = new MemoryStore();
    const fixture = new DoorFixture(store, await newRegistry({ store }), await store.revision());
    fixture.#address = await fixture.#door.start('127.0.0.1:0');
    fixture.#api = newClient({ address: fixture.#address, timeoutMs: 2_000 });
    fixture.#bare = new Client(fixture.#address, credentials.createInsecure());
    return fixture;
  }

  get registry(): Registry {
    return this.spied.registry;
  }
  get door(): GrpcServer {
    return this.#door;
  }
  get address(): string {
    return this.#address;
  }
  get api(): Api {
    assert.ok(this.#api);
    return this.#api;
  }
  get bare(): Client {
    assert.ok(this.#bare);
    return this.#bare;
  }
  /** The revision after so many writes of the test. */
  at(writes: number): string {
    return String(this.start + writes);
  }

  /** A new door at the same address, after the old one has been stopped. */
  async reopen(options: GrpcServerOptions = {}): Promise<void> {
    this.#door = newGrpcServer(this.registry, { drainMs: 200, ...options });
    await this.#door.start(this.#address);
  }

  /** A unary call as any other client would make it. */
  call(service: string, method: string, request: object, metadata = new Metadata()): Promise<Message> {
    const shape = shapeOf(service, method);
    return new Promise((resolve, reject) => {
      this.bare.makeUnaryRequest(
        `/${service}/${method}`,
        (message: object) => encodeMessage(shape.request, message),
        (bytes) => decodeMessage<string>(shape.reply, bytes),
        request,
        metadata,
        { deadline: Date.now() + 2_000 },
        (error, reply) => {
          if (error !== null || reply === undefined) reject(error ?? new Error('no reply'));
          else resolve(reply);
        },
      );
    });
  }

  /** A call that is answered by a stream. */
  stream(service: string, method: string, request: object) {
    const shape = shapeOf(service, method);
    return this.bare.makeServerStreamRequest(
      `/${service}/${method}`,
      (message: object) => encodeMessage(shape.request, message),
      (bytes) => decodeMessage<string>(shape.reply, bytes),
      request,
    );
  }

  /** A conversation: all questions, then all answers. */
  async converse(service: string, method: string, questions: readonly object[]): Promise<Message[]> {
    const shape = shapeOf(service, method);
    const stream = this.bare.makeBidiStreamRequest(
      `/${service}/${method}`,
      (message: object) => encodeMessage(shape.request, message),
      (bytes) => decodeMessage<string>(shape.reply, bytes),
    );
    for (const question of questions) stream.write(question);
    stream.end();
    return collect(stream);
  }

  async close(): Promise<void> {
    this.#api?.close();
    this.#bare?.close();
    await this.#door.stop();
    await this.#registry.close();
    await this.store.close();
  }
}

function shapeOf(service: string, method: string): { readonly request: string; readonly reply: string } {
  const shape = services[service]?.[method];
  assert.ok(shape !== undefined, `${service}.${method} is in the contract`);
  return shape;
}

/** All messages of a stream until its end. */
export async function collect(stream: AsyncIterable<unknown>): Promise<Message[]> {
  const found: Message[] = [];
  for await (const message of stream) found.push(message as Message);
  return found;
}

/** A TCP proxy that can go silent: connections stay open and nothing passes, like a machine that hangs. */
export async function newSilenceableProxy(target: string) {
  const sockets = new Set<Socket>();
  const [host = '', port = ''] = target.split(':');
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    silence: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
