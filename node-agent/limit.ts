/** Runs at most `max` pieces of work at one time; the others wait in order, those that begin something new behind those that go on. */
export class Limit {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  readonly #beginning: (() => void)[] = [];
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

  async run<T>(work: () => Promise<T>, turn: 'goesOn' | 'begins' = 'goesOn'): Promise<T> {
    const queue = turn === 'begins' ? this.#beginning : this.#waiting;
    if (this.#running >= this.#max) await new Promise<void>((resolve) => queue.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift() ?? this.#beginning.shift(); // takes the place over
      if (next === undefined) this.#running--;
      else next();
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}
