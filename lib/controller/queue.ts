import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Key } from '../api/keys.ts';
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { KeyQueue } from './controller.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** How many keys are in work at one time. */
  readonly workers: number;
  /** Works on one key. What it throws counts as a failure. `waitedMs` is how long the key waited. */
  readonly work: (key: Key, waitedMs: number) => Promise<void>;
  readonly random?: () => number;
}

const retry = { firstMs: 5, maxMs: 30_000, jitter: 0.5 };

/**
 * Keys to work on. A key waits at most once and is never in work twice at one time; added while in work, it runs once
 * more afterwards. It is as big as the set of keys, no bigger. Stopped at first: `start` begins.
 */
export class WorkQueue implements KeyQueue {
  readonly #options: WorkQueueOptions;
  /** Waiting keys in order, with the time since when. */
  readonly #waiting = new Map<Key, number>();
  readonly #working = new Set<Key>();
  /** Keys added while in work. */
  readonly #again = new Set<Key>();
  readonly #timers = new Map<Key, { readonly dueMs: number; readonly cancel: () => void }>();
  readonly #failures = new Map<Key, number>();
  #running = false;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait, without those in work or on a timer. */
  get depth(): number {
    return this.#waiting.size;
  }
  get inWork(): number {
    return this.#working.size;
  }

  /** Has no effect while stopped. */
  add(key: Key): void {
    if (!this.#running) return;
    if (this.#working.has(key)) this.#again.add(key);
    else if (!this.#waiting.has(key)) this.#waiting.set(key, this.#options.clock.monotonic());
    this.#pump();
  }

  /** Adds the key after `ms`; of several times the earliest counts. */
  addAfter(key: Key, ms: number): void {
    if (!this.#running) return;
    if (ms <= 0) return this.add(key);
    const dueMs = this.#options.clock.monotonic() + ms;
    const set = this.#timers.get(key);
    if (set !== undefined && set.dueMs <= dueMs) return;
    set?.cancel();
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { dueMs, cancel });
  }

  /** Adds the key after a time that grows with each failure in a row. Returns how many there were. */
  failed(key: Key): number {
    const count = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, count);
    this.addAfter(key, backoffMs(count - 1, retry, this.#options.random));
    return count;
  }

  /** Forgets the failures of a key. */
  succeeded(key: Key): void {
    this.#failures.delete(key);
  }

  get failing(): number {
    return this.#failures.size;
  }

  start(): void {
    this.#running = true;
  }

  /** Forgets all that waits and resolves when nothing is in work any more. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#waiting.clear();
    this.#again.clear();
    this.#failures.clear();
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
    if (this.#working.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    while (this.#running && this.#working.size < this.#options.workers) {
      const next = this.#waiting.entries().next();
      if (next.done === true) return;
      const [key, sinceMs] = next.value;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key, sinceMs);
    }
  }

  async #work(key: Key, sinceMs: number): Promise<void> {
    try {
      await this.#options.work(key, this.#options.clock.monotonic() - sinceMs);
    } catch {
      // `work` has told of it; the queue only sees to the retry.
      if (this.#running) this.failed(key);
    }
    // A key that asks for itself again and again, and waits for nobody in between, would let nothing else of this process have a turn.
    if (this.#again.has(key)) await nextTurn();
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
    this.#pump();
    if (this.#working.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
