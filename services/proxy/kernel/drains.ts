import type { Clock } from '../../../lib/base/clock.ts';
import type { LostBackend } from '../table/diff.ts';
import { frontendKey } from '../table/table.ts';

export interface DrainsOptions {
  /** How long open connections to a backend that left may go on. */
  readonly drainMs: number;
  readonly clock: Clock;
  /** At most so many backends wait; more, and those that left first have had their time. */
  readonly most: number;
  /** Their time is over. */
  readonly end: (over: readonly LostBackend[]) => void;
}

interface Draining {
  readonly lost: LostBackend;
  readonly untilMs: number;
}

/** Backends that left, until their time is over. One timer, whatever their number. */
export class Drains {
  readonly #options: DrainsOptions;
  /** Those that left first come first. */
  readonly #waiting = new Map<string, Draining>();
  #cancel: (() => void) | undefined;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** A backend that came back and is lost again has its whole time again. */
  add(lost: readonly LostBackend[]): void {
    const { clock, drainMs, most, end } = this.#options;
    const untilMs = clock.monotonic() + drainMs;
    for (const each of lost) {
      const key = `${frontendKey(each.frontend)} ${each.backend}`;
      this.#waiting.delete(key);
      this.#waiting.set(key, { lost: each, untilMs });
    }
    const excess = this.#take(() => this.#waiting.size > most);
    if (excess.length > 0) end(excess);
    this.#schedule();
  }

  /** Drops what is pending. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#waiting.clear();
  }

  #take(isOver: (first: Draining) => boolean): LostBackend[] {
    const taken: LostBackend[] = [];
    for (const [key, first] of this.#waiting) {
      if (!isOver(first)) break;
      this.#waiting.delete(key);
      taken.push(first.lost);
    }
    return taken;
  }

  #schedule(): void {
    const { clock, end } = this.#options;
    const [first] = this.#waiting.values();
    if (this.#cancel !== undefined || first === undefined) return;
    this.#cancel = clock.after(Math.max(0, first.untilMs - clock.monotonic()), () => {
      this.#cancel = undefined;
      const nowMs = clock.monotonic();
      const over = this.#take(({ untilMs }) => untilMs <= nowMs);
      if (over.length > 0) end(over);
      this.#schedule();
    });
  }
}
