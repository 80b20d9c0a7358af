import type { Clock } from '../../../lib/base/clock.ts';
import { TimedSet } from '../../../lib/base/timed-set.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { isReady } from '../../../lib/api/pods.ts';

/** What the API still says so long after the word of a death is true again: nobody loses a status for so long. */
const overtakenMs = 3_000;
/** As many as may die at once; who is beyond that leaves with its status. */
const mostFallen = 20_000;

export interface FallenOptions {
  readonly clock: Clock;
  /** The pod of this uid. */
  readonly pod: (uid: string) => Pod | undefined;
  /** What is known of this pod has changed. */
  readonly onChange: (pod: Pod) => void;
}

/**
 * Pods whose nodes say that they are down while the API still has them as ready. They count as unready until the API says so itself, until their
 * node says that they are ready again, or until the word is old.
 */
export class Fallen {
  readonly #options: FallenOptions;
  readonly #uids: TimedSet;

  constructor(options: FallenOptions) {
    this.#options = options;
    this.#uids = new TimedSet({
      ...{ clock: options.clock, ms: overtakenMs, most: mostFallen },
      onOver: (uids) => {
        this.#tell(uids);
      },
    });
  }

  has({ metadata: { uid } }: Pod): boolean {
    return this.#uids.size > 0 && this.#uids.has(uid);
  }

  down(uids: readonly string[]): void {
    const ready = uids.filter((uid) => {
      const pod = this.#options.pod(uid);
      return pod !== undefined && isReady(pod);
    });
    this.#uids.add(ready);
    this.#tell(ready);
  }

  up(uids: readonly string[]): void {
    this.#tell(uids.filter((uid) => this.#uids.delete(uid)));
  }

  /** What the API says now: a pod that it has as unready, or not at all, needs nobody's word. */
  heard(before: Pod | undefined, after: Pod | undefined): void {
    if (this.#uids.size > 0 && (after === undefined || !isReady(after)))
      this.#uids.delete((after ?? before)?.metadata.uid ?? '');
  }

  close(): void {
    this.#uids.close();
  }

  #tell(uids: readonly string[]): void {
    for (const uid of uids) {
      const pod = this.#options.pod(uid);
      if (pod !== undefined) this.#options.onChange(pod);
    }
  }
}
