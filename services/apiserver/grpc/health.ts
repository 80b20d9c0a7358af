import type { Messages } from '../../../lib/api/gen/messages.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { CallContext, Methods } from './calls.ts';

/** Numbers of grpc.health.v1.HealthCheckResponse.ServingStatus. */
const serving = 1;
const notServing = 2;
const serviceUnknown = 3;

/** The public health service: whether this server, with all its services, takes calls. */
export interface Health {
  readonly methods: Methods;
  /** Tells every watcher, when it changes something. */
  setServing(isServing: boolean): void;
}

export function newHealth(services: readonly string[]): Health {
  const known = new Set(['', ...services]);
  let status = notServing;
  const watchers = new Set<() => void>();
  return {
    methods: {
      async Check({ service }: Messages['grpc.health.v1.HealthCheckRequest']) {
        if (known.has(service)) return { status };
        throw new ApiError('NotFound', `this server has no service ${JSON.stringify(service)}`, { name: service });
      },
      async Watch(
        { service }: Messages['grpc.health.v1.HealthCheckRequest'],
        { signal }: CallContext,
        send: (message: object) => Promise<void>,
      ) {
        let told: number | undefined;
        while (!signal.aborted) {
          const now = known.has(service) ? status : serviceUnknown;
          if (now !== told) {
            told = now;
            await send({ status: now });
          } else await changed(watchers, signal);
        }
        throw signal.reason as Error;
      },
    },
    setServing(isServing) {
      status = isServing ? serving : notServing;
      for (const wake of watchers) wake();
    },
  };
}

function changed(watchers: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      watchers.delete(wake);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    watchers.add(wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
