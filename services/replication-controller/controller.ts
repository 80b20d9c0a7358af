import type { Clock } from '../../lib/base/clock.ts';
import { ApiError, hasReason, messageOf } from '../../lib/base/errors.ts';
import { eachAtMost, inRunsOf } from '../../lib/base/parallel.ts';
import { isGone } from '../../lib/api/ending.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import { formatSelector } from '../../lib/api/labels.ts';
import type { Pod, ReplicationControllerStatus } from '../../lib/api/objects.ts';
import { controllerOf, isDeleting } from '../../lib/api/pods.ts';
import { predecessorOf } from '../../lib/api/rolling-updates.ts';
import type { Client, Outcome } from '../../lib/client/client.ts';
import { TerminalError, type Controller, type SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { holdOf, type Hold } from './backoff.ts';
import { overlapping, reconcile, type Plan } from './reconcile.ts';
import { loopOf, podSelectorOf, type Replicated, type ReplicatedResource } from './replicated.ts';
import { sameStatus, statusOf, type Failure } from './status.ts';
import { adopted, podOf, released } from './template.ts';

export interface Parts {
  readonly resource: ReplicatedResource;
  /** The objects of that resource. */
  readonly owners: View<Replicated>;
  /** With the indexes of `podIndexes`. */
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly limits: Limits;
}
export interface Limits {
  /** Most pods made or removed in one pass. */
  readonly burst: number;
  /** Shortest time between two writes of one status where only its figures changed. */
  readonly statusIntervalMs: number;
}

/** How the pods are filed: by the controller that owns them, and the ownerless by namespace and by each of their labels. */
export const podIndexes = {
  owner: (pod: Pod): readonly string[] => {
    const owner = controllerOf(pod);
    return owner === undefined ? [] : [owner.uid];
  },
  ownerless: (pod: Pod): readonly string[] =>
    controllerOf(pod) !== undefined
      ? []
      : [
          anyOf(pod.metadata.namespace),
          ...Object.entries(pod.metadata.labels ?? {}).map(([name, value]) =>
            pair(pod.metadata.namespace, name, value),
          ),
        ],
};
const pair = (namespace: string | undefined, name: string, value: string): string => `${namespace}/${name}=${value}`;

const anyOf = (namespace: string | undefined): string => `${namespace}/`;

const updatesAtOnce = 16;
/** The template was read field by field when the controller was stored: not again for each of its pods. */
const checked = { fieldValidation: 'Ignore' } as const;

/** Keeps the number of active pods of every object of its kind at `spec.replicas` (F100 to F117). Writes pods, and its own status. */
export class ReplicationManager implements Controller {
  readonly name;
  readonly #parts: Parts;
  /** When each status was last written; one entry per owner. */
  readonly #written = new Map<Key, number>();
  /** Keys whose pods this leadership has seen for sure: see `#settleDoubt`. */
  #sure = new Set<Key>();
  /** The uid and generation of which a whole pass of creations was taken last; one entry per owner. */
  readonly #proven = new Map<Key, string>();
  #leadership: AbortSignal | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.name = loopOf[parts.resource];
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    const { resource, owners, client, limits } = this.#parts;
    if (signal !== this.#leadership) this.#sure = new Set();
    this.#leadership = signal;
    const rc = owners.get(key);
    if (rc === undefined) {
      this.#written.delete(key);
      this.#sure.delete(key);
      this.#proven.delete(key);
      return;
    }
    if (isDeleting(rc)) return; // its pods are the garbage collector's to release or remove
    if (predecessorOf(rc) !== undefined) return; // it is to get the pods of another, which has them still
    this.#warnOfOverlap(rc);

    const decide = (): Plan => reconcile(rc, this.#observed(rc), limits.burst, this.#parts.clock.now());
    let plan = decide();
    if (hasWork(plan) && (await this.#settleDoubt(key, rc))) plan = decide();
    if (plan.adopt.length > 0) {
      // Our view of the controller may be late; adopting for one that is gone would take pods from its successor.
      const now = await client.get(resource, key, { signal });
      if (now?.metadata.uid !== rc.metadata.uid || isDeleting(now)) return { requeueAfterMs: 50 };
    }
    const hold = plan.create === 0 ? undefined : holdOf(rc, this.#observed(rc), this.#parts.clock.now());
    if (hold !== undefined) plan = this.#putOff(rc, plan, hold);
    let failure: Failure | undefined;
    let error: unknown;
    try {
      await this.#adoptAndRelease(rc, plan);
      failure = (await this.#create(key, rc, plan.create)) ?? (await this.#remove(rc, plan.remove));
    } catch (thrown) {
      error = thrown;
      this.#sure.delete(key); // what was asked for may have happened all the same
    }
    const result = error === undefined ? await this.#report(key, rc, failure) : undefined;
    if (error !== undefined) throw error as Error;
    if (failure !== undefined) await this.#fail(rc, failure);
    if (plan.create === limits.burst || plan.remove.length === limits.burst) return { requeueAfterMs: 0 };
    if (hold === undefined) return result;
    return { requeueAfterMs: Math.min(hold.waitMs, result?.requeueAfterMs ?? Infinity) };
  }

  #observed(rc: Replicated): readonly Pod[] {
    const { pods } = this.#parts;
    const { namespace } = rc.metadata;
    const exact = podSelectorOf(rc).find(({ operator, values }) => operator === 'In' && values.length === 1);
    const filed = exact === undefined ? anyOf(namespace) : pair(namespace, exact.key, exact.values[0] ?? '');
    const ownerless = pods.by('ownerless', filed);
    return [...pods.by('owner', rc.metadata.uid), ...ownerless];
  }

  /**
   * A view may be a moment late, and a write whose answer was lost may have been done: counting on such a view would make
   * pods twice. So the first work for a key in a leadership, and the first after a failure, looks at the API itself.
   * Resolves to whether there was a doubt.
   */
  async #settleDoubt(key: Key, rc: Replicated): Promise<boolean> {
    if (this.#sure.has(key)) return false;
    const { client, pods } = this.#parts;
    const { items } = await client.list('pods', {
      ...(rc.metadata.namespace === undefined ? {} : { namespace: rc.metadata.namespace }),
      labelSelector: formatSelector(podSelectorOf(rc)),
    });
    for (const pod of items) pods.wrote(pod);
    this.#sure.add(key);
    return true;
  }

  /** Pods fail as soon as they are made: the next wait, and somebody is told why. */
  #putOff(rc: Replicated, plan: Plan, { last }: Hold): Plan {
    const { reason = 'Failed', message } = last.status;
    const why = message === undefined ? reason : `${reason}: ${message}`;
    const words = `pods fail as soon as they are made, making more is put off; the last of them, ${last.metadata.name}: ${why}`;
    this.#parts.recorder.event(rc, 'Warning', 'BackOff', words);
    return { ...plan, create: 0 };
  }

  async #adoptAndRelease(rc: Replicated, plan: Plan): Promise<void> {
    const { client, pods } = this.#parts;
    const changed = [...plan.adopt.map((pod) => adopted(rc, pod)), ...plan.release.map((pod) => released(rc, pod))];
    await eachAtMost(updatesAtOnce, changed, async (pod) => {
      try {
        pods.wrote(await client.update('pods', pod));
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
        pods.wroteDeletion(pod);
      }
    });
  }

  /**
   * In batches of 1, 2, 4…: where the API refuses, it is asked once and not five hundred times. Once a whole pass has been
   * taken for this template, the next passes ask for all they need at once.
   */
  async #create(key: Key, rc: Replicated, count: number): Promise<Failure | undefined> {
    if (count === 0) return undefined;
    const { client, pods, recorder } = this.#parts;
    const names: string[] = [];
    let refusal: Failure | undefined;
    const proof = `${rc.metadata.uid} ${rc.metadata.generation}`;
    const first = this.#proven.get(key) === proof ? count : 1;
    this.#proven.delete(key);
    for (let size = first; names.length < count && refusal === undefined; size *= 2) {
      const drafts = Array.from({ length: Math.min(size, count - names.length) }, () => podOf(rc));
      for (const outcome of await client.createMany('pods', drafts, checked)) {
        if (outcome.ok) {
          pods.wrote(outcome.object);
          names.push(outcome.object.metadata.name);
        } else refusal ??= { reason: 'FailedCreate', message: outcome.message, cause: errorOf(outcome) };
      }
    }
    if (refusal === undefined) this.#proven.set(key, proof);
    if (names.length > 0) recorder.event(rc, 'Normal', 'SuccessfulCreate', told('Created', names));
    return refusal;
  }

  async #remove(rc: Replicated, doomed: readonly Pod[]): Promise<Failure | undefined> {
    const { client, pods, recorder } = this.#parts;
    const names: string[] = [];
    let refusal: Failure | undefined;
    for (const batch of inRunsOf(100, doomed)) {
      const outcomes = await client.deleteMany('pods', batch.map(keyOf));
      for (const [i, outcome] of outcomes.entries()) {
        const pod = batch[i];
        if (pod === undefined) continue;
        if (!outcome.ok && outcome.reason !== 'NotFound') {
          refusal ??= { reason: 'FailedDelete', message: outcome.message, cause: errorOf(outcome) };
          continue;
        }
        if (outcome.ok && !isGone(outcome.object)) pods.wrote(outcome.object);
        else pods.wroteDeletion(outcome.ok ? outcome.object : pod);
        names.push(pod.metadata.name);
      }
    }
    if (names.length > 0) recorder.event(rc, 'Normal', 'SuccessfulDelete', told('Deleted', names));
    return refusal;
  }

  /** Writes the status if it differs. Figures alone may wait, so that a thousand pods starting are not a thousand writes. */
  async #report(key: Key, seen: Replicated, failure: Failure | undefined): Promise<SyncResult | void> {
    const { resource, owners, client, clock, limits } = this.#parts;
    const rc = owners.get(key) ?? seen;
    const { status, nextAvailableMs } = statusOf(rc, this.#observed(rc), failure, clock.now());
    const later = nextAvailableMs === undefined ? undefined : { requeueAfterMs: nextAvailableMs };
    if (sameStatus(rc.status, status)) return later;
    const wait = (this.#written.get(key) ?? -Infinity) + limits.statusIntervalMs - clock.monotonic();
    if (wait > 0 && isFiguresOnly(rc.status, status))
      return { requeueAfterMs: Math.min(wait, nextAvailableMs ?? wait) };
    this.#written.set(key, clock.monotonic());
    owners.wrote(await client.updateStatus(resource, { ...rc, status }));
    return later;
  }

  /** Ends the pass as failed: retried by the loop, unless it is in the template that the fault lies. */
  async #fail(rc: Replicated, failure: Failure): Promise<void> {
    const { client, recorder } = this.#parts;
    if (hasReason(failure.cause, 'Forbidden', 'NotFound')) {
      const namespace = await client.get('namespaces', rc.metadata.namespace ?? '');
      if (namespace === undefined || isDeleting(namespace)) return; // all of it is on its way out
    }
    const verb = failure.reason === 'FailedCreate' ? 'creating' : 'deleting';
    recorder.event(rc, 'Warning', failure.reason, `Error ${verb}: ${failure.message}`);
    if (hasReason(failure.cause, 'Invalid')) throw new TerminalError(failure.message, { cause: failure.cause });
    throw new Error(`${verb} pods: ${messageOf(failure.cause)}`, { cause: failure.cause });
  }

  /** Once per change of the spec: `observedGeneration` tells whether it has been looked at. */
  #warnOfOverlap(rc: Replicated): void {
    if (rc.status.observedGeneration === rc.metadata.generation) return;
    for (const other of overlapping(rc, this.#parts.owners.list(rc.metadata.namespace))) {
      this.#parts.recorder.event(
        rc,
        'Warning',
        'SelectorOverlap',
        `the selector ${formatSelector(podSelectorOf(rc))} and that of ${other.kind} ` +
          `"${other.metadata.name}" (${formatSelector(podSelectorOf(other))}) match the same pods; each pod ` +
          `stays with the controller that has it, but give each its own label`,
      );
    }
  }
}

const hasWork = (plan: Plan): boolean =>
  plan.create > 0 || plan.remove.length > 0 || plan.adopt.length > 0 || plan.release.length > 0;

const errorOf = (outcome: Outcome<Pod> & { readonly ok: false }): ApiError =>
  new ApiError(outcome.reason, outcome.message, outcome.details);

const isFiguresOnly = (before: ReplicationControllerStatus, after: ReplicationControllerStatus): boolean =>
  before.observedGeneration === after.observedGeneration &&
  JSON.stringify(before.conditions ?? []) === JSON.stringify(after.conditions ?? []);

/** "Created pod: web-1", or for many one line that names the first few. */
function told(verb: string, names: readonly string[]): string {
  if (names.length === 1) return `${verb} pod: ${names[0]}`;
  const shown = names.slice(0, 10).join(', ');
  return `${verb} ${names.length} pods: ${shown}${names.length > 10 ? ', …' : ''}`;
}
