import { metrics, trace } from '@opentelemetry/api';
import { systemClock } from '../../lib/base/clock.ts';
import { newLog } from '../../lib/base/log.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import type { ApiObject, ObjectReference } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import { runController, type KeyedLoop } from '../../lib/controller/loop.ts';
import { newView, type LiveView, type ViewScope } from '../../lib/view/views.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { RegistryClient } from './registry-client.ts';

/** The real registry on a store in memory, with views and loops on it, and no wire: for tests of one loop at a time. */
export class ApiInProcess {
  readonly client: RegistryClient;
  readonly log = newLog('test', { level: process.env['TROUPE_TEST_LOG'] ?? 'silent' });
  readonly meter = metrics.getMeter('test');
  readonly tracer = trace.getTracer('test');
  readonly clock = systemClock;
  /** What the loops told: `Warning FailedCreate web: …`. */
  readonly told: string[] = [];
  readonly recorder: Recorder = {
    event: (about: ApiObject | ObjectReference, type, reason, message) => {
      const name = 'metadata' in about ? about.metadata.name : (about.name ?? '');
      this.told.push(`${type} ${reason} ${name}: ${message}`);
    },
    flush: () => Promise.resolve(),
  };
  readonly #registry: RunningRegistry;
  readonly #stopping = new AbortController();
  readonly #views: LiveView<unknown>[] = [];
  readonly #loops: Promise<unknown>[] = [];

  private constructor(registry: RunningRegistry) {
    this.#registry = registry;
    this.client = new RegistryClient(registry);
  }

  static async start(): Promise<ApiInProcess> {
    return new ApiInProcess(await newRegistry({ store: new MemoryStore() }));
  }

  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  view<R extends Resource>(resource: R, scope: ViewScope<R> = {}): LiveView<Objects[R]> {
    const { client, clock, log, meter, signal } = this;
    const view = newView(resource, { client, cluster: 'test', clock, log, meter, signal, ...scope });
    this.#views.push(view);
    return view;
  }

  /** Stores an object made by a builder: what the server sets is left to the server; a status is not stored. */
  async put<R extends Resource>(resource: R, object: Objects[R]): Promise<Objects[R]> {
    const { resourceVersion: _, uid: __, generation: ___, ...metadata } = object.metadata;
    return this.client.create(resource, { ...object, metadata } as Draft<Objects[R]>);
  }

  /** Runs a keyed loop until the end, or until the function it returns is called. */
  run(loop: KeyedLoop): () => Promise<void> {
    const { clock, log, meter, tracer, recorder } = this;
    const own = new AbortController();
    const signal = AbortSignal.any([own.signal, this.signal]);
    const options = { ...loop, views: this.#views, clock, log, meter, tracer, recorder, signal };
    const running = runController(loop.controller, options);
    this.#loops.push(running);
    return async () => {
      own.abort();
      await running;
    };
  }

  /** Runs a loop with a shape of its own. */
  runFree(loop: { run(signal: AbortSignal): Promise<void> }): void {
    this.#loops.push(Promise.all(this.#views.map((view) => view.whenSynced)).then(() => loop.run(this.signal)));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
    await this.#registry.close();
  }
}
