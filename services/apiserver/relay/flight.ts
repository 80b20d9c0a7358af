import type { BusMessage, EventStream } from '../../../lib/bus/bus.ts';

/** Messages on their way to the stream; more wait. */
const maxInFlight = 2_048;

/** Appends under way: each counts on the one before it, so the first failure is the failure of all after it. */
export class Flight {
  readonly #stream: EventStream;
  readonly #onFailure: (error: unknown) => void;
  #sequence: number;
  #inFlight = 0;
  #failed = false;
  #waiting: (() => void)[] = [];

  /** `sequence` is that of the last message in the stream. */
  constructor(stream: EventStream, sequence: number, onFailure: (error: unknown) => void) {
    this.#stream = stream;
    this.#sequence = sequence;
    this.#onFailure = onFailure;
  }

  /** Resolves when more may be sent, or when all has failed. */
  async room(): Promise<void> {
    while (this.#inFlight >= maxInFlight && !this.#failed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Sends without waiting. `onCaptured` is called when the stream has them. */
  send(messages: readonly BusMessage[], onCaptured: () => void): void {
    if (this.#failed || messages.length === 0) return;
    const expected = this.#sequence;
    this.#sequence += messages.length;
    this.#inFlight += messages.length;
    this.#stream.append(messages, expected).then(
      () => {
        this.#inFlight -= messages.length;
        onCaptured();
        this.#wake();
      },
      (error: unknown) => {
        const isFirst = !this.#failed;
        this.#failed = true;
        this.#wake();
        if (isFirst) this.#onFailure(error);
      },
    );
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
