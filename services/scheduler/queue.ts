import { backoffMs, type BackoffOptions } from '../../lib/base/backoff.ts';
import type { Key } from '../../lib/api/keys.ts';

/** Several pods that end make room for one together. */
const expectMs = 50;

/**
 * The pods that want a node. A key is in one of three states:
 *
 *     add -> ready -> (take) taken -> (settle) gone
 *              ^                   -> (refuse) refused: waits until `help` says that something changed
 *              |                   -> (expect) refused, too, with less patience
 *              |                   -> (retry) late: waits its time only
 *              +--- both no sooner than their back-off allows
 *
 * Those of higher priority are taken first, and of equal ones the longest waiting. Bounded by the number of pods without a node. Times are milliseconds of one steady clock.
 */
export class PendingQueue {
  readonly #ready = new ReadyKeys();
  /** With their priorities. */
  readonly #taken = new Map<Key, number>();
  readonly #waiting = new Map<Key, { readonly notBefore: number; readonly priority: number; helped: boolean }>();
  readonly #attempts = new Map<Key, number>();
  readonly #backoff: BackoffOptions;
  readonly #random: () => number;

  constructor(backoff: BackoffOptions, random: () => number = Math.random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  /** A new pod, or one whose own text changed so that it may fit now. One that is being placed stays so. */
  add(key: Key, priority = 0): void {
    if (this.#taken.has(key)) return;
    this.#waiting.delete(key);
    this.#ready.add(key, priority);
  }

  /** Up to `max` ready ones. Each must be settled, refused or retried afterwards. */
  take(max: number): Key[] {
    const taken = this.#ready.first(max);
    for (const [key, priority] of taken) {
      this.#ready.delete(key);
      this.#taken.set(key, priority);
    }
    return taken.map(([key]) => key);
  }

  /** Takes one out of its turn, ready or waiting, however long it would still wait; false when it is taken already, or unknown. */
  takeAlso(key: Key): boolean {
    const priority = this.#waiting.get(key)?.priority ?? this.#ready.priorityOf(key);
    if (priority === undefined) return false;
    this.#waiting.delete(key);
    this.#ready.delete(key);
    this.#taken.set(key, priority);
    return true;
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

  /** Room is being made for it: looked at again soon whenever something helps, however often that is. */
  expect(key: Key, nowMs: number): void {
    this.#attempts.delete(key);
    this.#wait(key, nowMs + expectMs, false);
  }

  /** Placing it failed for a reason that has nothing to do with room. */
  retry(key: Key, nowMs: number): void {
    this.#wait(key, nowMs, true);
  }

  #wait(key: Key, nowMs: number, helped: boolean): void {
    const priority = this.#taken.get(key);
    if (priority === undefined) return;
    this.#taken.delete(key);
    const attempts = this.#attempts.get(key) ?? 0;
    this.#attempts.set(key, attempts + 1);
    const delay = attempts === 0 ? 0 : backoffMs(attempts - 1, this.#backoff, this.#random);
    this.#waiting.set(key, { notBefore: nowMs + delay, priority, helped });
  }

  /** Something changed that may make room: for anyone, or for the keys given. */
  help(keys?: Iterable<Key>): void {
    if (keys === undefined) for (const entry of this.#waiting.values()) entry.helped = true;
    else
      for (const key of keys) {
        const entry = this.#waiting.get(key);
        if (entry !== undefined) entry.helped = true;
      }
  }

  /** Makes ready what was helped and has waited long enough. The time at which to call again, if there is one. */
  wake(nowMs: number): number | undefined {
    let next: number | undefined;
    for (const [key, { helped, notBefore, priority }] of this.#waiting) {
      if (!helped) continue;
      if (notBefore <= nowMs) {
        this.#waiting.delete(key);
        this.#ready.add(key, priority);
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

/** Keys in the order of priority, and among equals in that of their coming. There are few priorities at one time. */
class ReadyKeys {
  readonly #priorities = new Map<Key, number>();
  readonly #keys = new Map<number, Set<Key>>();

  get size(): number {
    return this.#priorities.size;
  }

  has(key: Key): boolean {
    return this.#priorities.has(key);
  }

  priorityOf(key: Key): number | undefined {
    return this.#priorities.get(key);
  }

  /** One that is there keeps its place, unless its priority is another. */
  add(key: Key, priority: number): void {
    if (this.#priorities.get(key) === priority) return;
    this.delete(key);
    this.#priorities.set(key, priority);
    const keys = this.#keys.get(priority);
    if (keys === undefined) this.#keys.set(priority, new Set([key]));
    else keys.add(key);
  }

  delete(key: Key): void {
    const priority = this.#priorities.get(key);
    if (priority === undefined) return;
    this.#priorities.delete(key);
    const keys = this.#keys.get(priority);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(priority);
  }

  first(max: number): [key: Key, priority: number][] {
    const found: [Key, number][] = [];
    for (const priority of [...this.#keys.keys()].sort((a, b) => b - a)) {
      for (const key of this.#keys.get(priority) ?? []) {
        if (found.length === max) return found;
        found.push([key, priority]);
      }
    }
    return found;
  }
}
