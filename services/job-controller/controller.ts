import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import { sameJson } from '../../lib/api/json.ts';
import { builtInJobController, endOfJob, isTrue } from '../../lib/api/jobs.ts';
import type { Key } from '../../lib/api/keys.ts';
import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { Job, JobStatus, Pod } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isDeleting } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import { TerminalError, type Controller, type SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { discard, Late, make, remove, rewrite, type Refusal } from './perform.ts';
import { isTracked } from './pods.ts';
import { claim, reconcile, type Limits } from './reconcile.ts';
import { finishedMs, statusOf } from './status.ts';
import { settled, tallyOf } from './tally.ts';
import { adopted, released, untracked } from './template.ts';
import { deadlineMs, verdictOf } from './verdict.ts';
import { pairOf } from './wake.ts';

export interface Parts {
  readonly jobs: View<Job>;
  /** With the indexes of `podIndexes`. */
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly limits: Limits;
  /** Shortest time between two writes of one status where only its figures changed. */
  readonly statusIntervalMs: number;
}

/** Runs the pods of every Job until enough of them have succeeded, or too many have not. Writes pods, Jobs' status, and deletes Jobs whose time to live is over. */
export class JobManager implements Controller {
  readonly name = 'job-controller';
  readonly #parts: Parts;
  /** When each status was last written; one entry per Job. */
  readonly #written = new Map<Key, number>();
  /** Keys whose pods this leadership has seen for sure: see `#settleDoubt`. */
  #sure = new Set<Key>();
  #leadership: AbortSignal | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    if (signal !== this.#leadership) this.#sure = new Set();
    this.#leadership = signal;
    try {
      return await this.#sync(key);
    } catch (error) {
      this.#sure.delete(key); // what was asked for may have happened all the same
      if (error instanceof Late) return { requeueAfterMs: 0 };
      throw error;
    }
  }

  async #sync(key: Key): Promise<SyncResult | void> {
    const { jobs, pods } = this.#parts;
    const job = jobs.get(key);
    await this.#freeStrays(key, job);
    if (job === undefined) {
      this.#written.delete(key);
      this.#sure.delete(key);
      return;
    }
    const { managedBy } = job.spec;
    if (managedBy !== undefined && managedBy !== builtInJobController) return;
    const own = pods.by('owner', job.metadata.uid);
    // What goes needs no count; its pods are the garbage collector's to release or remove, and must not wait for us.
    if (isDeleting(job)) return rewrite(this.#parts, own.filter(isTracked).map(untracked));
    if (endOfJob(job) !== undefined) return this.#clearUp(job, own);
    await this.#settleDoubt(key, job);
    return this.#run(key, job);
  }

  async #run(key: Key, job: Job): Promise<SyncResult | void> {
    const { clock, limits, pods } = this.#parts;
    const claimed = claim(job, this.#observed(job));
    if (claimed.adopt.length + claimed.release.length > 0) {
      await this.#checkStillThere(key, job, claimed.adopt.length > 0);
      await rewrite(this.#parts, [
        ...claimed.adopt.map((pod) => adopted(job, pod)),
        ...claimed.release.map((pod) => released(job, pod)),
      ]);
      return { requeueAfterMs: 0 };
    }
    const plan = reconcile(job, tallyOf(job, claimed.own), clock.now(), limits);
    const refusal =
      (await discard(this.#parts, job, plan.remove)) ??
      (plan.create.length === 0 ? undefined : await make(this.#parts, job, plan.create));

    const own = pods.by('owner', job.metadata.uid);
    const tally = tallyOf(job, own);
    const status = statusOf(job, tally, own.filter(isTracked).length, clock.now());
    const { written, waitMs } = await this.#report(key, job, status);
    if (written !== undefined) {
      const free = settled(written, own);
      await rewrite(this.#parts, free.map(untracked));
      const ended = await remove(this.#parts, job, plan.end);
      if (ended !== undefined) await this.#fail(job, ended);
    }
    if (refusal !== undefined) await this.#fail(job, refusal);
    const waits = [
      waitMs,
      plan.againInMs,
      tally.more || plan.end.length + plan.remove.length >= limits.burst ? 0 : undefined,
      leftMs(job, clock.now()),
    ].filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : { requeueAfterMs: Math.min(...waits) };
  }

  /** Pods that wait for a Job that is gone, or that is another one by now, or that are nobody's any more. */
  async #freeStrays(key: Key, job: Job | undefined): Promise<void> {
    const { pods, client, jobs } = this.#parts;
    const waiting = pods
      .by('tracked', key)
      .filter((pod) => controllerOf(pod)?.uid !== job?.metadata.uid || job === undefined);
    if (waiting.length === 0) return;
    // Our view of Jobs may be late: its word alone takes no pod out of the count.
    const now = await client.get('jobs', key);
    if (now !== undefined) jobs.wrote(now);
    const adoptable = (pod: Pod): boolean =>
      now !== undefined && controllerOf(pod) === undefined && isActive(pod) && claim(now, [pod]).adopt.length > 0;
    await rewrite(
      this.#parts,
      waiting.filter((pod) => controllerOf(pod)?.uid !== (now?.metadata.uid ?? '') && !adoptable(pod)).map(untracked),
    );
    if (now?.metadata.uid !== job?.metadata.uid) throw new Late('the Job is another one by now');
  }

  #observed(job: Job): readonly Pod[] {
    const { pods } = this.#parts;
    const { namespace, uid } = job.metadata;
    const [first] = Object.entries(job.spec.selector.matchLabels ?? {});
    const ownerless = first === undefined ? pods.list(namespace) : pods.by('ownerless', pairOf(namespace, ...first));
    return [...pods.by('owner', uid), ...ownerless.filter((pod) => controllerOf(pod) === undefined)];
  }

  /**
   * A view may be a moment late, and a write whose answer was lost may have been done: counting by such a view could count a pod
   * twice. So the first pass for a key in a leadership, and the first after a failure, looks at the API itself.
   */
  async #settleDoubt(key: Key, job: Job): Promise<void> {
    if (this.#sure.has(key)) return;
    const { client, pods, jobs } = this.#parts;
    const now = await client.get('jobs', key);
    if (now === undefined || now.metadata.resourceVersion !== job.metadata.resourceVersion) {
      if (now === undefined) jobs.wroteDeletion(job);
      else jobs.wrote(now);
      throw new Late('the Job has changed meanwhile');
    }
    const { namespace } = job.metadata;
    const { items } = await client.list('pods', {
      ...(namespace !== undefined && { namespace }),
      labelSelector: formatSelector(selectorOfLabelSelector(job.spec.selector)),
    });
    for (const pod of items) pods.wrote(pod);
    const there = new Set(items.map(({ metadata }) => metadata.uid));
    for (const pod of pods.by('owner', job.metadata.uid)) {
      if (there.has(pod.metadata.uid)) continue;
      const found = await client.get('pods', `${pod.metadata.namespace}/${pod.metadata.name}`);
      if (found?.metadata.uid === pod.metadata.uid) pods.wrote(found);
      else pods.wroteDeletion(pod);
    }
    this.#sure.add(key);
  }

  /** Our view of the Job may be late; adopting for one that is gone would take pods from its successor. */
  async #checkStillThere(key: Key, job: Job, needed: boolean): Promise<void> {
    if (!needed) return;
    const now = await this.#parts.client.get('jobs', key);
    if (now?.metadata.uid === job.metadata.uid && !isDeleting(now)) return;
    if (now === undefined) this.#parts.jobs.wroteDeletion(job);
    else this.#parts.jobs.wrote(now);
    throw new Late('the Job is on its way out');
  }

  /** Writes the status if it differs. Figures alone may wait, so that a thousand pods ending are not a thousand writes. Throws Late. */
  async #report(key: Key, job: Job, status: JobStatus): Promise<{ readonly written?: Job; readonly waitMs?: number }> {
    const { jobs, client, clock, statusIntervalMs } = this.#parts;
    if (sameJson(job.status, status)) return { written: job };
    const waitMs = (this.#written.get(key) ?? -Infinity) + statusIntervalMs - clock.monotonic();
    if (waitMs > 0 && sameJson(job.status.conditions, status.conditions) && job.status.startTime === status.startTime)
      return { waitMs };
    try {
      const written = await client.updateStatus('jobs', { ...job, status });
      jobs.wrote(written);
      this.#written.set(key, clock.monotonic());
      this.#tell(job, written);
      return { written };
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'NotFound')) throw error;
      const now = await client.get('jobs', key);
      if (now === undefined) jobs.wroteDeletion(job);
      else jobs.wrote(now);
      throw new Late('the Job has changed meanwhile', { cause: error });
    }
  }

  #tell(before: Job, after: Job): void {
    const { recorder } = this.#parts;
    const became = (type: string): boolean => !isTrue(before.status, type) && isTrue(after.status, type);
    const found = (type: string) => after.status.conditions?.find((condition) => condition.type === type);
    if (became('Complete')) recorder.event(after, 'Normal', 'Completed', 'Job completed');
    if (became('FailureTarget')) {
      const { reason = 'Failed', message = '' } = found('FailureTarget') ?? {};
      recorder.event(after, 'Warning', reason, message);
    }
    if (became('Suspended')) recorder.event(after, 'Normal', 'Suspended', 'Job suspended');
    if (isTrue(before.status, 'Suspended') && found('Suspended')?.status === 'False')
      recorder.event(after, 'Normal', 'Resumed', 'Job resumed');
  }

  /** After the end: nothing runs, nothing waits, and when its time to live is over the Job goes with its pods. */
  async #clearUp(job: Job, own: readonly Pod[]): Promise<SyncResult | void> {
    const { client, clock, jobs } = this.#parts;
    await rewrite(this.#parts, own.filter(isTracked).map(untracked));
    const refusal = await remove(this.#parts, job, own.filter(isActive));
    if (refusal !== undefined) await this.#fail(job, refusal);
    const { ttlSecondsAfterFinished } = job.spec;
    const ended = finishedMs(job);
    if (ttlSecondsAfterFinished === undefined || ended === undefined) return;
    const leftMs = ended + ttlSecondsAfterFinished * 1000 - clock.now();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const { uid, resourceVersion, namespace, name } = job.metadata;
    try {
      const preconditions = { uid, resourceVersion };
      await client.delete('jobs', `${namespace}/${name}`, { propagationPolicy: 'Background', preconditions });
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'NotFound')) throw error;
      const now = await client.get('jobs', `${namespace}/${name}`);
      if (now !== undefined) jobs.wrote(now);
    }
  }

  /** Ends the pass as failed: retried by the loop, unless it is in the template that the fault lies. */
  async #fail(job: Job, { reason, error }: Refusal): Promise<void> {
    const { client, recorder } = this.#parts;
    if (hasReason(error, 'Forbidden', 'NotFound')) {
      const namespace = await client.get('namespaces', job.metadata.namespace ?? '');
      if (namespace === undefined || isDeleting(namespace)) return; // all of it is on its way out
    }
    const verb = reason === 'FailedCreate' ? 'creating' : 'deleting';
    recorder.event(job, 'Warning', reason, `Error ${verb}: ${error.message}`);
    if (hasReason(error, 'Invalid')) throw new TerminalError(error.message, { cause: error });
    throw new Error(`${verb} pods: ${messageOf(error)}`, { cause: error });
  }
}

/** Until the Job's time is over; undefined where it has no limit, and once it is judged, for then nothing comes of the limit any more. */
function leftMs(job: Job, nowMs: number): number | undefined {
  const endsMs = verdictOf(job) === undefined ? deadlineMs(job) : undefined;
  return endsMs === undefined ? undefined : Math.max(1, endsMs - nowMs);
}
