import { keyOf, type Key } from '../api/keys.ts';
import type { ApiObject } from '../api/objects.ts';
import type { Change, Indexer } from './view.ts';

interface Entry<T> {
  readonly object: T;
  readonly revision: number;
}

/** Deletions remembered while an older word of the object may still come. */
const maxTombstones = 10_000;

/**
 * The objects of a view with their indexes, and the one rule that makes any order of news end the same:
 * of two states of an object the one with the later revision stands. No clock, no network.
 *
 * `floor` is the revision up to which everything is known: news of an object that is not here and is not later than that
 * is news of one that has gone. Deletions later than the floor are remembered (tombstones) until the floor has passed them.
 */
export class ObjectTable<T extends ApiObject> {
  readonly #entries = new Map<Key, Entry<T>>();
  readonly #indexers: (readonly [string, Indexer<T>])[] = [];
  readonly #indexes = new Map<string, Map<string, Bucket<T>>>();
  readonly #all = new Bucket<T>();
  readonly #namespaces = new Map<string, Bucket<T>>();
  readonly #tombstones = new Map<Key, number>();
  #floor = -1;
  #latest = -1;

  constructor(indexes: Readonly<Record<string, Indexer<T>>> = {}) {
    this.declare(indexes);
  }

  /** Adds indexes, and files under them what is here. Throws where the name is taken: that is a mistake in the program. */
  declare(indexes: Readonly<Record<string, Indexer<T>>>): void {
    for (const [name, indexer] of Object.entries(indexes)) {
      if (this.#indexes.has(name)) throw new Error(`index "${name}" is declared already`);
      const buckets = new Map<string, Bucket<T>>();
      for (const [key, { object }] of this.#entries)
        for (const value of indexer(object)) file(buckets, value, key, object);
      this.#indexes.set(name, buckets);
      this.#indexers.push([name, indexer]);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The latest revision that any news had, a list included. */
  get latest(): number {
    return this.#latest;
  }

  get(key: Key): T | undefined {
    return this.#entries.get(key)?.object;
  }

  /** Whether this state of an object, or a later one, is filed: putting it would change nothing. */
  knows(key: Key, revision: number): boolean {
    return (this.#entries.get(key)?.revision ?? -1) >= revision;
  }

  list(namespace?: string): readonly T[] {
    return namespace === undefined ? this.#all.values() : (this.#namespaces.get(namespace)?.values() ?? []);
  }

  /** Throws when the index was not declared: that is a mistake in the program. */
  by(index: string, value: string): readonly T[] {
    const buckets = this.#indexes.get(index);
    if (buckets === undefined)
      throw new Error(`no index "${index}" was declared; there are: ${[...this.#indexes.keys()].join(', ')}`);
    return buckets.get(value)?.values() ?? [];
  }

  /** Files a state. Undefined when something as late is known. */
  put(object: T, revision: number): Change<T> | undefined {
    const key = keyOf(object);
    this.#latest = Math.max(this.#latest, revision);
    const before = this.#entries.get(key);
    if (before === undefined ? this.#isGone(key, revision) : revision <= before.revision) return undefined;
    return this.#set(key, before?.object, { object, revision });
  }

  /** Files a deletion. Undefined when the object was not here, or a later state of it is. */
  remove(key: Key, revision: number): Change<T> | undefined {
    this.#latest = Math.max(this.#latest, revision);
    const before = this.#entries.get(key);
    if (before !== undefined && revision < before.revision) return undefined;
    this.#bury(key, revision);
    return before === undefined ? undefined : this.#set(key, before.object, undefined);
  }

  /**
   * Brings the table to a complete list taken at `revision`, except for news later than that. With `wholesale` nothing is
   * excepted: the store has gone back in time, and what was known of later revisions never happened.
   */
  replace(items: readonly T[], revision: number, wholesale = false): readonly Change<T>[] {
    const changes: Change<T>[] = [];
    if (wholesale) {
      this.#tombstones.clear();
      this.#floor = -1;
    }
    const isLater = (entry: Entry<T>): boolean => !wholesale && entry.revision > revision;
    const listed = new Set<Key>();
    for (const object of items) {
      const key = keyOf(object);
      listed.add(key);
      const before = this.#entries.get(key);
      if (before !== undefined && isLater(before)) continue;
      const entry = { object, revision: Number(object.metadata.resourceVersion) };
      if (before === undefined && (this.#tombstones.get(key) ?? -1) > revision) continue;
      // The feed has gone on beyond the list while it was under way, and has seen this one go.
      if (before === undefined && this.#floor > revision && entry.revision <= this.#floor) continue;
      if (before?.revision !== entry.revision) changes.push(this.#set(key, before?.object, entry));
    }
    for (const [key, entry] of this.#entries) {
      if (!listed.has(key) && !isLater(entry)) changes.push(this.#set(key, entry.object, undefined));
    }
    this.#latest = wholesale ? revision : Math.max(this.#latest, revision);
    this.knownUpTo(revision);
    return changes;
  }

  /** Everything up to `revision` has been filed. */
  knownUpTo(revision: number): void {
    if (revision <= this.#floor) return;
    this.#floor = revision;
    for (const [key, deleted] of this.#tombstones) {
      if (deleted > revision) break; // roughly in order of revision; what is left over goes later or by the bound
      this.#tombstones.delete(key);
    }
  }

  #isGone(key: Key, revision: number): boolean {
    return revision <= this.#floor || revision <= (this.#tombstones.get(key) ?? -1);
  }

  #bury(key: Key, revision: number): void {
    if (revision <= this.#floor) return;
    const known = this.#tombstones.get(key) ?? -1;
    this.#tombstones.delete(key);
    this.#tombstones.set(key, Math.max(known, revision));
    if (this.#tombstones.size > maxTombstones) {
      for (const oldest of this.#tombstones.keys()) {
        this.#tombstones.delete(oldest);
        break;
      }
    }
  }

  #set(key: Key, before: T | undefined, next: Entry<T> | undefined): Change<T> {
    if (next === undefined) this.#entries.delete(key);
    else {
      this.#entries.set(key, next);
      this.#tombstones.delete(key);
    }
    const after = next?.object;
    this.#all.set(key, after);
    const namespace = (after ?? before)?.metadata.namespace;
    if (namespace !== undefined) file(this.#namespaces, namespace, key, after);
    for (const [name, indexer] of this.#indexers) {
      const buckets = this.#indexes.get(name);
      if (buckets === undefined) continue;
      const values = after === undefined ? [] : indexer(after);
      if (before !== undefined) {
        for (const value of indexer(before)) if (!values.includes(value)) file(buckets, value, key, undefined);
      }
      for (const value of values) file(buckets, value, key, after);
    }
    return { key, before, after };
  }
}

/** Objects by key, with the array of them made when it is asked for. */
class Bucket<T> {
  readonly #objects = new Map<Key, T>();
  #array: readonly T[] | undefined;

  get size(): number {
    return this.#objects.size;
  }

  set(key: Key, object: T | undefined): void {
    this.#array = undefined;
    if (object === undefined) this.#objects.delete(key);
    else this.#objects.set(key, object);
  }

  values(): readonly T[] {
    return (this.#array ??= [...this.#objects.values()]);
  }
}

function file<T>(buckets: Map<string, Bucket<T>>, value: string, key: Key, object: T | undefined): void {
  let bucket = buckets.get(value);
  if (bucket === undefined) {
    if (object === undefined) return;
    buckets.set(value, (bucket = new Bucket()));
  }
  bucket.set(key, object);
  if (bucket.size === 0) buckets.delete(value);
}
