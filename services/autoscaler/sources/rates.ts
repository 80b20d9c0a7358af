/** A reading of a counter. */
interface Reading {
  readonly atMs: number;
  readonly total: number;
}

/** Two readings nearer than this tell no rate: what happens to fall between them is mostly chance. */
const shortestMs = 200;

/**
 * How fast counters grow, by name, as means over a window. A counter that fell was begun anew (its process was started again): what it
 * counts from then on is what counts. Bounded: a counter that was not read for `forgetWindows` windows is forgotten.
 */
export class Rates {
  readonly #windowMs: number;
  readonly #readings = new Map<string, Reading[]>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  get size(): number {
    return this.#readings.size;
  }

  /** Files a reading. `atMs` is of a clock that never jumps. */
  read(name: string, total: number, atMs: number): void {
    const known = this.#readings.get(name) ?? [];
    const last = known.at(-1);
    if (last !== undefined && total < last.total) known.length = 0;
    known.push({ atMs, total });
    // The one before the window's beginning stays: it is where the first part of the window is measured from.
    while (known.length > 2 && (known[1]?.atMs ?? 0) <= atMs - this.#windowMs) known.shift();
    if (known.length > mostReadings) known.splice(1, known.length - mostReadings);
    this.#readings.set(name, known);
  }

  /** A second; undefined until there are two readings, and where the last is older than `freshMs`. */
  rate(name: string, nowMs: number, freshMs: number = this.#windowMs * forgetWindows): number | undefined {
    const known = this.#readings.get(name) ?? [];
    const [first, last] = [known[0], known.at(-1)];
    if (first === undefined || last === undefined || nowMs - last.atMs > freshMs) return undefined;
    const ms = last.atMs - first.atMs;
    return ms < shortestMs ? undefined : ((last.total - first.total) * 1000) / ms;
  }

  /** Lets go of counters that nobody reads any more. */
  forget(nowMs: number): void {
    for (const [name, known] of this.#readings)
      if (nowMs - (known.at(-1)?.atMs ?? 0) > this.#windowMs * forgetWindows) this.#readings.delete(name);
  }
}

const forgetWindows = 4;
const mostReadings = 64;
