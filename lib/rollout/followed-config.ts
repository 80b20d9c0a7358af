import { referenceId, type ConfigReference } from '../api/config-change.ts';
import { makeKey, type Key } from '../api/keys.ts';
import type { Config } from './config-copies.ts';
import type { Following, ObjectFollower } from '../view/follow.ts';
import type { SeenConfig } from './resolve-config.ts';

const readTimeoutMs = 5_000;
/** Copies that were seen to be there. Forgetting one costs a look. */
const mostKnown = 10_000;

/** The ConfigMaps and Secrets that the templates of workloads name, followed by name for as long as one of them does. */
export class FollowedConfig {
  readonly ensured = new BoundedSet(mostKnown);
  readonly #follower: ObjectFollower;
  readonly #byWorkload = new Map<Key, Map<string, Following<Config>>>();
  #onChange: (key: Key) => void = () => undefined;

  constructor(follower: ObjectFollower) {
    this.#follower = follower;
  }

  /** `onChange`: what a workload's template names has changed since it was read. */
  wake(onChange: (key: Key) => void): void {
    this.#onChange = onChange;
  }

  /** What these are now; from then on the workload is woken by their changes, and by those of no others. Rejects while the API is away. */
  async read(key: Key, namespace: string, references: readonly ConfigReference[]): Promise<readonly SeenConfig[]> {
    const before = this.#byWorkload.get(key);
    if (references.length === 0) {
      if (before !== undefined) this.forget(key);
      return [];
    }
    const now = new Map<string, Following<Config>>();
    for (const reference of references) {
      const id = referenceId(reference);
      now.set(id, before?.get(id) ?? this.#follow(key, namespace, reference));
    }
    for (const [id, following] of before ?? []) if (!now.has(id)) following.stop();
    this.#byWorkload.set(key, now);
    return Promise.all(
      references.map(async (reference) => ({
        reference,
        live: await now.get(referenceId(reference))?.read(readTimeoutMs),
      })),
    );
  }

  /** The workload is gone, or its template names nothing. */
  forget(key: Key): void {
    for (const following of this.#byWorkload.get(key)?.values() ?? []) following.stop();
    this.#byWorkload.delete(key);
  }

  #follow(key: Key, namespace: string, { resource, name }: ConfigReference): Following<Config> {
    return this.#follower.follow(resource, makeKey(namespace, name), () => {
      this.#onChange(key);
    });
  }
}

/** Lets the oldest go for the newest. */
class BoundedSet {
  readonly #most: number;
  readonly #all = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }
  has(id: string): boolean {
    return this.#all.has(id);
  }
  add(id: string): void {
    this.#all.add(id);
    const [oldest] = this.#all;
    if (this.#all.size > this.#most && oldest !== undefined) this.#all.delete(oldest);
  }
}
