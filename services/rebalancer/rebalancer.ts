import type { Counter, Meter } from '@opentelemetry/api';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { hasReason, isApiError, messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { isGone } from '../../lib/api/ending.ts';
import { keyOf, makeKey } from '../../lib/api/keys.ts';
import { leavingAnnotation } from '../../lib/api/leaving.ts';
import type {
  Deployment,
  Namespace,
  Node,
  Pod,
  PodDisruptionBudget,
  ReplicaSet,
  ReplicationController,
  Service,
} from '../../lib/api/objects.ts';
import { controllerOf, isActive, isTerminal } from '../../lib/api/pods.ts';
import { movingSinceAnnotation } from '../../lib/api/rebalancing.ts';
import { markLastsMs } from '../../lib/api/replacing.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import { Cluster } from '../../lib/placing/cluster.ts';
import type { View } from '../../lib/view/view.ts';
import { Wake } from '../../lib/view/wake.ts';
import { chooseMove, evens, type Move, type Steady } from './choose-move.ts';
import { bond, isWilling, unrest, type Owner } from './consent.ts';
import { cheapestFirst } from './cost.ts';
import { nextStep } from './proceed.ts';

export interface Views {
  readonly nodes: View<Node>;
  readonly pods: View<Pod>;
  readonly services: View<Service>;
  readonly namespaces: View<Namespace>;
  readonly budgets: View<PodDisruptionBudget>;
  readonly rcs: View<ReplicationController>;
  readonly sets: View<ReplicaSet>;
  readonly deployments: View<Deployment>;
}
export interface Parts extends Views {
  readonly client: Pick<Client, 'patch' | 'evict'>;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly limits: Limits;
}
export interface Limits {
  /** Controllers that say nothing have their pods moved, too. */
  readonly all: boolean;
  readonly movesPerMinute: number;
  readonly deadlineMs: number;
  readonly restMs: number;
}

export const podIndexes = {
  controller: (pod: Pod): readonly string[] => {
    const uid = controllerOf(pod)?.uid;
    return uid === undefined ? [] : [uid];
  },
  moving: (pod: Pod): readonly string[] =>
    pod.metadata.annotations?.[movingSinceAnnotation] === undefined || isTerminal(pod) ? [] : ['yes'],
};

/** However much changes, it looks no more often. */
const betweenLooksMs = 250;
/** While a pod moves, and at most between two looks otherwise: budgets, deadlines and rests tell nobody when they are over. */
const lookAgainMs = { moving: 1_000, else: 30_000 };
/** After the first move that was taken back, and about twice as long after each that follows. */
const firstRestMs = 10_000;
/** Sets with a difference that are tried in one look. */
const mostTried = 50;

/**
 * Moves pods of controllers that ask for it from nodes with many of them to nodes with few, one of a controller at a time: the pod is marked as
 * leaving, its controller makes another, and when that one serves, the first is evicted. Writes two annotations of pods, evictions, Events.
 * All that it must remember stands on the pods, so that another process goes on with a move.
 */
export class Rebalancer {
  readonly name = 'rebalancer';
  readonly #parts: Parts;
  readonly #wake = new Wake();
  readonly #moves: Counter;
  /** Kept only while some controller is willing: it costs memory for every pod. */
  #picture: Cluster | undefined;
  /** Undefined: to be looked for again. */
  #willing: readonly Owner[] | undefined;
  /** By the uid of a controller: until when its pods stay where they are, by a steady clock, and after how many moves in a row that were taken back. */
  readonly #rests = new Map<string, { readonly untilMs: number; readonly times: number }>();
  /** By the uid of a pod that moves: what its budget said when it was to go. */
  readonly #refusals = new Map<string, string>();
  /** Since the last look. */
  #changed = false;
  #nextMoveMs = 0;
  #turn = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#moves = parts.meter.createCounter('troupe_rebalancer_moves', {
      description: 'Moves of pods: begun, done, or taken back',
    });
    parts.nodes.onChange(({ key, after }) => {
      if (after === undefined) this.#picture?.removeNode(key);
      else this.#picture?.setNode(after);
      this.#look();
    });
    parts.services.onChange(({ key, before, after }) => {
      if (after !== undefined) this.#picture?.setService(after);
      else this.#picture?.removeService(key, before?.metadata.namespace ?? '');
    });
    parts.namespaces.onChange(({ key, after }) => {
      this.#picture?.tallies.setNamespace(key, after === undefined ? undefined : (after.metadata.labels ?? {}));
    });
    parts.pods.onChange(({ key, after }) => {
      if (after === undefined) this.#picture?.removePod(key);
      else this.#picture?.setPod(after);
      this.#look();
    });
    parts.budgets.onChange(() => {
      this.#look();
    });
    for (const view of [parts.rcs, parts.sets, parts.deployments] as readonly View<unknown>[])
      view.onChange(() => {
        this.#willing = undefined;
        this.#changed = true;
        this.#wake.wake();
      });
  }

  /** Moves pods until aborted. Called again when this process becomes the leader again; its first move then waits its turn. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    this.#nextMoveMs = clock.monotonic() + this.#spacingMs;
    while (!signal.aborted) {
      let lookMs = lookAgainMs.moving;
      try {
        lookMs = await this.#round();
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'a move could not go on; it is tried again');
      }
      await wait(clock, betweenLooksMs, signal).catch(() => undefined);
      if (!this.#changed) await this.#wake.nextOr(clock, lookMs, signal);
      this.#changed = false;
    }
  }

  get #spacingMs(): number {
    return 60_000 / this.#parts.limits.movesPerMinute;
  }

  #look(): void {
    if (this.#picture === undefined) return; // nobody is willing
    this.#changed = true;
    this.#wake.wake();
  }

  /** One step of all moves under way, and at most one new move. How long nothing need be looked at unless something changes. */
  async #round(): Promise<number> {
    const { pods, clock, limits } = this.#parts;
    const moving = pods.by('moving', 'yes');
    const willing = (this.#willing ??= this.#findWilling());
    if (willing.length === 0 && moving.length === 0) {
      this.#picture = undefined;
      return lookAgainMs.else;
    }
    this.#picture ??= this.#paint();
    for (const uid of this.#refusals.keys())
      if (!moving.some(({ metadata }) => metadata.uid === uid)) this.#refusals.delete(uid);
    for (const pod of moving) await this.#proceed(pod, this.#picture);
    const nowMs = clock.monotonic();
    for (const [uid, { untilMs }] of this.#rests) if (untilMs + limits.restMs <= nowMs) this.#rests.delete(uid);
    const left = moving.length > 0 ? lookAgainMs.moving : lookAgainMs.else;
    if (nowMs < this.#nextMoveMs) return Math.min(left, this.#nextMoveMs - nowMs);
    const busy = new Set(moving.map((pod) => controllerOf(pod)?.uid));
    const sets = willing.flatMap((owner) => (busy.has(owner.metadata.uid) ? [] : this.#steady(owner)));
    const move = chooseMove(sets, this.#picture, { most: mostTried, turn: this.#turn++ });
    if (move === undefined) return left;
    this.#nextMoveMs = nowMs + this.#spacingMs;
    await this.#begin(move);
    return lookAgainMs.moving;
  }

  #findWilling(): readonly Owner[] {
    const { rcs, sets, limits } = this.#parts;
    return [...rcs.list(), ...sets.list()].filter(
      (owner) => owner.spec.replicas > 1 && isWilling(owner, this.#deploymentOf(owner), limits.all),
    );
  }

  #deploymentOf({ metadata, ...owner }: Owner): Deployment | undefined {
    const above = controllerOf({ metadata, ...owner });
    if (above?.kind !== 'Deployment') return undefined;
    return this.#parts.deployments.get(makeKey(metadata.namespace, above.name));
  }

  /** Undefined where it has no controller of these kinds, or another one of its name. */
  #ownerOf(pod: Pod): Owner | undefined {
    const { rcs, sets } = this.#parts;
    const { kind, name = '', uid } = controllerOf(pod) ?? {};
    const key = makeKey(pod.metadata.namespace, name);
    const found = kind === 'ReplicationController' ? rcs.get(key) : kind === 'ReplicaSet' ? sets.get(key) : undefined;
    return found?.metadata.uid === uid ? found : undefined;
  }

  #steady(owner: Owner): readonly Steady[] {
    const { pods, sets, budgets, clock } = this.#parts;
    const { uid, namespace } = owner.metadata;
    if ((this.#rests.get(uid)?.untilMs ?? 0) > clock.monotonic()) return [];
    const all = pods.by('controller', uid);
    if (unrest(owner, all, clock.now()) !== undefined) return [];
    const above = controllerOf(owner)?.uid;
    const isOther = (set: ReplicaSet): boolean => set.metadata.uid !== uid && controllerOf(set)?.uid === above;
    if (above !== undefined && sets.list(namespace).some((set) => isOther(set) && inUse(set))) return [];
    const active = all.filter(isActive);
    const guards = budgets.list(namespace);
    const movable = cheapestFirst(active.filter((pod) => bond(pod, owner, guards) === undefined));
    return [{ uid, key: `${owner.kind} ${keyOf(owner)}`, pods: active, movable }];
  }

  #paint(): Cluster {
    const { nodes, services, namespaces, pods } = this.#parts;
    const picture = new Cluster();
    for (const { metadata } of namespaces.list()) picture.tallies.setNamespace(metadata.name, metadata.labels ?? {});
    for (const service of services.list()) picture.setService(service);
    for (const node of nodes.list()) picture.setNode(node);
    for (const pod of pods.list()) picture.setPod(pod);
    return picture;
  }

  // ---- One move --------------------------------------------------------------------------------

  async #begin({ pod, from, to, here, there, set }: Move): Promise<void> {
    const { clock, recorder, log } = this.#parts;
    const nowMs = clock.now();
    const annotations = { ...until(nowMs), [movingSinceAnnotation]: new Date(nowMs).toISOString() };
    if (!(await this.#annotate(pod, annotations))) return;
    this.#moves.add(1, { result: 'begun' });
    log.info({ pod: keyOf(pod), from, to, here, there }, 'a pod moves');
    const why = `${from} has ${here} pods of ${set.key}, ${to} has ${there}`;
    recorder.event(pod, 'Normal', 'Rebalancing', `${why}: it goes as soon as its replacement serves`);
  }

  async #proceed(pod: Pod, picture: Cluster): Promise<void> {
    const { pods, limits, clock, recorder, log } = this.#parts;
    const owner = this.#ownerOf(pod);
    const isWanted = owner !== undefined && isWilling(owner, this.#deploymentOf(owner), limits.all);
    const sight = {
      pod,
      siblings: pods.by('controller', controllerOf(pod)?.uid ?? ''),
      replicas: isWanted ? owner.spec.replicas : undefined,
      refusal: this.#refusals.get(pod.metadata.uid),
      minReadySeconds: owner?.spec.minReadySeconds ?? 0,
      evens: (counts: ReadonlyMap<string, number>, to: string) => evens(picture, counts, pod.spec.nodeName ?? '', to),
    };
    const next = nextStep(sight, clock.now(), limits.deadlineMs);
    if (next.do === 'mark') await this.#annotate(pod, until(clock.now()));
    else if (next.do === 'takeBack') await this.#takeBack(pod, next.why);
    else if (next.do === 'evict' && (await this.#evict(pod))) {
      this.#moves.add(1, { result: 'done' });
      this.#rests.delete(controllerOf(pod)?.uid ?? '');
      const { name } = pod.metadata;
      const { metadata: other, spec } = next.replacement;
      log.info({ pod: keyOf(pod), from: pod.spec.nodeName, to: spec.nodeName }, 'a pod has moved');
      const text = `Moved ${name} from ${pod.spec.nodeName} to ${spec.nodeName}, where ${other.name} serves`;
      if (owner !== undefined) recorder.event(owner, 'Normal', 'Rebalanced', text);
    }
  }

  /** Its controller then has one too many, and gives up the one that it misses least. */
  async #takeBack(pod: Pod, why: string): Promise<void> {
    const { clock, recorder, limits } = this.#parts;
    if (!(await this.#annotate(pod, { [leavingAnnotation]: null, [movingSinceAnnotation]: null }))) return;
    this.#moves.add(1, { result: 'taken_back' });
    const uid = controllerOf(pod)?.uid;
    if (uid !== undefined) {
      const times = (this.#rests.get(uid)?.times ?? 0) + 1;
      const restMs = backoffMs(times - 1, { firstMs: firstRestMs, maxMs: limits.restMs });
      this.#rests.set(uid, { untilMs: clock.monotonic() + restMs, times });
    }
    recorder.event(pod, 'Warning', 'RebalancingTakenBack', `It stays on ${pod.spec.nodeName}: ${why}`);
  }

  /** False when it is gone, or another by now. */
  async #annotate(pod: Pod, annotations: Readonly<Record<string, string | null>>): Promise<boolean> {
    const { pods, client } = this.#parts;
    try {
      pods.wrote(await client.patch('pods', keyOf(pod), { metadata: { uid: pod.metadata.uid, annotations } }));
      return true;
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict', 'Invalid')) return false;
      throw error;
    }
  }

  /** False when its budget does not grant it now, or it is gone. */
  async #evict(pod: Pod): Promise<boolean> {
    const { pods, client, log } = this.#parts;
    try {
      const last = await client.evict(keyOf(pod), { preconditions: { uid: pod.metadata.uid } });
      if (isGone(last)) pods.wroteDeletion(last);
      else pods.wrote(last);
      return true;
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict')) return false;
      if (!hasReason(error, 'TooManyRequests')) throw error;
      const [cause] = isApiError(error) ? (error.details.causes ?? []) : [];
      const words = cause?.message ?? messageOf(error);
      this.#refusals.set(pod.metadata.uid, words);
      log.debug({ pod: keyOf(pod), error: words }, 'a move waits for its budget');
      return false;
    }
  }
}

const until = (nowMs: number): Readonly<Record<string, string>> => ({
  [leavingAnnotation]: new Date(nowMs + markLastsMs).toISOString(),
});

const inUse = ({ spec, status }: ReplicaSet): boolean => spec.replicas > 0 || status.replicas > 0;
