import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { inRunsOf } from '../../lib/base/parallel.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import {
  isWrong,
  mostPodsTold,
  readWithdrawn,
  stoppingSubject,
  tell,
  withdrawnSubject,
  type StoppingPod,
} from '../../lib/bus/traffic-facts.ts';

export interface WithdrawalsOptions {
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly node: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How it became known that nobody sends to a pod any more; or that it did not. */
export interface Confirmation {
  readonly outcome: 'confirmed' | 'no bus' | 'late';
  /** With `late`: who may still send, as far as was told. */
  readonly waitingFor: readonly string[];
}

const repeatMs = 200;
/**
 * Without a bus nobody can confirm, but everybody reads the same changes by gRPC, at the latest this long after the bus went.
 */
const withoutBusMs = 1_000;

interface Waiting {
  readonly pod: StoppingPod;
  readonly end: (confirmation: Confirmation) => void;
  readonly cancel: () => void;
  waitingFor: readonly string[];
  awayMs: number;
}

/**
 * Asks whether everybody has stopped sending to pods that are to be stopped: all of the node's in one message, said again until it is
 * answered. The answer comes from whoever leads the endpoints-controller; should it change in between, the next asks again.
 */
export class Withdrawals {
  readonly #options: WithdrawalsOptions;
  readonly #waiting = new Map<string, Waiting>();
  #cancelRepeat: (() => void) | undefined;
  #soon = false;

  constructor(options: WithdrawalsOptions) {
    this.#options = options;
    const { bus, cluster, node, signal } = options;
    const subscription = bus?.subscribe(
      withdrawnSubject(cluster, node),
      (message) => {
        const fact = readWithdrawn(message);
        if (isWrong(fact)) return;
        for (const { uid, waitingFor } of fact.pods) {
          const waiting = this.#waiting.get(uid);
          if (waiting === undefined) continue;
          waiting.waitingFor = waitingFor;
          if (waitingFor.length === 0) this.#end(uid, 'confirmed');
        }
      },
      () => undefined, // what was missed is asked for again
    );
    signal.addEventListener('abort', () => {
      subscription?.close();
      this.#cancelRepeat?.();
      for (const { cancel } of this.#waiting.values()) cancel();
    });
  }

  /** Resolves when nobody sends to the pod any more, or after `boundMs`. One call a pod. */
  confirmed(pod: Pod, boundMs: number): Promise<Confirmation> {
    const { uid, resourceVersion } = pod.metadata;
    return new Promise((resolve) => {
      this.#waiting.set(uid, {
        pod: { key: keyOf(pod), uid, revision: Number(resourceVersion) },
        end: resolve,
        cancel: this.#options.clock.after(boundMs, () => {
          this.#end(uid, 'late');
        }),
        waitingFor: [],
        awayMs: 0,
      });
      if (this.#soon) return;
      this.#soon = true;
      setImmediate(() => {
        this.#soon = false;
        this.#ask(0);
      });
    });
  }

  #end(uid: string, outcome: Confirmation['outcome']): void {
    const waiting = this.#waiting.get(uid);
    if (waiting === undefined) return;
    this.#waiting.delete(uid);
    waiting.cancel();
    waiting.end({ outcome, waitingFor: outcome === 'late' ? waiting.waitingFor : [] });
  }

  #ask(sinceMs: number): void {
    const { bus, cluster, node, clock, signal } = this.#options;
    this.#cancelRepeat?.();
    if (signal.aborted) return;
    const pods = [...this.#waiting.values()].map(({ pod }) => pod);
    let heard = bus !== undefined;
    for (const some of inRunsOf(mostPodsTold, pods))
      heard &&= bus !== undefined && tell(bus, stoppingSubject(cluster, node), { pods: some });
    if (!heard)
      for (const [uid, waiting] of this.#waiting) {
        waiting.awayMs += sinceMs;
        if (waiting.awayMs >= withoutBusMs) this.#end(uid, 'no bus');
      }
    if (this.#waiting.size === 0) return;
    this.#cancelRepeat = clock.after(repeatMs, () => {
      this.#ask(repeatMs);
    });
  }
}
