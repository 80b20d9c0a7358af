/** Others get their turn after so long. */
const sliceMs = 8;

/**
 * Long work in slices, so that it never holds up the process: ask after each piece whether the slice is over, and wait for `next` when it is.
 * The clock is looked at only now and then, since pieces are small.
 */
export class Slices {
  #since = performance.now();
  #pieces = 0;

  /** `every`: of so many pieces one looks at the clock; a power of two. */
  isOver(every = 64): boolean {
    return (++this.#pieces & (every - 1)) === 0 && performance.now() - this.#since > sliceMs;
  }

  async next(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}
