import { backoffMs, type BackoffOptions } from '../../lib/base/backoff.ts';
import type { Key } from '../../lib/api/keys.ts';

/**
 * The pods that want a node. A key is in one of three states:
 *
 *     add -> ready -> (take) taken -> (settle) gone
 *              ^                   -> (refuse) refused: waits until `help` says that something changed
 *              |                   -> (retry) late: waits its time only
 *              +--- both no sooner than their back-off allows
 *
 * Bounded by the number of pods without a node. Times are milliseconds of one steady clock.
 */
export class PendingQueue {
  readonly #ready = new Set<Key>();
  readonly #taken = new Set<Key>();
  readonly #waiting = new Map<Key, { readonly notBefore: number; helped: boolean }>();
  readonly #attempts = new Map<Key, number>();
  readonly #backoff: BackoffOptions;
  readonly #random: () => number;

  constructor(backoff: BackoffOptions, random: () => number = Math.random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  /** A new pod, or one whose own text changed so that it may fit now. One that is being placed stays so. */
  add(key: Key): void {
    if (this.#taken.has(key)) return;
    this.#waiting.delete(key);
    this.#ready.add(key);
  }

  /** Up to `max` ready ones, the longest waiting first. Each must be settled, refused or retried afterwards. */
  take(max: number): Key[] {
    const keys: Key[] = [];
    for (const key of this.#ready) {
      if (keys.length === max) break;
      keys.push(key);
    }
    for (const key of keys) {
      this.#ready.delete(key);
      this.#taken.add(key);
    }
    return keys;
  }

  /** It has a node, or is gone: nothing is remembered of it. */
  settle(key: Key): void {
    this.#taken.delete(key);
    this.#ready.delete(key);
    this.#waiting.delete(key);
    this.#attempts.delete(key);
  }

  /** It fits nowhere. The first time it may be looked at again as soon as something helps; then ever less often. */
  refuse(key: Key, nowMs: number): void {
    this.#wait(key, nowMs, false);
  }

  /** Placing it failed for a reason that has nothing to do with room. */
  retry(key: Key, nowMs: number): void {
    this.#wait(key, nowMs, true);
  }

  #wait(key: Key, nowMs: number, helped: boolean): void {
    if (!this.#taken.delete(key)) return;
    const attempts = this.#attempts.get(key) ?? 0;
    this.#attempts.set(key, attempts + 1);
    const delay = attempts === 0 ? 0 : backoffMs(attempts - 1, this.#backoff, this.#random);
    this.#waiting.set(key, { notBefore: nowMs + delay, helped });
  }

  /** Something changed that may make room: for anyone, or for the keys given. */
  help(keys?: readonly Key[]): void {
    const helped = keys?.map((key) => this.#waiting.get(key)) ?? this.#waiting.values();
    for (const entry of helped) if (entry !== undefined) entry.helped = true;
  }

  /** Makes ready what was helped and has waited long enough. The time at which to call again, if there is one. */
  wake(nowMs: number): number | undefined {
    let next: number | undefined;
    for (const [key, { helped, notBefore }] of this.#waiting) {
      if (!helped) continue;
      if (notBefore <= nowMs) {
        this.#waiting.delete(key);
        this.#ready.add(key);
      } else next = Math.min(next ?? Infinity, notBefore);
    }
    return next;
  }

  has(key: Key): boolean {
    return this.#taken.has(key) || this.#ready.has(key) || this.#waiting.has(key);
  }

  get sizes(): { readonly ready: number; readonly taken: number; readonly waiting: number } {
    return { ready: this.#ready.size, taken: this.#taken.size, waiting: this.#waiting.size };
  }
}
