/** Runs at most `max` pieces of work at one time; the others wait in order. */
export class Limit {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get running(): number {
    return this.#running;
  }

  readonly #idle: (() => void)[] = [];
  /** Resolves when nothing runs or waits. */
  whenIdle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#max) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift(); // takes the place over
      if (next === undefined) this.#running--;
      else next();
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}
