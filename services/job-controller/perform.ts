import { ApiError, hasReason } from '../../lib/base/errors.ts';
import { eachAtMost, inRunsOf } from '../../lib/base/parallel.ts';
import { isGone } from '../../lib/api/ending.ts';
import { keyOf, makeKey } from '../../lib/api/keys.ts';
import type { Job, Pod } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { isTracked } from './pods.ts';
import type { NewPod } from './reconcile.ts';
import { namesFor, podOf, untracked } from './template.ts';

export interface Hands {
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
}

const updatesAtOnce = 16;

/** A view was late: what it decided by is not so. It has been brought up to the present, and is to be looked at again. */
export class Late extends Error {}

/** Writes pods as they are to become, each conditional on its revision. One that is gone is what we wanted of it, or cannot be helped. Throws Late. */
export async function rewrite({ pods, client }: Hands, changed: readonly Pod[]): Promise<void> {
  let late: unknown;
  await eachAtMost(updatesAtOnce, changed, async (pod) => {
    try {
      const written = await client.update('pods', pod);
      if (isGone(written)) pods.wroteDeletion(written);
      else pods.wrote(written);
    } catch (error) {
      if (hasReason(error, 'NotFound')) return pods.wroteDeletion(pod);
      if (!hasReason(error, 'Conflict')) throw error;
      late = error;
      const now = await client.get('pods', keyOf(pod));
      if (now?.metadata.uid === pod.metadata.uid) pods.wrote(now);
      else pods.wroteDeletion(pod);
    }
  });
  if (late !== undefined) throw new Late('a pod has changed meanwhile', { cause: late });
}

/** Why pods could not be made or removed. */
export interface Refusal {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly error: ApiError;
}

/** Makes pods; those that are there already have been made by somebody who knew more. Resolves to the first refusal. Throws Late. */
export async function make(hands: Hands, job: Job, wanted: readonly NewPod[]): Promise<Refusal | undefined> {
  const { pods, client, recorder } = hands;
  const { namespace } = job.metadata;
  const names = namesFor(job, wanted, (name) => pods.get(makeKey(namespace, name)) !== undefined);
  const drafts = wanted.map((pod, i) => podOf(job, names[i] ?? '', pod));
  const made: string[] = [];
  let refusal: Refusal | undefined;
  let isLate = false;
  // In batches of 1, 2, 4…: where the API refuses, it is asked once and not five hundred times.
  for (let at = 0, size = 1; at < drafts.length && refusal === undefined; at += size, size *= 2) {
    const batch = drafts.slice(at, at + size);
    for (const [i, outcome] of (await client.createMany('pods', batch)).entries()) {
      if (outcome.ok) {
        pods.wrote(outcome.object);
        made.push(outcome.object.metadata.name);
      } else if (outcome.reason === 'AlreadyExists') {
        isLate = true;
        const there = await client.get('pods', makeKey(namespace, batch[i]?.metadata.name ?? ''));
        if (there !== undefined) pods.wrote(there);
      } else {
        refusal ??= {
          reason: 'FailedCreate',
          error: new ApiError(outcome.reason, outcome.message, outcome.details),
        };
      }
    }
  }
  if (made.length > 0) recorder.event(job, 'Normal', 'SuccessfulCreate', told('Created', made));
  if (isLate) throw new Late('a pod to be made was there');
  return refusal;
}

/** Removes pods that are no longer wanted and have not failed: first they cease to wait for the count. */
export async function discard(hands: Hands, job: Job, doomed: readonly Pod[]): Promise<Refusal | undefined> {
  await rewrite(hands, doomed.filter(isTracked).map(untracked));
  return remove(hands, job, doomed);
}

/** Asks for the deletion of pods; gone is what we wanted. Resolves to the first refusal. */
export async function remove(hands: Hands, job: Job, doomed: readonly Pod[]): Promise<Refusal | undefined> {
  const { pods, client, recorder } = hands;
  const names: string[] = [];
  let refusal: Refusal | undefined;
  for (const batch of inRunsOf(100, doomed)) {
    for (const [i, outcome] of (await client.deleteMany('pods', batch.map(keyOf))).entries()) {
      const pod = batch[i];
      if (pod === undefined) continue;
      if (!outcome.ok && outcome.reason !== 'NotFound') {
        refusal ??= { reason: 'FailedDelete', error: new ApiError(outcome.reason, outcome.message, outcome.details) };
        continue;
      }
      if (outcome.ok && !isGone(outcome.object)) pods.wrote(outcome.object);
      else pods.wroteDeletion(outcome.ok ? outcome.object : pod);
      names.push(pod.metadata.name);
    }
  }
  if (names.length > 0) recorder.event(job, 'Normal', 'SuccessfulDelete', told('Deleted', names));
  return refusal;
}

/** "Created pod: pi-x7k2p", or for many one line that names the first few. */
function told(verb: string, names: readonly string[]): string {
  if (names.length === 1) return `${verb} pod: ${names[0]}`;
  return `${verb} ${names.length} pods: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
}
