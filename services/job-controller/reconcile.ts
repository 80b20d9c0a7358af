import { isIndexed } from '../../lib/api/jobs.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { Job, Pod } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isReady } from '../../lib/api/pods.ts';
import { endedMs, failuresBefore, indexOf, isTracked } from './pods.ts';
import type { Tally } from './tally.ts';
import { newVerdict, verdictOf } from './verdict.ts';

/** What is to be done with the pods of a Job, in this order. Deciding is kept apart from doing. */
export interface Plan {
  /** Pods without an owner that match: take them. */
  readonly adopt: readonly Pod[];
  /** Pods of ours that no longer match: let them go, alive and uncounted. */
  readonly release: readonly Pod[];
  /** No longer wanted (fewer at once, suspended, two of one index): not a failure, so they are let go of and then removed. */
  readonly remove: readonly Pod[];
  readonly create: readonly NewPod[];
  /** The Job has its verdict: what still runs is removed, and counted where the verdict is a failure. */
  readonly end: readonly Pod[];
  /** When there will be more to do, if nothing happens: failures are waited out, or there was more than one pass may do. */
  readonly againInMs: number | undefined;
}

export interface NewPod {
  /** Of an Indexed Job. */
  readonly index?: number;
  /** How often the index has failed. */
  readonly failures?: number;
}

export interface Limits {
  /** Most pods made or removed in one pass. */
  readonly burst: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/** Which of the pods at hand are the Job's, and which become so or cease to be. */
export function claim(
  job: Job,
  observed: readonly Pod[],
): Pick<Plan, 'adopt' | 'release'> & { readonly own: readonly Pod[] } {
  const selector = selectorOfLabelSelector(job.spec.selector);
  const fits = (pod: Pod): boolean => matches(selector, pod.metadata.labels);
  const ours = observed.filter((pod) => controllerOf(pod)?.uid === job.metadata.uid);
  const ownerless = observed.filter((pod) => controllerOf(pod) === undefined && isActive(pod) && fits(pod));
  return {
    own: ours.filter((pod) => fits(pod) || !isActive(pod)),
    release: ours.filter((pod) => !fits(pod) && isActive(pod)).sort(byName),
    adopt: verdictOf(job) === undefined ? ownerless.sort(byName) : [],
  };
}

/**
 * The changes that bring the Job's pods to what the tally still asks for, at most `burst` creations and removals. Never more than
 * `parallelism` active, never two of one index. Depends on its arguments only, so that doing it again after a crash is harmless.
 */
export function reconcile(job: Job, tally: Tally, nowMs: number, limits: Limits): Omit<Plan, 'adopt' | 'release'> {
  const nothing = { remove: [], create: [], end: [], againInMs: undefined };
  if (verdictOf(job) !== undefined) return { ...nothing, end: tally.active.slice(0, limits.burst) };
  if (newVerdict(job, tally, nowMs) !== undefined) return nothing; // to be written down first
  // What has lost its finalizer while it runs was on its way to be removed.
  const stray = tally.active.filter((pod) => !isTracked(pod));
  const active = tally.active.filter(isTracked);
  const wanted = job.spec.suspend ? 0 : isIndexed(job) ? job.spec.parallelism : wantedAtOnce(job, tally, active.length);
  const unfit = isIndexed(job) ? withoutPlace(job, tally, active) : [];
  const fit = active.filter((pod) => !unfit.includes(pod));
  const surplus = cheapestFirst(fit).slice(0, Math.max(0, fit.length - wanted));
  const remove = [...stray, ...unfit, ...surplus].slice(0, limits.burst);

  const waiting = job.spec.podReplacementPolicy === 'Failed' ? tally.terminating.length : 0;
  const missing = Math.min(Math.max(0, wanted - active.length - waiting), limits.burst);
  if (missing === 0 || remove.length > 0 || job.spec.suspend) return { ...nothing, remove };
  const made = isIndexed(job)
    ? newIndexes(job, tally, { nowMs, limits, missing })
    : alike(tally, { nowMs, limits, missing });
  const full = made.create.length === limits.burst;
  return { ...nothing, ...made, ...(full && { againInMs: 0 }) };
}

/** Of pods without numbers. Once a pod of a work queue has succeeded, the queue is empty: no more are made. */
function wantedAtOnce({ spec }: Job, { succeeded }: Tally, active: number): number {
  if (spec.completions === undefined) return succeeded > 0 ? Math.min(active, spec.parallelism) : spec.parallelism;
  return Math.min(spec.parallelism, Math.max(0, spec.completions - succeeded));
}

interface Asked {
  readonly nowMs: number;
  readonly limits: Limits;
  readonly missing: number;
}
type Made = Pick<Plan, 'create' | 'againInMs'>;

/** Each failure since the last success doubles the time until the next pods are made. */
function alike(tally: Tally, { nowMs, limits, missing }: Asked): Made {
  const ends = tally.failures.map(({ pod }) => endedMs(pod)).filter((ms) => ms > tally.lastSuccessMs);
  const holdMs = heldMs(ends, nowMs, limits);
  if (holdMs > 0) return { create: [], againInMs: holdMs };
  return { create: Array.from({ length: missing }, () => ({})), againInMs: undefined };
}

/** The lowest indexes that are neither done nor taken; with a limit for each, each waits for itself. */
function newIndexes(job: Job, tally: Tally, { nowMs, limits, missing }: Asked): Made {
  const { completions = 0, backoffLimitPerIndex, podReplacementPolicy } = job.spec;
  const perIndex = backoffLimitPerIndex !== undefined;
  if (!perIndex) {
    const { againInMs } = alike(tally, { nowMs, limits, missing });
    if (againInMs !== undefined) return { create: [], againInMs };
  }
  const taken = new Set(
    [...tally.active, ...(podReplacementPolicy === 'Failed' ? tally.terminating : [])].map(indexOf),
  );
  const ends = new Map<number, number[]>();
  for (const { pod } of perIndex ? tally.failures : []) {
    const index = indexOf(pod);
    if (index !== undefined) ends.set(index, [...(ends.get(index) ?? []), endedMs(pod)]);
  }
  const create: NewPod[] = [];
  let againInMs: number | undefined;
  for (let index = 0; index < completions && create.length < missing; index++) {
    if (taken.has(index) || tally.completed.has(index) || tally.failedIndexes.has(index)) continue;
    const holdMs = heldMs(ends.get(index) ?? [], nowMs, limits);
    if (holdMs > 0) againInMs = Math.min(againInMs ?? Infinity, holdMs);
    else create.push(perIndex ? { index, failures: tally.failuresOf.get(index) ?? 0 } : { index });
  }
  return { create, againInMs };
}

/** How long to wait after failures at these moments: the pods themselves are the memory of it, so that it holds over a restart. */
function heldMs(ends: readonly number[], nowMs: number, { backoffMs, maxBackoffMs }: Limits): number {
  if (ends.length === 0) return 0;
  const pauseMs = Math.min(maxBackoffMs, backoffMs * 2 ** Math.min(ends.length - 1, 20));
  return Math.min(pauseMs, Math.max(...ends) + pauseMs - nowMs); // whatever was done to the clock
}

/** Those whose index is done, out of range or another's. Of two with one index the one that is further stays. */
function withoutPlace(job: Job, { completed, failedIndexes }: Tally, active: readonly Pod[]): readonly Pod[] {
  const seen = new Set<number>();
  const unfit: Pod[] = [];
  for (const pod of cheapestFirst(active).reverse()) {
    const index = indexOf(pod);
    const fits =
      index !== undefined && index < (job.spec.completions ?? 0) && !completed.has(index) && !failedIndexes.has(index);
    if (!fits || seen.has(index)) unfit.push(pod);
    else seen.add(index);
  }
  return unfit;
}

/** Without a node before with one, waiting before running, not ready before ready, higher indexes and younger ones first. */
function cheapestFirst(pods: readonly Pod[]): Pod[] {
  const rank = (pod: Pod): readonly number[] => [
    pod.spec.nodeName === undefined ? 0 : 1,
    pod.status.phase === 'Running' ? 1 : 0,
    isReady(pod) ? 1 : 0,
    -(indexOf(pod) ?? 0),
    failuresBefore(pod),
    -Date.parse(pod.metadata.creationTimestamp),
  ];
  return pods
    .map((pod) => ({ pod, rank: rank(pod) }))
    .sort((a, b) => {
      const at = a.rank.findIndex((value, i) => value !== b.rank[i]);
      return at === -1 ? byName(a.pod, b.pod) : (a.rank[at] ?? 0) - (b.rank[at] ?? 0);
    })
    .map(({ pod }) => pod);
}

const byName = (a: Pod, b: Pod): number => (a.metadata.name < b.metadata.name ? -1 : 1);
