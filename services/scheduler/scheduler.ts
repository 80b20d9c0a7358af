import type { Meter, Tracer } from '@opentelemetry/api';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { isRetryable, messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { traceAnnotation, withSpan } from '../../lib/base/trace.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import type {
  Binding,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodCondition,
  Service,
  StorageClass,
} from '../../lib/api/objects.ts';
import { isActive, withCondition } from '../../lib/api/pods.ts';
import { claimKeysOf } from '../../lib/api/storage.ts';
import { isFree } from '../../lib/api/volume-matching.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import { Wake } from '../../lib/view/wake.ts';
import type { Change, View } from '../../lib/view/view.ts';
import { ClaimPlacer } from './claim-placer.ts';
import { Cluster } from './cluster.ts';
import { schedulerMetrics, type SchedulerMetrics } from './metrics.ts';
import { PendingQueue } from './queue.ts';
import { schedule, type Placement, type Refusal } from './schedule.ts';

export interface Parts {
  readonly nodes: View<Node>;
  readonly pods: View<Pod>;
  readonly services: View<Service>;
  readonly claims: View<PersistentVolumeClaim>;
  readonly volumes: View<PersistentVolume>;
  readonly classes: View<StorageClass>;
  readonly client: Pick<Client, 'bindMany' | 'updateStatusMany' | 'update'>;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly limits: Limits;
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
const bindBackoff = { firstMs: 50, maxMs: 2_000 };
/** The index of the view of pods that files those without a node under their claims. */
export const podIndexes = {
  claim: (pod: Pod): readonly string[] => (pod.spec.nodeName === undefined ? claimKeysOf(pod) : []),
};
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
  readonly #queue: PendingQueue;
  readonly #wake = new Wake();
  readonly #metrics: SchedulerMetrics;
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
    this.#queue = new PendingQueue(refusedBackoff, parts.random);
    this.#metrics = schedulerMetrics(parts.meter, () => this.#queue.sizes);
    parts.nodes.onChange(({ key, after }) => {
      if (after === undefined) this.#cluster.removeNode(key);
      else if (this.#cluster.setNode(after)) this.#help();
      this.#placer.nodeChanged(key);
    });
    parts.services.onChange(({ key, before, after }) => {
      if (after !== undefined) this.#cluster.setService(after);
      else this.#cluster.removeService(key, before?.metadata.namespace ?? '');
    });
    parts.pods.onChange((change) => {
      this.#podChanged(change);
    });
    parts.claims.onChange(({ key }) => {
      this.#claimChanged(key);
    });
    parts.volumes.onChange(({ before, after }) => {
      const { name, namespace } = after?.spec.claimRef ?? before?.spec.claimRef ?? {};
      if (name !== undefined) this.#claimChanged(makeKey(namespace, name));
      if (after !== undefined && isFree(after)) this.#help();
    });
    parts.classes.onChange(() => {
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
    if (!this.#wants(after)) return this.#settle(key);
    const isNew = before?.metadata.uid !== after.metadata.uid;
    if (isNew) this.#settle(key); // what was remembered of the name was another pod's
    if (isNew || before?.metadata.generation !== after.metadata.generation || !this.#queue.has(key)) {
      this.#queue.add(key);
      this.#wake.wake();
    }
  }

  #settle(key: Key): void {
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
    return nodeName === undefined && schedulerName === this.#parts.limits.schedulerName && isActive(pod);
  }

  #help(): void {
    this.#helped = true;
    this.#wake.wake();
  }

  /** One batch: decides at once, then writes without holding up the next. */
  #round(signal: AbortSignal): void {
    const { pods, clock, limits } = this.#parts;
    const batch: Pod[] = [];
    for (const key of this.#queue.take(limits.batch)) {
      const pod = pods.get(key);
      if (pod === undefined || !this.#wants(pod) || this.#cluster.nodeOf(key) !== undefined) this.#queue.settle(key);
      else batch.push(pod);
    }
    if (batch.length === 0) return;
    const startMs = clock.monotonic();
    const { placements, refusals, start } = schedule(batch, this.#cluster, {
      start: this.#start,
      sample: limits.sample,
    });
    this.#start = start;
    for (const { ask, nodeName } of placements) this.#cluster.assume(ask, nodeName);
    for (const { pod } of refusals) this.#queue.refuse(keyOf(pod), clock.monotonic());
    this.#metrics.decided(clock.monotonic() - startMs, placements.length, refusals.length);
    const disks = placements.filter(({ ask }) => (ask.disks?.toPlace.length ?? 0) > 0);
    const rest = disks.length === 0 ? placements : placements.filter((placement) => !disks.includes(placement));
    if (rest.length > 0) this.#begin(this.#bind(rest, signal));
    for (const placement of disks) this.#begin(this.#placer.place(placement));
    if (refusals.length > 0) this.#begin(this.#report(refusals, signal));
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
    const outcomes = await client.bindMany(placements.map(bindingOf));
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
    const { pods, client, recorder, clock } = this.#parts;
    const news = refusals.flatMap(({ pod, message }) => {
      const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message } as const;
      const conditions = withCondition<PodCondition>(pod.status.conditions, condition, clock.now());
      if (conditions === pod.status.conditions || signal.aborted) return [];
      recorder.event(pod, 'Warning', 'FailedScheduling', message);
      return { ...pod, status: { ...pod.status, conditions } };
    });
    if (news.length === 0) return;
    const written = await client.updateStatusMany('pods', news).catch((error: unknown) => {
      this.#parts.log.warn({ pods: news.length, error: messageOf(error) }, 'refusals could not be written');
      return [];
    });
    for (const [i, pod] of news.entries()) {
      const outcome = written[i];
      if (outcome?.ok === true) pods.wrote(outcome.object);
      else if (outcome?.reason !== 'NotFound') this.#queue.help([keyOf(pod)]); // look again, and say it then
    }
    this.#wake.wake();
  }
}

const bindingOf = ({ ask, nodeName }: Placement): Binding => {
  const { name, namespace = '', uid } = ask.pod.metadata;
  return { metadata: { name, namespace, uid }, target: { kind: 'Node', name: nodeName } };
};
