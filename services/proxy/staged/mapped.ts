/** A map whose values are made from those of another one as they are asked for: a view that costs nothing for what nobody looks at. */
export class Mapped<V> implements ReadonlyMap<string, V> {
  readonly #source: ReadonlyMap<string, V>;
  readonly #change: (value: V) => V;

  constructor(source: ReadonlyMap<string, V>, change: (value: V) => V) {
    this.#source = source;
    this.#change = change;
  }

  get size(): number {
    return this.#source.size;
  }

  get(key: string): V | undefined {
    const value = this.#source.get(key);
    return value === undefined ? undefined : this.#change(value);
  }

  has(key: string): boolean {
    return this.#source.has(key);
  }

  *[Symbol.iterator](): MapIterator<[string, V]> {
    for (const [key, value] of this.#source) yield [key, this.#change(value)];
  }

  entries(): MapIterator<[string, V]> {
    return this[Symbol.iterator]();
  }

  keys(): MapIterator<string> {
    return this.#source.keys();
  }

  *values(): MapIterator<V> {
    for (const value of this.#source.values()) yield this.#change(value);
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}
