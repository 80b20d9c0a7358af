import { hostname } from 'node:os';
import type { Meter, Tracer } from '@opentelemetry/api';
import type { Objects, Resource } from '../api/kinds.ts';
import { backoffMs } from '../base/backoff.ts';
import { wait } from '../base/clock.ts';
import { listOf, type ConfigTable } from '../base/config.ts';
import { runService, type ServiceContext } from '../base/lifecycle.ts';
import type { Bus } from '../bus/bus.ts';
import { connectBus } from '../bus/nats-bus.ts';
import type { Client } from '../client/client.ts';
import { newClient } from '../client/grpc-client.ts';
import { StoreHistory } from '../view/history.ts';
import type { SharedViews } from '../view/shared.ts';
import { newView, type LiveView, type ViewScope } from '../view/views.ts';
import { newRecorder, type Recorder } from './events.ts';
import { newElection } from './leader.ts';
import { newLoop, untilAborted, type KeyedLoop, type Loop } from './loop.ts';

/** Options that every controller has. */
export const controllerOptions = {
  apiserver: {
    flag: '--apiserver',
    env: 'TROUPE_APISERVER',
    default: '127.0.0.1:7400',
    unit: 'host:port',
    help: 'gRPC address of the API',
  },
  nats: {
    flag: '--nats',
    env: 'TROUPE_NATS',
    default: ['nats://127.0.0.1:4222'] as readonly string[],
    unit: 'url,url',
    help: 'Bus servers; empty: work without a bus',
    parse: listOf,
  },
  cluster: {
    flag: '--cluster',
    env: 'TROUPE_CLUSTER',
    default: 'troupe',
    help: 'Name of the cluster, the first token of every subject',
  },
  leaderElect: {
    flag: '--leader-elect',
    env: 'TROUPE_LEADER_ELECT',
    default: true,
    help: 'Act only while holding the Lease kube-system/<service>',
  },
  identity: {
    flag: '--identity',
    env: 'TROUPE_IDENTITY',
    default: `${hostname()}_${process.pid}`,
    help: 'Who holds the Lease; no two processes may use the same. One that starts again under its name leads at once',
  },
  leaseDuration: {
    flag: '--lease-duration',
    env: 'TROUPE_LEASE_DURATION',
    default: 2,
    unit: 's',
    help: 'By when a standby has made good what a leader that fell silent left undone: it leads after 65 % of it; longer costs fewer writes',
    parse: wholeSeconds,
  },
  workers: {
    flag: '--workers',
    env: 'TROUPE_WORKERS',
    default: 4,
    help: 'Keys in work at one time, per loop',
  },
} as const satisfies ConfigTable;

/** What a controller's shell is made from. */
export interface ControllerParts<T extends ConfigTable = ConfigTable> extends ServiceContext<
  T & typeof controllerOptions
> {
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly client: Client;
  /** Undefined when the process was told to work without one. */
  readonly bus: Bus | undefined;
  readonly cluster: string;
  readonly recorder: Recorder;
  /** A view that every loop of this process waits for. */
  view<R extends Resource>(resource: R, scope?: ViewScope<R>): LiveView<Objects[R]>;
}

/** A loop with a shape of its own: called when this process leads and the views are synced, until `signal` aborts. */
export interface FreeLoop {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

type AnyLoop = KeyedLoop | FreeLoop;
const retry = { firstMs: 100, maxMs: 10_000 };

/** What a controller's folder exports as `setup`: from parts to one loop or several. */
export type ControllerSetup<T extends ConfigTable = ConfigTable> = (
  parts: ControllerParts<T>,
) => Promise<AnyLoop | readonly AnyLoop[]> | AnyLoop | readonly AnyLoop[];

export interface ElectionNaming<T extends ConfigTable> {
  /** The Lease in kube-system by which processes agree who acts; default: the service's name. */
  readonly lease?: (config: ServiceContext<T & typeof controllerOptions>['config']) => string;
}

/** The whole main of a controller: configuration, client, bus, and then as `startController`. */
export function runControllerService<T extends ConfigTable>(
  name: string,
  table: T,
  setup: ControllerSetup<T>,
  options: ElectionNaming<T> = {},
): void {
  runService(name, { ...table, ...controllerOptions }, async (context) => {
    const { log } = context;
    const { apiserver, nats, cluster } = context.config as unknown as CommonConfig;
    const client = newClient({ address: apiserver, userAgent: `troupe-${name}`, log });
    context.onStop('client', () => client.close());
    const bus = nats.length === 0 ? undefined : connectBus({ servers: nats, name: `troupe-${name}`, cluster, log });
    context.onStop('bus', () => bus?.close());
    await startController(name, { ...context, client, bus }, setup, options);
  });
}

export interface ControllerContext<T extends ConfigTable> extends ServiceContext<T & typeof controllerOptions> {
  readonly client: Client;
  readonly bus: Bus | undefined;
  /** Of a process with several controllers; default: views of its own. */
  readonly sharedViews?: SharedViews;
}

/** Starts views, leader election and loops on a given client and bus; they end with `context.signal`. */
export async function startController<T extends ConfigTable>(
  name: string,
  context: ControllerContext<T>,
  setup: ControllerSetup<T>,
  options: ElectionNaming<T> = {},
): Promise<void> {
  const { client, bus, log, clock, telemetry, signal } = context;
  const { cluster, workers, leaderElect, identity, leaseDuration } = context.config as unknown as CommonConfig;
  const { meter, tracer } = telemetry;
  const telling = new AbortController();
  const recorder = newRecorder({
    client,
    component: name,
    host: hostname(),
    clock,
    log,
    meter,
    signal: telling.signal,
  });
  context.onStop('events', async () => {
    await recorder.flush(1_000);
    telling.abort();
  });

  const views: LiveView<unknown>[] = [];
  const history = new StoreHistory();
  const made = await setup({
    ...context,
    meter,
    tracer,
    cluster,
    recorder,
    view: (resource, scope) => {
      const view =
        context.sharedViews?.view(resource, scope) ??
        newView(resource, { client, bus, cluster, clock, log, meter, signal, history, ...scope });
      views.push(view);
      return view;
    },
  });
  const shared = { views, clock, log, meter, tracer, recorder };
  const loops = (Array.isArray(made) ? (made as readonly AnyLoop[]) : [made as AnyLoop]).map((loop): Loop =>
    'controller' in loop
      ? newLoop(loop.controller, { workers, ...loop, ...shared })
      : { name: loop.name, run: (leading) => runFree(loop, leading) },
  );
  telemetry.ready('views', () => {
    const late = views.filter((view) => !view.synced).length;
    return late === 0 ? undefined : `${late} of ${views.length} views wait for their first snapshot`;
  });

  async function runFree(loop: FreeLoop, leading: AbortSignal): Promise<void> {
    await untilAborted(Promise.all(views.map((view) => view.whenSynced)), leading);
    for (let failures = 0; !leading.aborted; failures++) {
      try {
        await loop.run(leading);
        if (!leading.aborted) log.warn({ loop: loop.name }, 'a loop ended by itself; starting it again');
      } catch (error) {
        if (leading.aborted) return;
        log.error({ loop: loop.name, error }, 'a loop failed; starting it again');
      }
      await wait(clock, backoffMs(failures, retry), leading).catch(() => undefined);
    }
  }

  const lead = async (leading: AbortSignal): Promise<void> => {
    await Promise.all(loops.map((loop) => loop.run(leading)));
  };
  const running = leaderElect
    ? newElection({
        client,
        name: options.lease?.(context.config) ?? name,
        identity,
        durationSeconds: leaseDuration,
        clock,
        log,
        meter,
      }).run(signal, lead)
    : lead(signal);
  context.onStop('loops', () => running);
}

function wholeSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600)
    throw new Error('must be a whole number of seconds from 1 to 3600');
  return seconds;
}

interface CommonConfig {
  readonly apiserver: string;
  readonly nats: readonly string[];
  readonly cluster: string;
  readonly leaderElect: boolean;
  readonly identity: string;
  readonly leaseDuration: number;
  readonly workers: number;
}
