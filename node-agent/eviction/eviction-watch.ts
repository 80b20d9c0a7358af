import type { Pod } from '../../lib/api/objects.ts';
import { isTerminal } from '../../lib/api/pods.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { EndOrder } from './pod-ending.ts';
import { pressuresAfter, shortageOf, type Pressures, type Shortage } from './pressure.ts';
import { ranked, type Candidate } from './rank.ts';
import { crossed, type Rooms, type Threshold } from './thresholds.ts';
import { refusalOf, victimOrder } from './words.ts';

export interface EvictionWatchOptions {
  readonly thresholds: readonly Threshold[];
  readonly rooms: () => Promise<Rooms>;
  /** What pods take of something, and asked for. Asked only when there is a shortage. */
  readonly candidates: (kind: Shortage) => Promise<readonly Candidate[]>;
  /** Every pod of the node, as known now. */
  readonly pods: () => Iterable<Pod>;
  readonly evict: (podUid: string, order: EndOrder) => boolean;
  /** Frees disk without ending anything; resolves to whether something was freed. */
  readonly reclaim: () => Promise<boolean>;
  /** The node's conditions have changed. */
  readonly onChange: () => void;
  /** An Event about the node. */
  readonly tell: (reason: string, message: string) => void;
  /** A shortage counts as over when it has been for so long. */
  readonly holdMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface EvictionWatch {
  /** What the node is short of; undefined each where it is not. */
  readonly short: () => Readonly<Record<Shortage, string | undefined>>;
  /** Why a pod that has just come must not start; undefined when it may. */
  readonly refuse: (pod: Pod) => EndOrder | undefined;
}

/**
 * Between two looks. The kernel would tell of memory running out (pressure triggers, thresholds of a group), but by poll and eventfd, which
 * Node cannot ask for; a look costs 0.6 ms of a processor, which is 0.06 % of it.
 */
const everyMs = 1_000;
/** A victim that takes longer to end is not waited for any more. */
const patienceMs = 15_000;
/** Where nothing could be freed, nobody looks again for so long. */
const reclaimPauseMs = 30_000;

/**
 * Keeps the node from running out of memory, disk and processes: tells pressure, frees what nobody uses, and then ends one pod at a time,
 * looking again after each, so that no more go than must. Lasts until `signal` aborts.
 */
export function watchEviction(options: EvictionWatchOptions): EvictionWatch {
  const watch = new Watch(options);
  void watch.run();
  return watch;
}

class Watch implements EvictionWatch {
  readonly #options: EvictionWatchOptions;
  #pressures: Pressures = {};
  #victim: { readonly uid: string; readonly sinceMs: number } | undefined;
  #reclaimAfterMs = -Infinity;
  #saidNobody = false;

  constructor(options: EvictionWatchOptions) {
    this.#options = options;
  }

  readonly short = (): Readonly<Record<Shortage, string | undefined>> => ({
    memory: this.#pressures.memory?.message,
    disk: this.#pressures.disk?.message,
    processes: this.#pressures.processes?.message,
  });
  readonly refuse = (pod: Pod): EndOrder | undefined => refusalOf(pod, this.#pressures);

  async run(): Promise<void> {
    const { clock, signal, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'what the node has left could not be looked at; trying on');
      }
      await wait(clock, everyMs, signal).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const { thresholds, clock, holdMs } = this.#options;
    const rooms = await this.#options.rooms();
    const short = crossed(thresholds, rooms);
    this.#setPressures(pressuresAfter(this.#pressures, short, rooms, { nowMs: clock.monotonic(), holdMs }), short);
    if (short.length === 0) this.#saidNobody = false;
    if (short.length > 0 && !this.#isVictimGoing()) await this.#makeRoom(short, rooms);
  }

  #setPressures(next: Pressures, short: readonly Threshold[]): void {
    const before = Object.keys(this.#pressures).sort().join();
    const isNew = (kind: Shortage): boolean => this.#pressures[kind] === undefined;
    const begun = [...new Set(short.map(({ signal }) => shortageOf(signal)))].filter(isNew);
    this.#pressures = next;
    for (const kind of begun)
      this.#options.tell('EvictionThresholdMet', `Attempting to reclaim ${kind}: ${next[kind]?.message ?? ''}`);
    if (Object.keys(next).sort().join() !== before) this.#options.onChange();
  }

  #isVictimGoing(): boolean {
    const victim = this.#victim;
    if (victim === undefined) return false;
    const late = this.#options.clock.monotonic() - victim.sinceMs > patienceMs;
    const going = [...this.#options.pods()].some((pod) => pod.metadata.uid === victim.uid && !isTerminal(pod));
    if (going && !late) return true;
    this.#victim = undefined;
    return false;
  }

  /** Memory first: it is gone the fastest. */
  async #makeRoom(short: readonly Threshold[], rooms: Rooms): Promise<void> {
    const { clock, evict, log } = this.#options;
    const order: readonly Shortage[] = ['memory', 'processes', 'disk'];
    const threshold = short.toSorted(
      (a, b) => order.indexOf(shortageOf(a.signal)) - order.indexOf(shortageOf(b.signal)),
    )[0];
    if (threshold === undefined) return;
    const kind = shortageOf(threshold.signal);
    if (kind === 'disk' && clock.monotonic() >= this.#reclaimAfterMs) {
      if (await this.#options.reclaim()) return; // and look again
      this.#reclaimAfterMs = clock.monotonic() + reclaimPauseMs;
    }
    for (const victim of ranked(await this.#options.candidates(kind))) {
      const { uid, namespace, name } = victim.pod.metadata;
      const wish = victimOrder(threshold, rooms, victim);
      if (!evict(uid, wish)) continue; // it is ending already
      this.#victim = { uid, sinceMs: clock.monotonic() };
      log.warn({ pod: `${namespace ?? ''}/${name}`, message: wish.message }, 'ended a pod to make room');
      return;
    }
    if (!this.#saidNobody) log.warn({ signal: threshold.signal }, 'the node is short, and there is no pod to end');
    this.#saidNobody = true;
  }
}
