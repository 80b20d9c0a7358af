import type { Clock } from '../../lib/base/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that stands still until `advance` turns it. Wall and steady time move together, until somebody sets the wall clock. */
export class FakeClock implements Clock {
  readonly #startMs: number;
  #elapsedMs = 0;
  #setMs = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  now(): number {
    return this.#startMs + this.#elapsedMs + this.#setMs;
  }

  /** Sets the wall clock forward or back, as a person or a time service does; what waits goes on waiting as long as before. */
  jump(ms: number): void {
    this.#setMs += ms;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(ms: number, run: () => void): () => void {
    // Time moves by at least a microsecond for whoever waits at all: a wait for what rounding left over would never end.
    const timer = { dueMs: this.#elapsedMs + (ms > 0 ? Math.max(0.001, ms) : 0), order: this.#order++, run };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** How many timers wait: a component that was stopped should leave none. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Runs everything due within `ms`, in order of time, and lets promises settle after each moment; timers set meanwhile count too. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await settle();
    for (let due = this.#next(untilMs); due !== undefined; due = this.#next(untilMs)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, due.dueMs);
      this.#timers.delete(due);
      due.run();
      await settle();
    }
    this.#elapsedMs = untilMs;
  }

  /** Turns the clock in steps of `stepMs` until `check` holds; fails after `limitMs` of its own time, naming `what`. */
  async advanceUntil(check: () => boolean, what: string, limitMs = 60_000, stepMs = 10): Promise<number> {
    const from = this.#elapsedMs;
    await settle();
    while (!check()) {
      if (this.#elapsedMs - from >= limitMs) throw new Error(`${what}: not so after ${limitMs} ms of fake time`);
      await this.advance(stepMs);
    }
    return this.#elapsedMs - from;
  }

  #next(untilMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs > untilMs) continue;
      if (
        first === undefined ||
        timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order)
      )
        first = timer;
    }
    return first;
  }
}

/** Lets every promise that can go on now do so: a macrotask runs only when the microtasks are through. */
export async function settle(rounds = 2): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve));
}
