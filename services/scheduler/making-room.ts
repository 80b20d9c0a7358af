import type { Pod } from '../../lib/api/objects.ts';
import { DeadlineError } from './module/deadline.ts';
import { priorityOf, type Ask, type Cluster } from '../../lib/placing/cluster.ts';
import { preempt, wordsOf, type Hopeless, type Preemption, type PreemptOptions } from './preempt.ts';

/** A pod that has to wait. */
export interface Refusal {
  readonly pod: Pod;
  /** Why it fits nowhere, and what is done about it, for people. */
  readonly message: string;
  /** How room is made for it. */
  readonly preemption?: Preemption;
}

/** For so many pods of a batch room is made at most: the rest of it is decided when these are placed. */
const maxPreemptions = 20;
/** With rules of users, which may be slow, less is tried at one time. */
const careful = { maxPreemptions: 1, candidates: 4 };

/**
 * Sees, within one batch, whether room can be made for those that fit nowhere: each sees what is done for those before it. `undo` leaves
 * the cluster as it was.
 */
export class RoomMaker {
  readonly #cluster: Cluster;
  readonly #options: PreemptOptions;
  readonly #made: Preemption[] = [];
  readonly #ending: Set<string>;
  /** Rules of users take their time, and may look at anything of a pod, so that no two are alike. */
  readonly #isSlow: boolean;
  readonly #max: number;
  #tried = 0;
  readonly #hopeless = new Map<string, Hopeless>();

  constructor(cluster: Cluster, options: PreemptOptions) {
    this.#cluster = cluster;
    this.#ending = new Set(options.ending);
    this.#isSlow = options.profile.within !== undefined;
    this.#max = this.#isSlow ? careful.maxPreemptions : maxPreemptions;
    const candidates = this.#isSlow ? careful.candidates : options.candidates;
    this.#options = { ...options, ending: this.#ending, candidates };
  }

  /** `shape` is the same for pods that the same nodes would take. */
  refuse(ask: Ask, message: string, shape: string): Refusal {
    const { pod } = ask;
    const id = `${priorityOf(pod)} ${pod.spec.preemptionPolicy ?? ''} ${shape}`;
    const outcome = this.#hopeless.get(id) ?? this.#try(ask);
    if (outcome === undefined) return { pod, message };
    if (typeof outcome === 'string') {
      if (!this.#isSlow) this.#hopeless.set(id, outcome);
      return { pod, message: `${message} preemption: ${outcome}.` };
    }
    this.#made.push(outcome);
    this.#cluster.keep(ask, outcome.nodeName);
    for (const { key } of outcome.victims) this.#ending.add(key);
    return { pod, message: `${message} preemption: ${wordsOf(outcome)}.`, preemption: outcome };
  }

  #try(ask: Ask): Preemption | Hopeless | undefined {
    if (this.#tried >= this.#max)
      return this.#cluster.hasBelow(priorityOf(ask.pod)) ? 'room is made for others first' : undefined;
    try {
      const outcome = preempt(ask, this.#cluster, this.#options);
      if (typeof outcome === 'object' || (this.#isSlow && outcome !== undefined)) this.#tried += 1;
      return outcome;
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      this.#tried += 1;
      return `the rules of the scheduling module ${error.message}`;
    }
  }

  undo(): void {
    for (const { ask } of this.#made) this.#cluster.keep(ask, ask.pod.status.nominatedNodeName);
  }
}
