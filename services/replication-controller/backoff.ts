import { matches } from '../../lib/api/labels.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isOurs } from './reconcile.ts';
import { podSelectorOf, type Replicated } from './replicated.ts';

/** A pod that failed so soon after it was made would fail again: its template or its node is at fault. */
const youngMs = 30_000;
/** Failures that long ago say nothing any more. */
const rememberedMs = 600_000;
const firstMs = 1_000;
const maxMs = 300_000;

export interface Hold {
  readonly waitMs: number;
  /** The pod that failed last. */
  readonly last: Pod;
}

/**
 * Whether making more pods must wait, since those that were made failed at once (refused by their node, say). Each replica may fail
 * once without a pause; then the pause is 1 s, doubled with each round of failures, at most 300 s. The failed pods themselves are the
 * memory of it: it holds over a restart, and ends when they are removed. A pod that has lived for a while is replaced at once.
 */
export function holdOf(rc: Replicated, observed: readonly Pod[], nowMs: number): Hold | undefined {
  const selector = podSelectorOf(rc);
  const failed = observed
    .filter((pod) => pod.status.phase === 'Failed' && isOurs(rc, pod) && matches(selector, pod.metadata.labels))
    .map((pod) => ({ pod, createdMs: Date.parse(pod.metadata.creationTimestamp), failedMs: failedMsOf(pod) }))
    .filter(({ createdMs, failedMs }) => failedMs - createdMs < youngMs && nowMs - failedMs < rememberedMs)
    .sort((a, b) => b.failedMs - a.failedMs || (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1));
  const [last] = failed;
  const rounds = Math.ceil(failed.length / Math.max(1, rc.spec.replicas)) - 1;
  if (last === undefined || rounds <= 0) return undefined;
  const pauseMs = Math.min(maxMs, firstMs * 2 ** Math.min(rounds - 1, 20));
  const waitMs = Math.min(pauseMs, last.failedMs + pauseMs - nowMs); // whatever was done to the clock
  return waitMs > 0 ? { waitMs, last: last.pod } : undefined;
}

/** The last that its conditions tell of; for one that never ran, when it was made. */
function failedMsOf({ metadata, status }: Pod): number {
  const moments = (status.conditions ?? []).map((condition) => Date.parse(condition.lastTransitionTime ?? ''));
  const ends = (status.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''));
  return Math.max(Date.parse(metadata.creationTimestamp), ...[...moments, ...ends].filter((ms) => !Number.isNaN(ms)));
}
