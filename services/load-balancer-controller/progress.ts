import type { Key } from '../../lib/api/keys.ts';
import type { Programmed } from '../../lib/bus/traffic-facts.ts';

/** Up to which revisions everything is in effect. */
export type Position = Pick<Programmed, 'epoch' | 'services' | 'endpoints'>;

const nothing: Position = { epoch: '', services: -1, endpoints: -1 };

/**
 * Knows up to which change everything is in effect, for whoever waits for that before a pod is stopped. A key is due from the
 * moment at which a view has its change until it was brought to that; while any is due, what was so before counts.
 */
export class Progress {
  readonly #position: () => Position;
  /** Which change of the key is the last one, counted over all. */
  readonly #due = new Map<Key, number>();
  readonly #listeners: (() => void)[] = [];
  #changes = 0;
  #begun = false;
  #last: Position = nothing;

  /** `position`: how far the views are complete. */
  constructor(position: () => Position) {
    this.#position = position;
  }

  get programmed(): Position {
    if (this.#begun && this.#due.size === 0) this.#last = this.#position();
    return this.#last;
  }

  /** Calls when more has come into effect. */
  onProgrammed(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** All keys are to be looked at: before the first time nothing is known to be in effect. */
  begin(keys: Iterable<Key>): void {
    for (const key of keys) this.touch(key);
    this.#begun = true;
  }

  /** A view has a change of this key. Its position may count that change already, so it is not asked for now. */
  touch(key: Key): void {
    this.#due.set(key, ++this.#changes);
  }

  /** Runs what brings a key to its last change. When it fails, the key stays due. */
  async during<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const change = this.#due.get(key);
    const result = await work();
    if (change !== undefined && this.#due.get(key) === change) this.#due.delete(key);
    if (this.#begun && this.#due.size === 0) {
      this.#last = this.#position();
      for (const listener of this.#listeners) listener();
    }
    return result;
  }
}
