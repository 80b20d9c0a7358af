import type { Meter } from '@opentelemetry/api';
import type { Clock } from '../../../lib/base/clock.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { BusMessage, EventBus } from '../../../lib/bus/bus.ts';
import {
  allDown,
  allProgrammed,
  allStopping,
  allUp,
  isWrong,
  mostPodsTold,
  readDown,
  readProgrammed,
  readStopping,
  readUp,
  tell,
  withdrawnSubject,
} from '../../../lib/bus/traffic-facts.ts';
import { inRunsOf } from '../../../lib/base/parallel.ts';
import type { FreeLoop } from '../../../lib/controller/service.ts';
import { Collector, type World } from './collector.ts';
import type { Fallen } from './fallen.ts';

export interface RemovalOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly world: World;
  /** Hears which pods answer nobody any more, and which do again. */
  readonly fallen: Pick<Fallen, 'down' | 'up'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal: AbortSignal;
}

/** How often is looked at what nobody tells: who fell silent, whom it is time to tell. */
const lookMs = 250;

export interface Removals extends FreeLoop {
  /** What the answers hang on may have changed. */
  readonly changed: () => void;
}

/**
 * Tells agents when nobody sends to a pod any more (D1). It listens from the start, also while another process leads, so that a new
 * leader knows at once who sends traffic; only the leader answers.
 */
export function newRemovals(options: RemovalOptions): Removals {
  const { bus, cluster, world, fallen, clock, log, meter, signal } = options;
  const collector = new Collector(clock.monotonic());
  const metrics = removalMetrics(meter, collector);
  /** The leadership that answers; undefined while another process leads. */
  let leadership: AbortSignal | undefined;
  let due = false;

  const changed = (): void => {
    if (due || leadership === undefined || collector.waiting === 0) return;
    due = true;
    setImmediate(() => {
      due = false;
      if (leadership !== undefined) answer();
    });
  };

  function answer(): void {
    const byNode = new Map<string, { uid: string; waitingFor: readonly string[] }[]>();
    for (const { node, uid, waitingFor, waitedMs } of collector.answers(world, clock.monotonic())) {
      if (waitingFor.length === 0) metrics.confirmed(waitedMs / 1000);
      const pods = byNode.get(node) ?? [];
      byNode.set(node, pods);
      pods.push({ uid, waitingFor });
    }
    for (const [node, pods] of byNode)
      for (const some of inRunsOf(mostPodsTold, pods)) tell(bus, withdrawnSubject(cluster, node), { pods: some });
  }

  const misread = ({ subject }: BusMessage, wrong: string): void => {
    log.warn({ subject, wrong }, 'a fact cannot be read');
  };
  const interrupted = (): void => {
    collector.interrupted(clock.monotonic());
  };
  const subscriptions = [
    bus.subscribe(
      allProgrammed(cluster),
      (message) => {
        const fact = readProgrammed(message);
        if (isWrong(fact)) return misread(message, fact.wrong);
        collector.programmed(fact, clock.monotonic());
        changed();
      },
      interrupted,
    ),
    bus.subscribe(
      allStopping(cluster),
      (message) => {
        const fact = readStopping(message);
        if (isWrong(fact)) return misread(message, fact.wrong);
        const node = message.subject.slice(message.subject.lastIndexOf('.') + 1);
        for (const pod of fact.pods) collector.asked(node, pod, clock.monotonic());
        changed();
      },
      () => undefined, // it is said again
    ),
    bus.subscribe(
      allDown(cluster),
      (message) => {
        const fact = readDown(message);
        if (isWrong(fact)) return misread(message, fact.wrong);
        if (fact.node !== undefined) collector.lost(fact.node);
        fallen.down(fact.pods.map(({ uid }) => uid));
        changed();
      },
      () => undefined, // silence tells the same, later
    ),
    bus.subscribe(
      allUp(cluster),
      (message) => {
        const fact = readUp(message);
        if (isWrong(fact)) return misread(message, fact.wrong);
        fallen.up(fact.pods.map(({ uid }) => uid));
      },
      () => undefined, // the word of the death is outlived
    ),
  ];
  signal.addEventListener('abort', () => {
    for (const subscription of subscriptions) subscription.close();
  });

  return {
    name: 'removals',
    changed,
    async run(leading) {
      leadership = leading;
      let cancel = (): void => undefined;
      const look = (): void => {
        changed();
        cancel = clock.after(lookMs, look);
      };
      look();
      await new Promise<void>((resolve) => {
        if (leading.aborted) resolve();
        else leading.addEventListener('abort', () => resolve(), { once: true });
      });
      cancel();
      if (leadership === leading) leadership = undefined;
    },
  };
}

function removalMetrics(meter: Meter, collector: Collector): { confirmed(seconds: number): void } {
  const seconds = meter.createHistogram('troupe_endpoints_withdrawal_seconds', {
    description:
      "From an agent's question until everybody who sends traffic had the Endpoints without the pod in effect",
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });
  const gauge = (name: string, description: string, value: () => number): void =>
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      result.observe(value());
    });
  gauge('troupe_endpoints_withdrawals', 'Pods that wait to be stopped', () => collector.waiting);
  gauge('troupe_endpoints_senders', 'Who sends traffic by Endpoints and was heard lately', () => collector.senders);
  return {
    confirmed: (value) => {
      seconds.record(value);
    },
  };
}
