/** One figure that the project keeps an eye on. `run` measures it once; the harness repeats and takes the median. */
export interface BenchRow {
  readonly name: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** What we want to reach, in the row's unit (docs/performance.md tells where each comes from). */
  readonly goal?: number;
  /** How often to measure; default 5. Rows that take long say fewer. */
  readonly repeats?: number;
  run(context: BenchContext): Promise<BenchFigure>;
}

export interface BenchContext {
  /** Says what is being done, for the person who waits. */
  say(text: string): void;
}

export interface BenchFigure {
  readonly value: number;
  /** Other figures of the same run, such as p50 and p99, named with their unit. */
  readonly extra?: Readonly<Record<string, number>>;
  /** The natural limit measured in the same run (the disk's fsync rate, a bare container start), in the row's unit. */
  readonly limit?: number;
}
