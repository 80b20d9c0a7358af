import { randomBytes } from 'node:crypto';
import type { Meter, Tracer } from '@opentelemetry/api';
import type { Key } from '../api/keys.ts';
import type { ApiObject } from '../api/objects.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { traceAnnotation, withSpan } from '../base/trace.ts';
import { TerminalError, type Controller, type KeyQueue } from './controller.ts';
import type { Recorder } from './events.ts';
import { WorkQueue } from './queue.ts';

/** A keyed loop as a service declares it. */
export interface KeyedLoop {
  readonly controller: Controller;
  /** All keys there are, for the start and for every re-sync. */
  readonly keys: () => Iterable<Key>;
  /** Called once: wires changes of views to keys. */
  readonly wake: (queue: KeyQueue) => void;
  /** Keys in work at one time; 4 by default. */
  readonly workers?: number;
  /** All keys are looked at about so often; 30 s by default. */
  readonly resyncMs?: number;
  /** The object of a key, for the Warning event of a failing key and for its trace. */
  readonly object?: (key: Key) => ApiObject | undefined;
}

export interface LoopOptions extends Omit<KeyedLoop, 'controller'> {
  /** Nothing runs before all of these are synced, nor while one may show a history that the store has no more. */
  readonly views: readonly LoopView[];
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly signal: AbortSignal;
  readonly recorder?: Recorder;
  /** Told of a TerminalError, after it was counted and recorded. */
  readonly onTerminal?: (key: Key, error: TerminalError) => void;
  readonly random?: () => number;
}

/** What a loop must know of a view. */
export interface LoopView {
  readonly whenSynced: Promise<void>;
  readonly current?: boolean;
  whenCurrent?(): Promise<void>;
}

/** A Warning event is recorded when a key has failed so many times in a row. */
const failuresUntilWarning = 5;

/** Runs one loop until `signal` aborts. */
export function runController(controller: Controller, options: LoopOptions): Promise<void> {
  return newLoop(controller, options).run(options.signal);
}

/** A loop that may be run again and again: each time this process becomes the leader. */
export interface Loop {
  readonly name: string;
  /** Resolves after `signal` has aborted and what was in work has ended. */
  run(signal: AbortSignal): Promise<void>;
}

export function newLoop(controller: Controller, options: Omit<LoopOptions, 'signal'>): Loop {
  const { clock, meter, tracer, recorder, keys } = options;
  const random = options.random ?? Math.random;
  const log = options.log.child({ controller: controller.name });
  const metrics = loopMetrics(meter, controller.name, () => ({ depth: queue.depth, failing: queue.failing }));
  let running: AbortSignal | undefined;

  const queue: WorkQueue = new WorkQueue({
    clock,
    workers: options.workers ?? 4,
    random,
    async work(key, waitedMs) {
      const signal = running;
      if (signal === undefined || signal.aborted) return;
      await allCurrent(options.views, signal);
      if (isAborted(signal)) return;
      metrics.waited(waitedMs);
      const startMs = clock.monotonic();
      const sync = randomBytes(4).toString('hex');
      try {
        const traceparent = options.object?.(key)?.metadata.annotations?.[traceAnnotation];
        const attributes = {
          'troupe.controller': controller.name,
          'troupe.key': key,
          'troupe.sync': sync,
          'troupe.queue_wait_ms': waitedMs,
        };
        const result = await withSpan(tracer, `${controller.name} sync`, { traceparent, attributes }, () =>
          controller.sync(key, signal),
        );
        queue.succeeded(key);
        if (result?.requeueAfterMs !== undefined) queue.addAfter(key, result.requeueAfterMs);
        metrics.worked(clock.monotonic() - startMs, result?.requeueAfterMs === undefined ? 'settled' : 'requeued');
      } catch (error) {
        if (signal.aborted) return;
        failed(key, sync, error);
        metrics.worked(clock.monotonic() - startMs, error instanceof TerminalError ? 'terminal' : 'failed');
      }
    },
  });
  options.wake(queue);

  function failed(key: Key, sync: string, error: unknown): void {
    if (error instanceof TerminalError) {
      queue.succeeded(key);
      log.error({ key, sync, error }, 'gave up until the object changes');
      warn(key, error.message);
      options.onTerminal?.(key, error);
      return;
    }
    const failures = queue.failed(key);
    log.warn({ key, sync, failures, error }, 'failed; trying again');
    if (failures === failuresUntilWarning)
      warn(key, `${failures} failures in a row, still trying: ${messageOf(error)}`);
  }

  function warn(key: Key, message: string): void {
    const object = options.object?.(key);
    if (object !== undefined) recorder?.event(object, 'Warning', 'FailedSync', message);
  }

  return {
    name: controller.name,
    async run(signal) {
      await untilAborted(Promise.all(options.views.map((view) => view.whenSynced)), signal);
      if (signal.aborted) return;
      running = signal;
      queue.start();
      let cancel = (): void => undefined;
      const addAll = (): void => {
        for (const key of keys()) queue.add(key);
        cancel = clock.after((options.resyncMs ?? 30_000) * (0.8 + 0.4 * random()), addAll);
      };
      addAll();
      await aborted(signal);
      cancel();
      await queue.stop();
      running = undefined;
    },
  };
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Resolves when the work is done or the signal aborts; rejects as the work does, unless aborted. */
export async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = (): void => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await Promise.race([work, stopped]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Resolves when every view shows the store's present history, which is at once but for rare moments. */
async function allCurrent(views: readonly LoopView[], signal: AbortSignal): Promise<void> {
  for (let late; !signal.aborted && (late = views.find((view) => view.current === false)) !== undefined;)
    await untilAborted(late.whenCurrent?.() ?? Promise.resolve(), signal);
}

interface LoopMetrics {
  waited(ms: number): void;
  worked(ms: number, outcome: 'settled' | 'requeued' | 'failed' | 'terminal'): void;
}

function loopMetrics(
  meter: Meter,
  controller: string,
  state: () => { readonly depth: number; readonly failing: number },
): LoopMetrics {
  const advice = { explicitBucketBoundaries: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60] };
  const passes = meter.createCounter('troupe_controller_passes', { description: 'Syncs of a key, by outcome' });
  const wait = meter.createHistogram('troupe_controller_queue_wait_seconds', {
    description: 'From added to begun',
    advice,
  });
  const work = meter.createHistogram('troupe_controller_work_seconds', { description: 'Time of one sync', advice });
  meter
    .createObservableGauge('troupe_controller_queue_depth', { description: 'Keys that wait' })
    .addCallback((result) => result.observe(state().depth, { controller }));
  meter
    .createObservableGauge('troupe_controller_failing_keys', { description: 'Keys that failed last time' })
    .addCallback((result) => result.observe(state().failing, { controller }));
  return {
    waited: (ms) => wait.record(ms / 1000, { controller }),
    worked: (ms, outcome) => {
      passes.add(1, { controller, outcome });
      work.record(ms / 1000, { controller });
    },
  };
}
