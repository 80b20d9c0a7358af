import { isIndexed } from '../../lib/api/jobs.ts';
import type { Job, Pod } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import { meaningOf, type Meaning } from './failure.ts';
import { parseIndexes } from './indexes.ts';
import { endedMs, failuresBefore, indexOf, isLeaving, isTracked, standingOf } from './pods.ts';

/**
 * What a Job's status and its pods say together. A pod bears a finalizer from its creation until it is in the counts, in
 * three steps of which each may be done again: its uid is written into `uncountedTerminatedPods`; its finalizer goes; its
 * uid becomes a 1 in the count. A pod that has a finalizer and is not in the list has not been counted; one that is in
 * the list and has no finalizer, or is gone, is to be counted now. So none is counted twice or lost, whenever we die.
 * Successes of an Indexed Job need no list: the set of completed indexes tells by itself what is in it.
 */
export interface Tally {
  readonly active: readonly Pod[];
  readonly ready: number;
  /** Told to end and still there, counted or not. */
  readonly terminating: readonly Pod[];
  /** Every failure of which the pods still tell, the tracked and those that are counted already. */
  readonly failures: readonly Failure[];
  /** The counts to come, with all that has ended in them. */
  readonly succeeded: number;
  readonly failed: number;
  /** The counts as they may be written now: without the uncounted. */
  readonly counted: { readonly succeeded: number; readonly failed: number };
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
  /** Of an Indexed Job. */
  readonly completed: ReadonlySet<number>;
  readonly failedIndexes: ReadonlySet<number>;
  /** How often each index has failed, as far as its pods tell; an index without failures is absent. */
  readonly failuresOf: ReadonlyMap<number, number>;
  /** When the last pod that still tells of it succeeded; -Infinity when none does. */
  readonly lastSuccessMs: number;
  /** More has ended than one pass takes in. */
  readonly more: boolean;
}

export interface Failure extends Meaning {
  readonly pod: Pod;
}

/** Uids in one status: what is above waits for the next pass, so that no status becomes too large. */
const maxUncounted = 500;

/** `pods` are those that the Job controls. */
export function tallyOf(job: Job, pods: readonly Pod[]): Tally {
  const { status, spec } = job;
  const indexed = isIndexed(job);
  const tracked = new Map(pods.filter(isTracked).map((pod) => [pod.metadata.uid, pod]));
  const listed = { succeeded: new Set<string>(), failed: new Set<string>() };
  const counted = { succeeded: indexed ? 0 : (status.succeeded ?? 0), failed: status.failed ?? 0 };
  for (const end of ['succeeded', 'failed'] as const)
    for (const uid of status.uncountedTerminatedPods?.[end] ?? []) {
      if (tracked.has(uid)) listed[end].add(uid);
      else counted[end]++;
    }

  const completed = parseIndexes(status.completedIndexes, indexed ? (spec.completions ?? 0) : 0);
  const failedIndexes = parseIndexes(status.failedIndexes, indexed ? (spec.completions ?? 0) : 0);
  const failures: Failure[] = [];
  const failuresOf = new Map<number, number>();
  const won = isWon(job);
  let more = false;
  let lastSuccessMs = -Infinity;
  for (const pod of pods) {
    const { uid } = pod.metadata;
    const index = indexed ? indexOf(pod) : undefined;
    const standing = listed.failed.has(uid) ? 'failed' : listed.succeeded.has(uid) ? 'succeeded' : standingOf(job, pod);
    if (standing === 'succeeded') {
      lastSuccessMs = Math.max(lastSuccessMs, endedMs(pod));
      if (!tracked.has(uid)) continue;
      if (index !== undefined) {
        if (index < (spec.completions ?? 0) && !failedIndexes.has(index)) completed.add(index);
      } else if (!indexed && listed.succeeded.size < maxUncounted) listed.succeeded.add(uid);
      else more ||= !indexed;
    } else if (standing === 'failed') {
      const meaning = meaningOf(job, pod);
      failures.push({ pod, ...meaning });
      const counts = meaning.action !== 'Ignore' && !won; // what a Job that has succeeded ends itself has not failed
      if (tracked.has(uid) && counts) {
        if (listed.failed.has(uid) || listed.failed.size < maxUncounted) listed.failed.add(uid);
        else more = true;
      }
      if (index !== undefined) raise(failuresOf, index, failuresBefore(pod) + (meaning.action === 'Ignore' ? 0 : 1));
      if (index !== undefined && meaning.action === 'FailIndex' && isTracked(pod)) failedIndexes.add(index);
    } else if (index !== undefined) raise(failuresOf, index, failuresBefore(pod));
  }
  const limit = spec.backoffLimitPerIndex;
  if (limit !== undefined)
    for (const [index, count] of failuresOf)
      if (count > limit && index < (spec.completions ?? 0)) failedIndexes.add(index);
  for (const index of completed) failedIndexes.delete(index);

  const active = pods.filter((pod) => standingOf(job, pod) === 'active');
  return {
    active,
    ready: active.filter(isReady).length,
    terminating: pods.filter(isLeaving),
    failures,
    succeeded: indexed ? completed.size : counted.succeeded + listed.succeeded.size,
    failed: counted.failed + listed.failed.size,
    counted: { ...counted, ...(indexed && { succeeded: completed.size }) },
    uncounted: { succeeded: [...listed.succeeded], failed: [...listed.failed] },
    completed,
    failedIndexes,
    failuresOf,
    lastSuccessMs,
    more,
  };
}

/** It has all the successes that it needs, and said so. */
export const isWon = ({ status }: Job): boolean =>
  (status.conditions ?? []).some(
    ({ type, status: value }) => (type === 'SuccessCriteriaMet' || type === 'Complete') && value === 'True',
  );

const raise = (counts: Map<number, number>, index: number, count: number): void => {
  if (count > (counts.get(index) ?? 0)) counts.set(index, count);
};

/**
 * The pods that the status, as it is stored, has no need of any more: their finalizer may go. The last failure of an index is
 * held until the pod that follows it bears the number of failures on, or the index has come to its end.
 */
export function settled(job: Job, pods: readonly Pod[]): readonly Pod[] {
  const { spec, status } = job;
  const listed = new Set([
    ...(status.uncountedTerminatedPods?.succeeded ?? []),
    ...(status.uncountedTerminatedPods?.failed ?? []),
  ]);
  const below = spec.completions ?? 0;
  const completed = parseIndexes(status.completedIndexes, below);
  const failedIndexes = parseIndexes(status.failedIndexes, below);
  const ending = (status.conditions ?? []).some(
    ({ type, status: value }) => value === 'True' && ['SuccessCriteriaMet', 'FailureTarget'].includes(type),
  );
  const borne = new Map<number, number>();
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index !== undefined && standingOf(job, pod) === 'active') raise(borne, index, failuresBefore(pod));
  }
  return pods.filter((pod) => {
    if (!isTracked(pod)) return false;
    const index = isIndexed(job) ? indexOf(pod) : undefined;
    const standing = standingOf(job, pod);
    if (listed.has(pod.metadata.uid)) {
      if (spec.backoffLimitPerIndex === undefined || index === undefined || ending) return true;
      if (completed.has(index) || failedIndexes.has(index) || index >= below) return true;
      return (borne.get(index) ?? -1) > failuresBefore(pod);
    }
    if (standing === 'succeeded')
      return (
        isIndexed(job) && (index === undefined || index >= below || completed.has(index) || failedIndexes.has(index))
      );
    if (standing !== 'failed') return false;
    if (isWon(job)) return true;
    if (meaningOf(job, pod).action !== 'Ignore') return false;
    if (spec.backoffLimitPerIndex === undefined || index === undefined || ending) return true;
    return completed.has(index) || failedIndexes.has(index) || (borne.get(index) ?? -1) >= failuresBefore(pod);
  });
}
