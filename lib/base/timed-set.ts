import type { Clock } from './clock.ts';

export interface TimedSetOptions {
  readonly clock: Clock;
  /** How long a member stays after it was last added. */
  readonly ms: number;
  /** At most so many members; more are not taken. */
  readonly most: number;
  /** The time of these is over; they are members no more. */
  readonly onOver: (members: readonly string[]) => void;
}

/** Members that leave by themselves. One timer, whatever their number. */
export class TimedSet {
  readonly #options: TimedSetOptions;
  /** In the order of their ends. */
  readonly #untilMs = new Map<string, number>();
  #cancel: (() => void) | undefined;

  constructor(options: TimedSetOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#untilMs.size;
  }
  has(member: string): boolean {
    return this.#untilMs.has(member);
  }

  /** A member that is added again has its whole time again. */
  add(members: Iterable<string>): void {
    const { clock, ms, most } = this.#options;
    const untilMs = clock.monotonic() + ms;
    for (const member of members) {
      this.#untilMs.delete(member);
      if (this.#untilMs.size >= most) continue;
      this.#untilMs.set(member, untilMs);
    }
    this.#plan();
  }

  /** False when it was no member. */
  delete(member: string): boolean {
    return this.#untilMs.delete(member);
  }

  /** Forgets all members and tells nobody. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#untilMs.clear();
  }

  #plan(): void {
    const { clock, onOver } = this.#options;
    const next = this.#untilMs.values().next();
    if (this.#cancel !== undefined || next.done === true) return;
    this.#cancel = clock.after(Math.max(0, next.value - clock.monotonic()), () => {
      this.#cancel = undefined;
      const nowMs = clock.monotonic();
      const over: string[] = [];
      for (const [member, untilMs] of this.#untilMs) {
        if (untilMs > nowMs) break;
        over.push(member);
      }
      for (const member of over) this.#untilMs.delete(member);
      if (over.length > 0) onOver(over);
      this.#plan();
    });
  }
}
