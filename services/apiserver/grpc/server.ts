import { setMaxListeners } from 'node:events';
import type { Http2Server, ServerHttp2Session } from 'node:http2';
import { logVerbosity, Server, ServerCredentials, setLogVerbosity, type ServerOptions } from '@grpc/grpc-js';
import type { Meter, Tracer } from '@opentelemetry/api';
import { serviceOf, services } from '../../../lib/api/gen/services.ts';
import { systemClock, type Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { checkAccess } from '../identity/access.ts';
import { newIdentities, type Identities } from '../identity/identities.ts';
import type { Registry } from '../registry/registry.ts';
import { newEffects, type AskAll } from '../effects/effects.ts';
import { newUsage, type AskNode } from '../usage/usage.ts';
import { streamMethods } from '../streams/methods.ts';
import { noNodeStreams, type NodeStreams } from '../streams/node-streams.ts';
import { addService, type Admit, type CallOptions } from './calls.ts';
import { effectsService } from './effects.ts';
import { newFanOut, type FanOut } from '../door/fan-out.ts';
import { newHealth } from './health.ts';
import { newCallMetrics } from './metrics.ts';
import { objectsService } from './objects.ts';
import { addReflection } from './reflection.ts';
import { typedServices } from './typed.ts';
import { usageService } from './usage.ts';

export interface GrpcServerOptions {
  readonly meter?: Meter;
  readonly tracer?: Tracer;
  readonly clock?: Clock;
  /** How nodes are reached, for logs, exec and the like; without it these are refused with ServiceUnavailable. */
  readonly streams?: NodeStreams;
  /** A stream that takes nothing for so long is ended with Expired; default 30 s. */
  readonly stallMs?: number;
  /** Bytes of changes kept for the slowest reader of a watch; default 16 MiB. */
  readonly maxBehindBytes?: number;
  /** How long `stop` waits for calls under way; default 3 s. */
  readonly drainMs?: number;
  /** How nodes are asked what they use; without, the service `Metrics` says that they cannot be. */
  readonly askNode?: AskNode;
  /** How proxies and DNS servers are asked what they have in effect; without, the service `Effects` says that they cannot be. */
  readonly askAll?: AskAll;
  /** Who callers are; default: one of its own. Doors of one apiserver share it. */
  readonly identities?: Identities;
  /** Whether every call must carry a token; default: no, and who carries none may do everything. */
  readonly tokenRequired?: boolean;
  /** The option that says where it listens, for who must choose another place. Default: --listen. */
  readonly flag?: string;
}

export interface GrpcServer {
  readonly server: Server;
  /** Listens at `host:port` (port 0: a free one) and resolves to where it does. Rejects with a sentence when the address is taken. */
  start(address: string): Promise<string>;
  /** Ends all streams with ServiceUnavailable, waits a little for other calls and closes. A second call does nothing more. */
  stop(): Promise<void>;
  /** What the health service says; true after `start`, false after `stop`. */
  setServing(isServing: boolean): void;
}

const serverOptions: ServerOptions = {
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.enable_channelz': 0,
};
/** The default, 64 KiB a connection, lets 256 calls at once wait for each other. */
const windowBytes = 8 * 1024 * 1024;

/** The gRPC door: the services of `proto/` over a registry, with health and reflection. */
export function newGrpcServer(registry: Registry, options: GrpcServerOptions = {}): GrpcServer {
  const { clock = systemClock, stallMs = 30_000, maxBehindBytes, drainMs = 3_000, meter, tracer } = options;
  // What the library has to say comes as errors too; its own lines on stderr have no form.
  if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);
  const server = new Server(serverOptions);
  widenWindows(server);
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // every call under way listens
  const identities = options.identities ?? newIdentities({ registry, clock });
  const call: CallOptions = {
    metrics: newCallMetrics(meter, () => clock.monotonic()),
    stopping: stopping.signal,
    stallMs,
    admit: newAdmit(identities, options.tokenRequired === true),
    ...(tracer === undefined ? {} : { tracer }),
  };
  const fanOut = newFanOut(registry, maxBehindBytes === undefined ? {} : { maxBytes: maxBehindBytes });
  observe(meter, fanOut);
  const health = newHealth(Object.keys(services));
  addService(server, 'troupe.v1.Objects', objectsService(registry, fanOut), call);
  const typed = typedServices(registry, fanOut, identities);
  const intoPods = streamMethods(registry, options.streams ?? noNodeStreams);
  for (const [name, methods] of Object.entries(typed))
    addService(server, name, name === serviceOf.pods ? { ...methods, ...intoPods } : methods, call);
  addService(server, 'troupe.v1.Metrics', usageService(newUsage(registry, options.askNode)), call);
  addService(server, 'troupe.v1.Effects', effectsService(newEffects(registry, options.askAll)), call);
  addService(server, 'grpc.health.v1.Health', health.methods, call);
  if (options.tokenRequired !== true) addReflection(server); // it asks for no token

  let stopped: Promise<void> | undefined;
  return {
    server,
    async start(address) {
      const port = await bind(server, address, options.flag ?? '--listen');
      health.setServing(true);
      return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
    },
    stop() {
      health.setServing(false);
      return (stopped ??= new Promise((resolve) => {
        stopping.abort();
        const cancel = clock.after(drainMs, () => {
          server.forceShutdown();
          resolve();
        });
        server.tryShutdown(() => {
          cancel();
          resolve();
        });
      }));
    },
    setServing: (isServing) => {
      health.setServing(isServing);
    },
  };
}

/** What a token allows is checked on every door where one is given. */
const newAdmit =
  (identities: Identities, required: boolean): Admit =>
  async (token, method, request) => {
    if (token !== undefined) return checkAccess(await identities.identify(token), method, request);
    if (required) throw new ApiError('Unauthorized', 'this door wants a token: authorization: Bearer <token>');
  };

function bind(server: Server, address: string, flag: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) return resolve(port);
      const why = error.message.includes('EADDRINUSE')
        ? `the address ${address} is taken by another process; choose another with ${flag}`
        : `cannot listen at ${address}: ${error.message}`;
      reject(new Error(why, { cause: error }));
    });
  });
}

/** grpc-js has an option for the client's windows but none for the server's: its HTTP/2 servers are made in one method. */
function widenWindows(server: Server): void {
  const inner = server as unknown as { createHttp2Server?: (...parts: unknown[]) => Http2Server };
  const create = inner.createHttp2Server;
  if (typeof create !== 'function') return; // another version: slower, not wrong
  inner.createHttp2Server = function (...parts) {
    const http2 = create.apply(this, parts);
    http2.on('session', (session: ServerHttp2Session) => {
      session.settings({ initialWindowSize: windowBytes });
      session.setLocalWindowSize(windowBytes);
    });
    return http2;
  };
}

function observe(meter: Meter | undefined, fanOut: FanOut): void {
  meter
    ?.createObservableGauge('troupe_grpc_watches', {
      description: 'Watches held with the registry, shared by their readers',
    })
    .addCallback((result) => {
      result.observe(fanOut.topics);
    });
}
