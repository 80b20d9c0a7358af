import { EventEmitter } from 'node:events';
import { Client, credentials, Metadata, type ClientOptions as ChannelOptions, type ServiceError } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../api/codec/message.ts';
import type { Messages } from '../api/gen/messages.ts';
import { services } from '../api/gen/services.ts';
import { ApiError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { activeTraceparent } from '../base/trace.ts';
import type { CallOptions } from './client.ts';
import { fromStatus } from './codes.ts';

export interface ChannelsOptions {
  readonly address: string;
  readonly channels?: number;
  readonly log?: Log;
  readonly userAgent?: string;
  readonly timeoutMs?: number;
  readonly token?: () => string;
}

/** The calls of the service `Objects`: message in, message out, ApiError thrown. */
export interface Channels {
  unary<M extends UnaryMethod>(method: M, request: Calls[M]['request'], call: CallOptions): Promise<Calls[M]['reply']>;
  /** Any other unary method of the contract. */
  call(service: string, method: string, request: object, call: CallOptions): Promise<object>;
  /** The replies of a call that ends by itself, under a deadline. */
  stream(method: 'List', request: Messages['ListRequest'], call: CallOptions): AsyncIterable<Messages['ListChunk']>;
  /** The replies of a call that lasts until aborted, when it ends, or rejects with ServiceUnavailable where the connection breaks. */
  follow(
    method: 'Watch',
    request: Messages['WatchRequest'],
    signal: AbortSignal,
  ): AsyncIterable<Messages['WatchReply']>;
  /** Ends all calls under way. */
  close(): void;
}

interface Calls {
  readonly Get: { request: Messages['GetRequest']; reply: Messages['ObjectReply'] };
  readonly GetMany: { request: Messages['GetManyRequest']; reply: Messages['GetManyReply'] };
  readonly Position: { request: Messages['PositionRequest']; reply: Messages['PositionReply'] };
  readonly Write: { request: Messages['WriteRequest']; reply: Messages['WriteReply'] };
  readonly DeleteCollection: {
    request: Messages['DeleteCollectionRequest'];
    reply: Messages['DeleteCollectionReply'];
  };
}
type UnaryMethod = keyof Calls;

const service = 'troupe.v1.Objects';
const defaultTimeoutMs = 10_000;

/** A dead peer is noticed after 3 s + 2 s, also when it is only stopped; a restarted one is found again within a second. */
export const channelOptions: ChannelOptions = {
  'grpc.keepalive_time_ms': 3_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  // The default window of 64 KiB makes every long stream and every busy connection wait for acknowledgements.
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
  // Nothing below is used by us, and each costs memory, look-ups or surprises.
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** What grpc-js calls have in common that matters here. */
interface Cancellable {
  cancel(): void;
}

export function newChannels(options: ChannelsOptions): Channels {
  const { address, channels = 1, log, userAgent, token, timeoutMs: usualMs = defaultTimeoutMs } = options;
  const clients = Array.from(
    { length: Math.max(1, channels) },
    () =>
      new Client(address, credentials.createInsecure(), {
        ...channelOptions,
        'grpc.use_local_subchannel_pool': 1,
        ...(userAgent === undefined ? {} : { 'grpc.primary_user_agent': userAgent }),
      }),
  );
  const active = new Set<Cancellable>();
  let turn = 0;
  let closed = false;

  function next(): Client {
    const client = closed ? undefined : clients[turn++ % clients.length];
    if (client === undefined) throw new ApiError('ServiceUnavailable', 'this client is closed');
    return client;
  }

  /** Keeps a call cancellable by its caller and by `close` until it is over. */
  function hold(call: Cancellable, signal: AbortSignal | undefined): () => void {
    const cancel = (): void => {
      call.cancel();
    };
    active.add(call);
    // An error after the reader has gone (its own cancellation) concerns nobody.
    if (call instanceof EventEmitter) call.on('error', () => undefined);
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    return () => {
      active.delete(call);
      signal?.removeEventListener('abort', cancel);
    };
  }

  function failure(error: unknown, signal: AbortSignal | undefined): ApiError {
    if (error instanceof ApiError) return error;
    if (signal?.aborted) return new ApiError('Timeout', 'the caller gave the call up', {}, { cause: error });
    if (closed) return new ApiError('ServiceUnavailable', 'this client is closed', {}, { cause: error });
    const known = fromStatus(error as ServiceError);
    log?.trace({ address, reason: known.reason }, 'call failed');
    return known;
  }

  function ask(path: string, request: object, { timeoutMs = usualMs, signal }: CallOptions): Promise<object> {
    return new Promise((resolve, reject) => {
      const shape = shapeOf(path);
      const call = next().makeUnaryRequest(
        `/${path}`,
        (message: object) => encodeMessage(shape.request, message),
        (bytes): object => decodeMessage<string>(shape.reply, bytes),
        request,
        metadata(token),
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          release();
          if (error !== null || reply === undefined) reject(failure(error, signal));
          else resolve(reply);
        },
      );
      const release = hold(call, signal);
    });
  }

  return {
    async unary(method, request, call) {
      return (await ask(`${service}/${method}`, request, call)) as Calls[typeof method]['reply'];
    },

    call: (named, method, request, call) => ask(`${named}/${method}`, request, call),

    async *stream(method, request, { timeoutMs = usualMs, signal }) {
      const call = next().makeServerStreamRequest(
        `/${service}/${method}`,
        (message: Messages['ListRequest']) => encodeMessage('ListRequest', message),
        (bytes) => decodeMessage('ListChunk', bytes),
        request,
        metadata(token),
        { deadline: Date.now() + timeoutMs },
      );
      const release = hold(call, signal);
      try {
        yield* call as AsyncIterable<Messages['ListChunk']>;
      } catch (error) {
        throw failure(error, signal);
      } finally {
        release();
        call.cancel(); // a reader that stopped early must not leave the rest on its way
      }
    },

    async *follow(method, request, signal) {
      if (signal.aborted) return;
      const call = next().makeServerStreamRequest(
        `/${service}/${method}`,
        (message: Messages['WatchRequest']) => encodeMessage('WatchRequest', message),
        (bytes) => decodeMessage('WatchReply', bytes),
        request,
        metadata(token),
        {},
      );
      const release = hold(call, signal);
      // The server greets at once; from then on keepalive tells whether it lives.
      let silent = false;
      const greeting = setTimeout(() => {
        silent = true;
        call.cancel();
      }, usualMs);
      call.once('metadata', () => {
        clearTimeout(greeting);
      });
      try {
        yield* call as AsyncIterable<Messages['WatchReply']>;
        if (!signal.aborted) throw new ApiError('ServiceUnavailable', `the server at ${address} ended the watch`);
      } catch (error) {
        if (signal.aborted) return;
        if (silent)
          throw new ApiError('ServiceUnavailable', `the server at ${address} did not answer in ${usualMs} ms`);
        throw failure(error, undefined);
      } finally {
        clearTimeout(greeting);
        release();
        call.cancel();
      }
    },

    close() {
      closed = true;
      for (const call of active) call.cancel();
      for (const client of clients) client.close();
    },
  };
}

function shapeOf(path: string): { readonly request: string; readonly reply: string } {
  const [named = '', method = ''] = path.split('/');
  const shape = services[named]?.[method];
  if (shape === undefined) throw new Error(`${named} has no method ${method}`);
  return shape;
}

function metadata(token: (() => string) | undefined): Metadata {
  const found = new Metadata();
  if (token !== undefined) found.set('authorization', `Bearer ${token()}`);
  const traceparent = activeTraceparent();
  if (traceparent !== undefined) found.set('traceparent', traceparent);
  return found;
}
