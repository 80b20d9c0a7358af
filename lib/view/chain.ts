import { epochStart } from '../bus/change.ts';

/**
 * Whether a subscriber has heard everything, by the chain of revisions that change messages carry. Pure.
 *
 * What is known: all up to `base` (from a list or a watch), and the unbroken run of messages (`needs`, `last`], which is worth
 * something only if the base reaches to where the run starts.
 */
export class Chain {
  #epoch: string | undefined;
  #base = -1;
  #needs = -1;
  #last = -1;

  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** Nothing is missing up to `covered`, and what comes next will join on. */
  get intact(): boolean {
    return this.#base >= 0 && this.#needs <= this.#base;
  }

  /** The revision up to which everything is known; -1 before the first list. */
  get covered(): number {
    return this.intact ? Math.max(this.#base, this.#last) : this.#base;
  }

  /** All up to `revision` is known by other means: a list, or a watch that has come so far. */
  known(revision: number): void {
    this.#base = Math.max(this.#base, revision);
  }

  /** A complete list was taken at `revision`, which may lie before what was known: the store was restored. */
  listed(revision: number): void {
    if (revision < this.#base) this.#needs = this.#last = -1;
    this.#base = revision;
  }

  /**
   * Notes the epoch. True when it is another than before: what was known says nothing any more. Of the first that is heard
   * of, all up to its start must be known.
   */
  entered(epoch: string): boolean {
    if (epoch === this.#epoch) return false;
    const changed = this.#epoch !== undefined;
    this.#epoch = epoch;
    if (changed) this.#base = -1;
    this.#last = -1;
    this.#needs = epochStart(epoch);
    return changed;
  }

  /** Notes a message that says what came before it. A message heard twice changes nothing. */
  heard(previous: number, revision: number): void {
    if (previous > this.#last) this.#needs = previous;
    this.#last = Math.max(this.#last, revision);
  }
}
