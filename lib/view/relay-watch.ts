import type { Clock } from '../base/clock.ts';
import type { EventBus } from '../bus/bus.ts';
import { relaySubject, type RelayStatus } from '../bus/subjects.ts';

const decoder = new TextDecoder();

/**
 * Whether the bus can be relied upon: it is connected, and the relay, which speaks every second, has said lately that it is not
 * behind. One serves a whole process.
 */
export class RelayWatch {
  readonly #bus: EventBus;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #stops: (() => void)[] = [];
  #heardMs = 0;
  #epoch: string | undefined;
  #cancelSilence: (() => void) | undefined;

  constructor(bus: EventBus, cluster: string, clock: Clock, silenceMs: number) {
    this.#bus = bus;
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    const relay = bus.subscribe(
      relaySubject(cluster),
      ({ data }) => {
        this.#spoke(JSON.parse(decoder.decode(data)) as RelayStatus);
      },
      () => {
        this.#tell();
      },
    );
    this.#stops.push(
      () => {
        relay.close();
      },
      bus.onStatus(() => {
        this.#grantTime();
        this.#tell();
      }),
    );
    this.#grantTime();
  }

  get carries(): boolean {
    return this.#bus.connected && this.#clock.monotonic() - this.#heardMs < this.#silenceMs;
  }

  /** Called when `carries` may have changed, and whenever messages may have been lost. Returns the way to stop. */
  onDoubt(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#cancelSilence?.();
    for (const stop of this.#stops) stop();
  }

  #spoke({ epoch, catchingUp }: RelayStatus): void {
    const doubtful = !this.carries || (this.#epoch ?? epoch) !== epoch;
    this.#epoch = epoch;
    if (catchingUp === true) return; // behind for long is as good as silent
    this.#grantTime();
    if (doubtful) this.#tell();
  }

  /** From now the relay may be silent for a while, a fresh connection's too. */
  #grantTime(): void {
    this.#heardMs = this.#clock.monotonic();
    this.#cancelSilence?.();
    this.#cancelSilence = this.#clock.after(this.#silenceMs, () => {
      this.#tell();
    });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
