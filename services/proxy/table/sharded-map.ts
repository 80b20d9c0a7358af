/** A power of two. With 10,000 entries a change then copies some 40 of them and this many references. */
const shardCount = 256;

/**
 * A map whose changed copies share all that did not change: an edit costs by the number of changes, not by the number of
 * entries, and leaves next to no garbage. That is what keeps one changed service among thousands from pausing the process.
 * Entries come in no particular order.
 */
export class ShardedMap<V> implements ReadonlyMap<string, V> {
  readonly #shards: readonly ReadonlyMap<string, V>[];
  readonly size: number;

  private constructor(shards: readonly ReadonlyMap<string, V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  /** The same map when it is one of these already. */
  static from<V>(entries: ReadonlyMap<string, V>): ShardedMap<V> {
    if (entries instanceof ShardedMap) return entries as ShardedMap<V>;
    const shards = Array.from({ length: shardCount }, () => new Map<string, V>());
    for (const [key, value] of entries) shards[shardOf(key)]?.set(key, value);
    return new ShardedMap(shards, entries.size);
  }

  /** A copy to change. */
  edit(): ShardedEdit<V> {
    return new ShardedEdit(this.#shards, this.size, (shards, size) => new ShardedMap(shards, size));
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true;
  }

  *[Symbol.iterator](): MapIterator<[string, V]> {
    for (const shard of this.#shards) yield* shard;
  }

  entries(): MapIterator<[string, V]> {
    return this[Symbol.iterator]();
  }

  *keys(): MapIterator<string> {
    for (const shard of this.#shards) yield* shard.keys();
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) yield* shard.values();
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}

/** A map in the making: copies a shard when it first changes there. */
export class ShardedEdit<V> {
  readonly #shards: ReadonlyMap<string, V>[];
  readonly #own = new Map<number, Map<string, V>>();
  readonly #make: (shards: readonly ReadonlyMap<string, V>[], size: number) => ShardedMap<V>;
  #size: number;

  constructor(
    shards: readonly ReadonlyMap<string, V>[],
    size: number,
    make: (shards: readonly ReadonlyMap<string, V>[], size: number) => ShardedMap<V>,
  ) {
    this.#shards = [...shards];
    this.#size = size;
    this.#make = make;
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true;
  }

  set(key: string, value: V): void {
    const shard = this.#writable(key);
    this.#size -= shard.size;
    shard.set(key, value);
    this.#size += shard.size;
  }

  delete(key: string): void {
    if (this.has(key) && this.#writable(key).delete(key)) this.#size--;
  }

  /** The changed map. Change nothing afterwards. */
  done(): ShardedMap<V> {
    return this.#make(this.#shards, this.#size);
  }

  #writable(key: string): Map<string, V> {
    const at = shardOf(key);
    const own = this.#own.get(at);
    if (own !== undefined) return own;
    const copy = new Map(this.#shards[at]);
    this.#own.set(at, copy);
    this.#shards[at] = copy;
    return copy;
  }
}

/** FNV-1a over the UTF-16 units; any even spread will do. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (shardCount - 1);
}
