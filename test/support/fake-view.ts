import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { ApiObject } from '../../lib/api/objects.ts';
import type { Change, Indexer, View } from '../../lib/view/view.ts';

/** A view that holds what the test puts into it. */
export class FakeView<T extends ApiObject> implements View<T> {
  readonly #objects = new Map<Key, T>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #indexes: Readonly<Record<string, Indexer<T>>>;
  synced = true;

  constructor(indexes: Readonly<Record<string, Indexer<T>>> = {}) {
    this.#indexes = indexes;
  }

  get size(): number {
    return this.#objects.size;
  }
  get(key: Key): T | undefined {
    return this.#objects.get(key);
  }
  list(namespace?: string): readonly T[] {
    return [...this.#objects.values()].filter(
      (each) => namespace === undefined || each.metadata.namespace === namespace,
    );
  }
  by(index: string, value: string): readonly T[] {
    return this.list().filter((each) => this.#indexes[index]?.(each).includes(value) === true);
  }
  onChange(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  wrote(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#tell({ key, before, after: object });
  }
  wroteDeletion(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    if (this.#objects.delete(key)) this.#tell({ key, before, after: undefined });
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}
