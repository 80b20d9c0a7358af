import {
  Metadata,
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Server,
  type ServerDuplexStream,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Tracer } from '@opentelemetry/api';
import { decodeMessage, encodeMessage } from '../../../lib/api/codec/message.ts';
import { services, type MethodShape } from '../../../lib/api/gen/services.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { activeTraceparent, withSpan } from '../../../lib/base/trace.ts';
import { toStatus } from '../../../lib/client/codes.ts';
import type { CallMetrics } from './metrics.ts';

/** What a method knows of the call besides its request. */
export interface CallContext {
  /** Aborted when the caller has gone, its deadline has passed or the server stops. */
  readonly signal: AbortSignal;
  readonly traceparent: string | undefined;
  /** Sends warnings along with the reply. */
  warn(warnings: readonly string[]): void;
}

/** A method that answers once. */
export type Unary = (request: never, call: CallContext) => Promise<object>;
/**
 * A method that answers many times. `send` takes a message or one already encoded, and resolves when the stream takes more; it rejects
 * with Expired when the reader takes nothing for too long.
 */
export interface Streaming {
  (request: never, call: CallContext, send: Send): Promise<void>;
  /** A reader may take nothing for as long as it likes: what it does not take is not made. */
  readonly patient?: true;
}
export type Send = (message: object | Buffer) => Promise<void>;
/** A method that hears many messages and answers many times. Nothing more is read from the caller than is taken here. */
export type Conversing = (requests: AsyncIterable<object>, call: CallContext, send: Send) => Promise<void>;
export type Methods = Readonly<Record<string, Unary | Streaming | Conversing>>;

export const patient = (work: Streaming): Streaming => Object.assign(work, { patient: true as const });

export interface CallOptions {
  readonly metrics: CallMetrics;
  readonly tracer?: Tracer;
  readonly stopping: AbortSignal;
  /** After so long without taking anything a stream is ended. */
  readonly stallMs: number;
  /** Whether the caller may do that; throws Unauthorized or Forbidden. Default: everybody may. */
  readonly admit?: Admit;
}

/** Looks at the token of a call (`authorization: Bearer …`, undefined without) and at what is asked with it. */
export type Admit = (token: string | undefined, method: string, request: object) => Promise<void>;

const bearer = /^Bearer +(\S+)$/i;

/** The token of a call. Unauthorized for credentials of another kind: they would be taken for none. */
function tokenOf(metadata: Metadata): string | undefined {
  const [given] = metadata.get('authorization');
  if (given === undefined) return undefined;
  const token = bearer.exec(String(given))?.[1];
  if (token === undefined) throw new ApiError('Unauthorized', 'authorization must be "Bearer <token>"');
  return token;
}

async function admit(
  { admit: check }: CallOptions,
  method: string,
  metadata: Metadata,
  request: object,
): Promise<void> {
  if (check !== undefined) await check(tokenOf(metadata), method, request);
}

/** Adds a service of the contract, each method with its messages, errors, deadline, trace and metrics. */
export function addService(server: Server, name: string, methods: Methods, options: CallOptions): void {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [method, shape] of Object.entries(services[name] ?? {})) {
    const work = methods[method];
    if (work === undefined) throw new Error(`${name}.${method} is in the contract but nothing performs it`);
    definition[method] = {
      path: `/${name}/${method}`,
      requestStream: shape.requestStream === true,
      responseStream: shape.replyStream === true,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    };
    const full = `${name}/${method}`;
    if (shape.requestStream === true) implementation[method] = conversing(full, shape, work as Conversing, options);
    else if (shape.replyStream === true) implementation[method] = streaming(full, shape, work as Streaming, options);
    else implementation[method] = unary(full, shape, work as Unary, options);
  }
  server.addService(definition, implementation);
}

/** Bytes go through: a request is decoded where its error can be told, a reply may be encoded already. */
const raw = (bytes: Buffer): Buffer => bytes;

function unary(name: string, shape: MethodShape, work: Unary, options: CallOptions): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const done = options.metrics.started(name);
    const context = contextOf(call, options);
    perform(name, context, options, async (inner) => {
      const request = decodeMessage(shape.request, call.request);
      await admit(options, name, call.metadata, request);
      return encodeMessage(shape.reply, await work(request as never, inner));
    })
      .then(
        (reply) => {
          done(0);
          callback(null, reply);
        },
        (error: unknown) => {
          const status = toStatus(error);
          done(status.code);
          callback(status);
        },
      )
      .finally(context.release);
  };
}

function streaming(
  name: string,
  shape: MethodShape,
  work: Streaming,
  options: CallOptions,
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => {
    const stallMs = work.patient === true ? undefined : options.stallMs;
    answer(call, { name, shape, stallMs }, options, async (context, send) => {
      const request = decodeMessage(shape.request, call.request);
      await admit(options, name, call.metadata, request);
      await work(request as never, context, send);
    });
  };
}

function conversing(
  name: string,
  shape: MethodShape,
  work: Conversing,
  options: CallOptions,
): handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    /** What is asked stands in the first message. */
    async function* admitted(messages: AsyncIterable<object>): AsyncIterable<object> {
      let isFirst = true;
      for await (const message of messages) {
        if (isFirst) await admit(options, name, call.metadata, message);
        isFirst = false;
        yield message;
      }
    }
    answer(call, { name, shape, stallMs: undefined }, options, (context, send) =>
      work(admitted(messagesOf(call, shape.request, context.signal)), context, send),
    );
  };
}

interface Answering {
  readonly name: string;
  readonly shape: MethodShape;
  readonly stallMs: number | undefined;
}

function answer(
  call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  { name, shape, stallMs }: Answering,
  options: CallOptions,
  work: (context: CallContext, send: Send) => Promise<void>,
): void {
  const done = options.metrics.streamOpened(name);
  const context = contextOf(call, options);
  call.on('error', () => undefined); // a broken connection is told by `signal`
  call.sendMetadata(new Metadata()); // at once: the caller knows that it has been heard
  perform(name, context, options, async (inner) => {
    await work(inner, async (message) => {
      if (context.signal.aborted) throw gone(context.signal);
      const bytes = message instanceof Buffer ? message : encodeMessage(shape.reply, message);
      options.metrics.streamSent(name, bytes.length);
      if (!call.write(bytes)) await drained(call, context.signal, stallMs);
    });
  })
    .then(
      () => {
        done(0);
        call.end();
      },
      (error: unknown) => {
        const status = toStatus(error);
        done(status.code);
        call.emit('error', status);
      },
    )
    .finally(context.release);
}

/** What the caller sends, one by one; ends with its last message, rejects when it has gone. */
async function* messagesOf(
  call: ServerDuplexStream<Buffer, Buffer>,
  type: string,
  signal: AbortSignal,
): AsyncIterable<object> {
  // The iterator must not end the call with itself: the answer may still be on its way.
  const messages = call.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  for (;;) {
    // Not by Promise.race: what loses against a promise that lasts as long as the call would be kept as long.
    const next = await new Promise<IteratorResult<Buffer>>((resolve, reject) => {
      const onAbort = (): void => {
        reject(gone(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      messages
        .next()
        .then(resolve, reject)
        .finally(() => {
          signal.removeEventListener('abort', onAbort);
        });
    });
    if (next.done === true) return;
    yield decodeMessage(type, next.value);
  }
}

function perform<T>(
  name: string,
  context: CallContext,
  { tracer }: CallOptions,
  work: (context: CallContext) => Promise<T>,
): Promise<T> {
  if (tracer === undefined || context.traceparent === undefined) return work(context);
  return withSpan(tracer, name, { traceparent: context.traceparent }, () =>
    work({ ...context, traceparent: activeTraceparent() ?? context.traceparent }),
  );
}

interface AnyCall {
  readonly metadata: Metadata;
  sendMetadata(metadata: Metadata): void;
  on(event: 'cancelled', listener: () => void): unknown;
}

function contextOf(call: AnyCall, { stopping }: CallOptions): CallContext & { readonly release: () => void } {
  const aborting = new AbortController();
  let released = false;
  const onCancelled = (): void => {
    // Every call is "cancelled" in the end, also an answered one; an error with its stack is dear.
    if (!released) aborting.abort(new ApiError('Timeout', 'the caller has gone or its deadline has passed'));
  };
  const onStopping = (): void => {
    aborting.abort(new ApiError('ServiceUnavailable', 'the server is stopping'));
  };
  call.on('cancelled', onCancelled);
  stopping.addEventListener('abort', onStopping, { once: true });
  if (stopping.aborted) onStopping();
  const [traceparent] = call.metadata.get('traceparent');
  return {
    signal: aborting.signal,
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    warn(warnings) {
      if (warnings.length === 0) return;
      const metadata = new Metadata();
      for (const warning of warnings.slice(0, 20)) metadata.add('warning', headerText(warning));
      call.sendMetadata(metadata);
    },
    release() {
      released = true;
      stopping.removeEventListener('abort', onStopping);
    },
  };
}

/** Headers hold printable ASCII only; anything else is written as JSON escapes it. */
const headerText = (text: string): string =>
  text.slice(0, 500).replace(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

const gone = (signal: AbortSignal): Error => signal.reason as Error;

/** Resolves when the stream takes more; rejects when it is over, or with Expired when nothing moves for `stallMs`. */
function drained(
  stream: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  signal: AbortSignal,
  stallMs: number | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer =
      stallMs === undefined
        ? undefined
        : setTimeout(() => {
            finish(new ApiError('Expired', `the reader has taken nothing for ${stallMs} ms; list again`));
          }, stallMs);
    const onDrain = (): void => {
      finish();
    };
    const onAbort = (): void => {
      finish(gone(signal));
    };
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      stream.off('drain', onDrain);
      signal.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    stream.once('drain', onDrain);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
