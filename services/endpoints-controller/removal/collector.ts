import type { Programmed, StoppingPod } from '../../../lib/bus/traffic-facts.ts';

/** Times in milliseconds. */
export interface CollectorTimes {
  /** Who sends traffic speaks every second: whoever listens for so long knows all of them. */
  readonly learnMs: number;
  /** Who has been silent for so long is not waited for any more. */
  readonly forgetMs: number;
  /** A pod whose agent does not repeat its question for so long is not waiting any more. */
  readonly askedMs: number;
  /** From so long a wait on, and so often, agents are told whom they wait for. */
  readonly tellMs: number;
}

export const collectorTimes: CollectorTimes = { learnMs: 1_500, forgetMs: 10_000, askedMs: 2_000, tellMs: 1_000 };

/** What the collector must know of the state. */
export interface World {
  /** The life of the chain that our own revisions belong to. */
  readonly epoch: string;
  /** The revision of the Endpoints from which on none of them has the pod; undefined while one has it, or may get it. */
  leftAt(pod: StoppingPod): number | undefined;
}

export interface Answer {
  readonly node: string;
  readonly uid: string;
  /** Empty: nobody sends to the pod any more. */
  readonly waitingFor: readonly string[];
  readonly waitedMs: number;
}

interface Asked {
  readonly node: string;
  readonly pod: StoppingPod;
  readonly sinceMs: number;
  heardMs: number;
  toldMs: number;
  left: { readonly epoch: string; readonly revision: number } | undefined;
}

/** So many pods may wait at one time; whoever comes beyond that waits for its own bound. */
const mostAsked = 50_000;
const mostNamed = 20;

/**
 * Gathers who has put what into effect, and says which pods nobody sends to any more. No clock, no bus: times come with the calls.
 *
 * A pod may be stopped once the Endpoints without it are written and everybody who sends traffic, and was heard of lately, has
 * put them into effect. Revisions count only within one life of the chain of changes: in another one they say nothing.
 */
export class Collector {
  readonly #times: CollectorTimes;
  readonly #senders = new Map<string, { readonly fact: Programmed; readonly heardMs: number }>();
  readonly #asked = new Map<string, Asked>();
  #listeningSinceMs: number;

  constructor(nowMs: number, times: CollectorTimes = collectorTimes) {
    this.#times = times;
    this.#listeningSinceMs = nowMs;
  }

  get waiting(): number {
    return this.#asked.size;
  }
  get senders(): number {
    return this.#senders.size;
  }

  /** Something may have been missed: everybody has to be heard again before the circle counts as complete. */
  interrupted(nowMs: number): void {
    this.#listeningSinceMs = nowMs;
  }

  programmed(fact: Programmed, nowMs: number): void {
    this.#senders.set(`${fact.kind}/${fact.name}`, { fact, heardMs: nowMs });
  }

  /** A whole node fell silent: nothing comes from there, and nobody there will answer. */
  lost(node: string): void {
    for (const [id, { fact }] of this.#senders) if (fact.name === node) this.#senders.delete(id);
  }

  /** An agent waits to stop a pod. It says so again until it is answered. */
  asked(node: string, pod: StoppingPod, nowMs: number): void {
    const before = this.#asked.get(pod.uid);
    if (before !== undefined) before.heardMs = nowMs;
    else if (this.#asked.size < mostAsked)
      this.#asked.set(pod.uid, { node, pod, sinceMs: nowMs, heardMs: nowMs, toldMs: nowMs, left: undefined });
  }

  /** The answers that are due now. Answered with nobody to wait for, a pod is forgotten; asked for again, it is answered again. */
  answers(world: World, nowMs: number): Answer[] {
    this.#forget(nowMs);
    const complete = nowMs - this.#listeningSinceMs >= this.#times.learnMs;
    const slowest = this.#slowest(world.epoch);
    const answers: Answer[] = [];
    for (const [uid, asked] of this.#asked) {
      const left = this.#leftAt(asked, world);
      const done = complete && left !== undefined && slowest >= left;
      if (!done && nowMs - asked.toldMs < this.#times.tellMs) continue;
      const waitingFor = done ? [] : this.#behind(world.epoch, left);
      answers.push({ node: asked.node, uid, waitingFor, waitedMs: nowMs - asked.sinceMs });
      asked.toldMs = nowMs;
      if (done) this.#asked.delete(uid);
    }
    return answers;
  }

  #leftAt(asked: Asked, world: World): number | undefined {
    if (asked.left?.epoch !== world.epoch) {
      const revision = world.leftAt(asked.pod);
      asked.left = revision === undefined ? undefined : { epoch: world.epoch, revision };
    }
    return asked.left?.revision;
  }

  /** What all have in effect. */
  #slowest(epoch: string): number {
    let slowest = Infinity;
    for (const { fact } of this.#senders.values())
      slowest = Math.min(slowest, fact.epoch === epoch ? fact.endpoints : -1);
    return slowest;
  }

  #behind(epoch: string, revision: number | undefined): readonly string[] {
    if (revision === undefined) return ['endpoints-controller'];
    const behind = [...this.#senders].filter(([, { fact }]) => fact.epoch !== epoch || fact.endpoints < revision);
    return behind.length === 0 ? ['endpoints-controller'] : behind.slice(0, mostNamed).map(([id]) => id);
  }

  #forget(nowMs: number): void {
    for (const [id, { heardMs }] of this.#senders) if (nowMs - heardMs > this.#times.forgetMs) this.#senders.delete(id);
    for (const [uid, { heardMs }] of this.#asked) if (nowMs - heardMs > this.#times.askedMs) this.#asked.delete(uid);
  }
}
