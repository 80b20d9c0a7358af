import type { Meter, Tracer } from '@opentelemetry/api';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { isRetryable, messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { traceAnnotation, withSpan } from '../../lib/base/trace.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import type {
  ApiObject,
  Binding,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodCondition,
  PodDisruptionBudget,
  Service,
  StorageClass,
} from '../../lib/api/objects.ts';
import { isActive, withCondition } from '../../lib/api/pods.ts';
import { claimKeysOf } from '../../lib/api/storage.ts';
import { isGated } from '../../lib/api/gates.ts';
import { gangOf, hasGangPlace } from '../../lib/api/gangs.ts';
import { isFree } from '../../lib/api/volume-matching.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import { Wake } from '../../lib/view/wake.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { budgetsIn } from './budgets.ts';
import { ClaimPlacer } from './claim-placer.ts';
import { Cluster } from '../../lib/placing/cluster.ts';
import type { Measured } from '../../lib/placing/node-facts.ts';
import { schedulerMetrics, type SchedulerMetrics } from './metrics.ts';
import type { BudgetsOf, Preemption } from './preempt.ts';
import { Preemptor } from './preemptor.ts';
import type { Profile } from '../../lib/placing/profile.ts';
import { PendingQueue } from './queue.ts';
import { scheduleGangs } from './gang.ts';
import type { Placement, Refusal } from './schedule.ts';

export interface Parts {
  readonly nodes: View<Node>;
  readonly pods: View<Pod>;
  readonly services: View<Service>;
  readonly namespaces: View<Namespace>;
  readonly claims: View<PersistentVolumeClaim>;
  readonly volumes: View<PersistentVolume>;
  readonly classes: View<StorageClass>;
  readonly budgets: View<PodDisruptionBudget>;
  readonly client: Pick<
    Client,
    'bindMany' | 'updateStatusMany' | 'update' | 'get' | 'updateStatus' | 'evict' | 'delete'
  >;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly limits: Limits;
  /** Tells what nodes measure, from now on; default: nobody does. */
  readonly rooms?: (onRoom: (node: string, room: Measured | undefined) => void) => void;
  /** How nodes are chosen; default: `spread`. */
  readonly profile?: Profile;
  readonly random?: () => number;
}
export interface Limits {
  /** Pods with another `spec.schedulerName` are another scheduler's. */
  readonly schedulerName: string;
  /** Most pods in one batch. */
  readonly batch: number;
  /** Batches whose bindings may be under way at one time. */
  readonly inFlight: number;
  /** See `ScheduleOptions.sample`. */
  readonly sample: number;
  /** How long the bindings of a batch are tried while the API cannot be reached. */
  readonly bindForMs: number;
}

const refusedBackoff = { firstMs: 200, maxMs: 10_000 };
/** A pod that was to be ended could not be: who else could be is asked after so long. */
const roomAgainMs = 1_000;
const bindBackoff = { firstMs: 50, maxMs: 2_000 };
/** The indexes of the view of pods: those without a node under their claims, those of gangs under their gangs. */
export const podIndexes = {
  claim: (pod: Pod): readonly string[] => (pod.spec.nodeName === undefined ? claimKeysOf(pod) : []),
  gang: (pod: Pod): readonly string[] => {
    const gang = gangOf(pod);
    return gang === undefined ? [] : [gang.key];
  },
};
/** What this process writes has no field that the API does not know: it need not look. */
const checked = { fieldValidation: 'Ignore' } as const;
/** Larger batches are not told pod by pod as Events; the pods' conditions say it all the same. */
const toldUpTo = 50;

/**
 * Gives each pod without a node a node. Writes bindings, the condition PodScheduled of pods that fit nowhere, and Events.
 * Its picture of the cluster follows the views also while another process leads, so that it can take over at once.
 */
export class Scheduler {
  readonly name = 'scheduler';
  readonly #parts: Parts;
  readonly #cluster: Cluster;
  readonly #placer: ClaimPlacer;
  readonly #preemptor: Preemptor;
  readonly #budgetsOf: BudgetsOf;
  readonly #queue: PendingQueue;
  readonly #wake = new Wake();
  readonly #metrics: SchedulerMetrics;
  /** Refused pods with rules about other pods: for them a pod that comes may be a help, too. */
  readonly #waitingForPods = new Set<Key>();
  /** A change since the last round that may make room. */
  #helped = false;
  #inFlight = 0;
  #start = 0;
  #leading: AbortSignal = AbortSignal.abort();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#cluster = new Cluster(parts);
    this.#placer = new ClaimPlacer(parts, this.#cluster, {
      ready: (placement) => this.#begin(this.#bind([placement], this.#leading)),
      failed: (key) => this.#giveBack([key]),
      slow: (refusal) => this.#begin(this.#report([refusal], this.#leading)),
    });
    this.#preemptor = new Preemptor(parts);
    this.#budgetsOf = budgetsIn(parts.budgets);
    this.#queue = new PendingQueue(refusedBackoff, parts.random);
    this.#metrics = schedulerMetrics(parts.meter, () => this.#queue.sizes);
    follow(parts.nodes, ({ key, before, after }) => {
      if (after === undefined) this.#cluster.removeNode(key);
      else if (this.#cluster.setNode(after) || this.#mayChangeRules(before, after)) this.#help();
      this.#placer.nodeChanged(key);
      if (this.#cluster.node(key)?.ready !== true) this.#lookAgain(this.#cluster.keptOn(key)); // no room is made there any more
    });
    parts.rooms?.((node, room) => {
      if (this.#cluster.setRoom(node, room)) this.#help();
    });
    follow(parts.services, ({ key, before, after }) => {
      if (after !== undefined) this.#cluster.setService(after);
      else this.#cluster.removeService(key, before?.metadata.namespace ?? '');
    });
    follow(parts.namespaces, ({ key, after }) => {
      this.#cluster.tallies.setNamespace(key, after === undefined ? undefined : (after.metadata.labels ?? {}));
      this.#queue.help(this.#waitingForPods);
    });
    follow(parts.pods, (change) => {
      this.#podChanged(change);
    });
    follow(parts.claims, ({ key }) => {
      this.#claimChanged(key);
    });
    follow(parts.volumes, ({ before, after }) => {
      const { name, namespace } = after?.spec.claimRef ?? before?.spec.claimRef ?? {};
      if (name !== undefined) this.#claimChanged(makeKey(namespace, name));
      if (after !== undefined && isFree(after)) this.#help();
    });
    follow(parts.classes, () => {
      this.#help();
    });
  }

  /** Places pods until aborted. Called again when this process becomes the leader again. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#parts;
    this.#leading = signal;
    while (!signal.aborted) {
      if (this.#helped) this.#queue.help();
      this.#helped = false;
      const dueMs = this.#queue.wake(clock.monotonic());
      if (this.#queue.sizes.ready > 0 && this.#inFlight < limits.inFlight) {
        this.#round(signal);
        await nextTurn(); // lets news in between two batches
      } else if (dueMs === undefined) await this.#wake.next(signal);
      else await this.#wake.nextOr(clock, Math.max(1, dueMs - clock.monotonic()), signal);
    }
    this.#placer.giveUp();
    while (this.#inFlight > 0) await this.#wake.nextOr(clock, 100, new AbortController().signal);
  }

  #podChanged({ key, before, after }: Change<Pod>): void {
    if (after === undefined) {
      if (this.#cluster.removePod(key)) this.#help();
      return this.#settle(key);
    }
    if (this.#cluster.setPod(after)) this.#help();
    if (after.spec.nodeName !== undefined) this.#helpWaitingForPods();
    if (!this.#wants(after)) return this.#settle(key);
    const isNew = before === undefined || before.metadata.uid !== after.metadata.uid;
    if (isNew) this.#settle(key); // what was remembered of the name was another pod's
    if (isNew || !sameText(before, after) || !this.#queue.has(key)) {
      this.#queue.add(key, after.spec.priority);
      this.#wake.wake();
    }
  }

  #helpWaitingForPods(): void {
    if (this.#waitingForPods.size === 0) return;
    this.#queue.help(this.#waitingForPods);
    this.#wake.wake();
  }

  #lookAgain(keys: readonly Key[]): void {
    if (keys.length === 0) return;
    this.#queue.help(keys);
    this.#wake.wake();
  }

  #settle(key: Key): void {
    this.#waitingForPods.delete(key);
    this.#placer.forget(key);
    this.#queue.settle(key);
  }

  /** Pods that wait for a claim may go on, or must choose anew. */
  #claimChanged(claim: Key): void {
    const waiting = this.#parts.pods.by('claim', claim).map(keyOf);
    if (waiting.length === 0) return;
    this.#placer.claimChanged(claim);
    this.#queue.help(waiting);
    this.#wake.wake();
  }

  /** Ours to place. A pod that names its node itself never comes here: it is bound from the start. */
  #wants(pod: Pod): boolean {
    const { nodeName, schedulerName } = pod.spec;
    const isOurs = nodeName === undefined && schedulerName === this.#parts.limits.schedulerName;
    return isOurs && isActive(pod) && !isGated(pod);
  }

  /** Rules of a user's module may look at the annotations of nodes, too, and at what the scheduler's own rules do not. */
  #mayChangeRules(before: Node | undefined, after: Node): boolean {
    if (this.#parts.profile?.within === undefined) return false;
    const of = ({ metadata, spec, status }: Node): string =>
      JSON.stringify([metadata.annotations, spec, status.capacity, status.allocatable, status.nodeInfo]);
    return before === undefined || of(before) !== of(after);
  }

  /** Something changed that no object tells: pods that wait are looked at again. */
  rulesChanged(): void {
    this.#help();
  }

  #help(): void {
    this.#helped = true;
    this.#wake.wake();
  }

  /** One batch: decides at once, then writes without holding up the next. */
  #round(signal: AbortSignal): void {
    const { pods, clock, limits, profile } = this.#parts;
    const batch: Pod[] = [];
    for (const key of this.#queue.take(limits.batch)) {
      const pod = pods.get(key);
      if (pod === undefined || !this.#wants(pod) || this.#cluster.nodeOf(key) !== undefined) this.#queue.settle(key);
      else batch.push(pod);
    }
    this.#takeGangs(batch);
    if (batch.length === 0) return;
    const startMs = clock.monotonic();
    const { placements, refusals, postponed, start } = scheduleGangs(batch, this.#cluster, {
      placedOf: (gang) => pods.by('gang', gang).filter((pod) => this.#hasPlace(pod)).length,
      start: this.#start,
      sample: limits.sample,
      preemption: { budgetsOf: this.#budgetsOf, ending: this.#preemptor.ending, candidates: limits.sample },
      ...(profile === undefined ? {} : { profile }),
    });
    this.#start = start;
    for (const { ask, nodeName } of placements) this.#cluster.assume(ask, nodeName);
    for (const pod of postponed) this.#queue.retry(keyOf(pod), clock.monotonic());
    for (const { pod, preemption } of refusals) {
      if (preemption === undefined) this.#queue.refuse(keyOf(pod), clock.monotonic());
      else {
        this.#queue.expect(keyOf(pod), clock.monotonic());
        this.#cluster.keep(preemption.ask, preemption.nodeName);
      }
      if (asksForPods(pod)) this.#waitingForPods.add(keyOf(pod));
    }
    if (placements.length > 0) this.#helpWaitingForPods();
    this.#metrics.decided(clock.monotonic() - startMs, placements.length, refusals.length);
    const disks = placements.filter(({ ask }) => (ask.disks?.toPlace.length ?? 0) > 0);
    const rest = disks.length === 0 ? placements : placements.filter((placement) => !disks.includes(placement));
    if (rest.length > 0) this.#begin(this.#bind(rest, signal));
    for (const placement of disks) this.#begin(this.#placer.place(placement));
    if (refusals.length > 0) this.#begin(this.#report(refusals, signal));
  }

  /** A gang is decided as a whole: with one of its pods come all that wait. */
  #takeGangs(batch: Pod[]): void {
    const gangs = new Set(batch.flatMap((pod) => gangOf(pod)?.key ?? []));
    for (const gang of gangs)
      for (const pod of this.#parts.pods.by('gang', gang))
        if (this.#wants(pod) && this.#cluster.nodeOf(keyOf(pod)) === undefined && this.#queue.takeAlso(keyOf(pod)))
          batch.push(pod);
  }

  /** On a node, or on its way there. */
  #hasPlace(pod: Pod): boolean {
    return hasGangPlace(pod) || (this.#wants(pod) && this.#cluster.nodeOf(keyOf(pod)) !== undefined);
  }

  #begin(work: Promise<void>): void {
    this.#inFlight += 1;
    void work
      .catch((error: unknown) => this.#parts.log.error({ error }, 'a batch failed'))
      .finally(() => {
        this.#inFlight -= 1;
        this.#wake.wake();
      });
  }

  // ---- Bindings --------------------------------------------------------------------------------

  /**
   * Binds a batch. While the API cannot be reached the same bindings are tried again: binding a pod twice to one node is
   * harmless, while choosing anew without knowing the outcome could fill a node twice.
   */
  async #bind(placements: readonly Placement[], signal: AbortSignal): Promise<void> {
    const { clock, log, limits, tracer } = this.#parts;
    const untilMs = clock.monotonic() + limits.bindForMs;
    let left = placements;
    for (let attempt = 0; left.length > 0; attempt++) {
      const traceparent = left[0]?.ask.pod.metadata.annotations?.[traceAnnotation];
      const attributes = { 'troupe.pods': left.length };
      try {
        await withSpan(tracer, 'scheduler bind', { traceparent, attributes }, () => this.#bindOnce(left));
        return;
      } catch (error) {
        const hopeless = !isRetryable(error) || signal.aborted || clock.monotonic() > untilMs;
        log.warn({ pods: left.length, attempt, error: messageOf(error) }, 'bindings could not be written');
        if (hopeless) return this.#giveBack(left.map(({ ask }) => ask.key));
        await wait(clock, backoffMs(attempt, bindBackoff), signal).catch(() => undefined);
        left = left.filter(({ ask, nodeName }) => this.#isStillDue(ask.pod, nodeName));
      }
    }
  }

  async #bindOnce(placements: readonly Placement[]): Promise<void> {
    const { pods, client, recorder, clock, log } = this.#parts;
    const outcomes = await client.bindMany(placements.map(bindingOf), checked);
    const isTold = placements.length <= toldUpTo;
    for (const [i, outcome] of outcomes.entries()) {
      const placement = placements[i];
      if (placement === undefined) continue;
      const { ask, nodeName } = placement;
      if (outcome.ok) {
        pods.wrote(outcome.object);
        this.#queue.settle(ask.key);
        this.#metrics.bound(clock.now() - Date.parse(ask.pod.metadata.creationTimestamp));
        if (isTold) recorder.event(ask.pod, 'Normal', 'Scheduled', `Successfully assigned ${ask.key} to ${nodeName}`);
        continue;
      }
      this.#metrics.failed(outcome.reason);
      if (!this.#isStillDue(ask.pod, nodeName)) continue; // gone, or bound meanwhile: the view has seen to it
      if (outcome.reason !== 'Conflict' && outcome.reason !== 'NotFound')
        log.warn(
          { pod: ask.key, node: nodeName, reason: outcome.reason, error: outcome.message },
          'a pod was not bound',
        );
      this.#giveBack([ask.key]);
    }
  }

  /** The same pod, still without a node, and still assumed where we wanted it. */
  #isStillDue(pod: Pod, nodeName: string): boolean {
    const key = keyOf(pod);
    const now = this.#parts.pods.get(key);
    return now?.metadata.uid === pod.metadata.uid && this.#wants(now) && this.#cluster.nodeOf(key) === nodeName;
  }

  #giveBack(keys: readonly Key[]): void {
    for (const key of keys) {
      this.#cluster.forget(key);
      this.#queue.retry(key, this.#parts.clock.monotonic());
    }
    this.#help(); // the room they held is free for others
  }

  // ---- Refusals --------------------------------------------------------------------------------

  /** Tells why pods wait, where that has not been said already. */
  async #report(refusals: readonly Refusal[], signal: AbortSignal): Promise<void> {
    const { recorder, clock } = this.#parts;
    if (signal.aborted) return;
    const rooms = new Map(refusals.flatMap(({ pod, preemption }) => (preemption ? [[keyOf(pod), preemption]] : [])));
    const news = refusals.flatMap(({ pod, message, preemption }) => {
      const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message } as const;
      const conditions = withCondition<PodCondition>(pod.status.conditions, condition, clock.now());
      const { nominatedNodeName, ...status } = pod.status;
      const isNominated = (nominatedNodeName ?? '') === (preemption?.nodeName ?? '');
      if (conditions === pod.status.conditions && isNominated) return [];
      if (conditions !== pod.status.conditions) recorder.event(pod, 'Warning', 'FailedScheduling', message);
      const nominated = preemption === undefined ? {} : { nominatedNodeName: preemption.nodeName };
      return { ...pod, status: { ...status, ...nominated, conditions } };
    });
    if (news.length > 0) await this.#write(news, rooms);
    await Promise.all([...rooms.values()].map((preemption) => this.#makeRoom(preemption)));
  }

  /** Room is made only for those of which it could be written where: another process that takes over goes on from there. */
  async #write(news: readonly Pod[], rooms: Map<Key, Preemption>): Promise<void> {
    const { pods, client } = this.#parts;
    const written = await client.updateStatusMany('pods', news, checked).catch((error: unknown) => {
      this.#parts.log.warn({ pods: news.length, error: messageOf(error) }, 'refusals could not be written');
      return [];
    });
    for (const [i, pod] of news.entries()) {
      const outcome = written[i];
      if (outcome?.ok === true) {
        pods.wrote(outcome.object);
        continue;
      }
      const room = rooms.get(keyOf(pod));
      if (room !== undefined) this.#cluster.keep(room.ask, pods.get(keyOf(pod))?.status.nominatedNodeName);
      rooms.delete(keyOf(pod));
      if (outcome?.reason !== 'NotFound') this.#queue.help([keyOf(pod)]); // look again, and say it then
    }
    this.#wake.wake();
  }

  async #makeRoom(preemption: Preemption): Promise<void> {
    const { victims, ask } = preemption;
    if (victims.length === 0) return;
    const done = await this.#preemptor.end(preemption);
    this.#metrics.preempted(victims.length, done);
    if (!done)
      this.#parts.clock.after(roomAgainMs, () => {
        this.#lookAgain([ask.key]);
      });
  }
}

/** What a pod asks, and what others, gangs and rules of users think of it. */
const sameText = (a: Pod, b: Pod): boolean =>
  a.metadata.generation === b.metadata.generation && textOf(a) === textOf(b);
const textOf = ({ metadata: { labels, annotations } }: Pod): string => JSON.stringify([labels, annotations]);

const asksForPods = ({ spec }: Pod): boolean =>
  spec.affinity?.podAffinity !== undefined ||
  spec.affinity?.podAntiAffinity !== undefined ||
  (spec.topologySpreadConstraints?.length ?? 0) > 0;

const bindingOf = ({ ask, nodeName }: Placement): Binding => {
  const { name, namespace = '', uid } = ask.pod.metadata;
  return { metadata: { name, namespace, uid }, target: { kind: 'Node', name: nodeName } };
};

/** Each change, and first what is there already: views may have been read while a module of a user's own was loaded. */
function follow<T extends ApiObject>(view: View<T>, onChange: (change: Change<T>) => void): void {
  view.onChange(onChange);
  for (const after of view.list()) onChange({ key: keyOf(after), before: undefined, after });
}
