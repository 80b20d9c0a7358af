/** A history as its readers see it; one with more columns will do. */
export interface Past<Column extends string> {
  readonly length: number;
  at(row: number, name: Column): number | undefined;
  newest(name: Column): number | undefined;
  column(name: Column): number[];
}

/**
 * The last rows of some figures in a ring of fixed size: the oldest row gives way to the newest. One block of memory,
 * `rows * columns * 8` bytes, taken at once and never more.
 */
export class History<Column extends string> implements Past<Column> {
  readonly columns: readonly Column[];
  readonly rows: number;
  readonly #values: Float64Array;
  #next = 0;
  #length = 0;

  constructor(columns: readonly Column[], rows: number) {
    if (!Number.isInteger(rows) || rows < 1) throw new RangeError(`a history of ${rows} rows cannot be`);
    this.columns = columns;
    this.rows = rows;
    this.#values = new Float64Array(rows * columns.length);
  }

  /** How many rows there are now; at most `rows`. */
  get length(): number {
    return this.#length;
  }
  get byteLength(): number {
    return this.#values.byteLength;
  }

  push(row: Readonly<Record<Column, number>>): void {
    this.columns.forEach((name, column) => {
      this.#values[this.#next * this.columns.length + column] = row[name];
    });
    this.#next = (this.#next + 1) % this.rows;
    this.#length = Math.min(this.#length + 1, this.rows);
  }

  /** A value by its age: row 0 is the oldest, `length - 1` the newest. Undefined where there is no such row. */
  at(row: number, name: Column): number | undefined {
    if (row < 0 || row >= this.#length) return undefined;
    const place = (this.#next - this.#length + row + this.rows) % this.rows;
    return this.#values[place * this.columns.length + this.columns.indexOf(name)];
  }

  newest(name: Column): number | undefined {
    return this.at(this.#length - 1, name);
  }

  /** One column, oldest first. */
  column(name: Column): number[] {
    return Array.from({ length: this.#length }, (_, row) => this.at(row, name) ?? NaN);
  }

  clear(): void {
    this.#length = 0;
    this.#next = 0;
  }
}
