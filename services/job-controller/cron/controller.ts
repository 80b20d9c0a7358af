import { sameJson } from '../../../lib/api/json.ts';
import { keyOf, makeKey, type Key } from '../../../lib/api/keys.ts';
import { apiVersionOf, kinds } from '../../../lib/api/kinds.ts';
import type { CronJob, Job } from '../../../lib/api/objects.ts';
import { isGone } from '../../../lib/api/ending.ts';
import { controllerOf, isDeleting } from '../../../lib/api/pods.ts';
import { rfc3339, type Clock } from '../../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../../lib/base/errors.ts';
import type { Client, Draft } from '../../../lib/client/client.ts';
import { TerminalError, type Controller, type KeyQueue, type SyncResult } from '../../../lib/controller/controller.ts';
import type { Recorder } from '../../../lib/controller/events.ts';
import type { View } from '../../../lib/view/view.ts';
import { cronStatusOf, decide } from './decide.ts';

export interface Parts {
  readonly crons: View<CronJob>;
  /** With the index of `jobIndexes`. */
  readonly jobs: View<Job>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
}

/** How Jobs are filed: by what owns them. */
export const jobIndexes = {
  owner: (job: Job): readonly string[] => {
    const owner = controllerOf(job);
    return owner === undefined ? [] : [owner.uid];
  },
};

/** The time for which a Job was made. */
const scheduledAt = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

/** Makes a Job whenever a CronJob is due, and removes old ones. Writes Jobs, and CronJobs' status. */
export class CronManager implements Controller {
  readonly name = 'cronjob-controller';
  readonly #parts: Parts;
  /** The time about which was told last that nothing was made for it; one entry per CronJob. */
  readonly #told = new Map<Key, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key): Promise<SyncResult | void> {
    const { crons, jobs, recorder, clock } = this.#parts;
    const cron = crons.get(key);
    if (cron === undefined) this.#told.delete(key);
    if (cron === undefined || isDeleting(cron)) return;
    const plan = decide(cron, jobs.by('owner', cron.metadata.uid), clock.now());
    if (plan.skipped !== undefined && this.#told.get(key) !== plan.skipped.dueMs) {
      this.#told.set(key, plan.skipped.dueMs);
      const { reason, dueMs } = plan.skipped;
      const why =
        reason === 'JobAlreadyActive'
          ? 'waits: the former Job still runs and concurrencyPolicy is Forbid'
          : 'was missed: it is past startingDeadlineSeconds';
      recorder.event(cron, reason === 'MissedSchedule' ? 'Warning' : 'Normal', reason, `${rfc3339(dueMs)} ${why}`);
    }
    for (const job of [...plan.replace, ...plan.forget]) await this.#remove(cron, job);
    if (plan.startMs !== undefined) await this.#start(cron, plan.startMs);
    await this.#report(cron, plan.startMs);
    return plan.againInMs === undefined ? undefined : { requeueAfterMs: plan.againInMs };
  }

  /** A Job of this time that is there already was made by a former life of ours. */
  async #start(cron: CronJob, dueMs: number): Promise<void> {
    const { client, jobs, recorder } = this.#parts;
    const draft = jobOf(cron, dueMs);
    try {
      const made = await client.create('jobs', draft);
      jobs.wrote(made);
      recorder.event(cron, 'Normal', 'SuccessfulCreate', `Created job ${made.metadata.name}`);
    } catch (error) {
      const key = makeKey(cron.metadata.namespace, draft.metadata.name ?? '');
      if (hasReason(error, 'AlreadyExists')) {
        const there = await client.get('jobs', key);
        if (there !== undefined) jobs.wrote(there);
        return;
      }
      if (hasReason(error, 'Forbidden', 'NotFound')) {
        const namespace = await client.get('namespaces', cron.metadata.namespace ?? '');
        if (namespace === undefined || isDeleting(namespace)) return; // all of it is on its way out
      }
      recorder.event(cron, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`);
      if (hasReason(error, 'Invalid')) throw new TerminalError(messageOf(error), { cause: error });
      throw error;
    }
  }

  async #remove(cron: CronJob, job: Job): Promise<void> {
    const { client, jobs, recorder } = this.#parts;
    try {
      const { uid } = job.metadata;
      const last = await client.delete('jobs', keyOf(job), { propagationPolicy: 'Background', preconditions: { uid } });
      if (isGone(last)) jobs.wroteDeletion(last);
      else jobs.wrote(last);
      recorder.event(cron, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`);
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
      jobs.wroteDeletion(job); // gone, or another one by now
    }
  }

  async #report(seen: CronJob, dueMs: number | undefined): Promise<void> {
    const { crons, jobs, client } = this.#parts;
    const status = cronStatusOf(seen, jobs.by('owner', seen.metadata.uid), dueMs);
    if (sameJson(status, seen.status)) return;
    try {
      crons.wrote(await client.updateStatus('cronjobs', { ...seen, status }));
    } catch (error) {
      if (hasReason(error, 'NotFound')) return crons.wroteDeletion(seen);
      const now = hasReason(error, 'Conflict') ? await client.get('cronjobs', keyOf(seen)) : undefined;
      if (now !== undefined) crons.wrote(now);
      throw error;
    }
  }
}

/** The Job for a time. Its name holds the minute, so that there is one for each time, whoever makes it. */
function jobOf({ apiVersion, kind, metadata, spec }: CronJob, dueMs: number): Draft<Job> {
  const { metadata: given = {}, spec: jobSpec } = spec.jobTemplate;
  return {
    apiVersion: apiVersionOf(kinds.jobs),
    kind: kinds.jobs.kind,
    metadata: {
      name: `${metadata.name}-${Math.floor(dueMs / 60_000)}`,
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
      ...(given.labels !== undefined && { labels: given.labels }),
      annotations: { ...given.annotations, [scheduledAt]: rfc3339(dueMs) },
      ownerReferences: [
        { apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: jobSpec,
  };
}

export function wakeCrons(queue: KeyQueue, crons: View<CronJob>, jobs: View<Job>): void {
  crons.onChange(({ key }) => {
    queue.add(key);
  });
  jobs.onChange(({ before, after }) => {
    for (const job of [before, after]) {
      const owner = job === undefined ? undefined : controllerOf(job);
      if (owner?.kind === kinds.cronjobs.kind) queue.add(makeKey(job?.metadata.namespace, owner.name));
    }
  });
}
