import type { Pod } from '../../lib/api/objects.ts';
import { failuresBefore } from './template.ts';

/** A pod that failed so soon after it was made would fail again: its template or its node is at fault. */
const youngMs = 30_000;
const firstMs = 1_000;
const maxMs = 300_000;

export interface Hold {
  /** 0: the successor may be made now. */
  readonly waitMs: number;
  /** The uids of those that have ended; empty for none. */
  readonly after: string;
  /** How many failed one after another as soon as they were made. */
  readonly failures: number;
  /** The one that failed last; none where nothing is put off. */
  readonly last: readonly Pod[];
}

/**
 * Whether a node must wait for its next pod, since the last one failed at once (refused by the node, say): not after the first failure,
 * then 1 s, doubled with each, at most 300 s. The count goes from pod to pod, so that it holds over restarts.
 */
export function holdOf(ended: readonly Pod[], nowMs: number): Hold {
  // Times are whole seconds: of two of one second, the successor is the one that counts more failures.
  const [last] = ended.toSorted((a, b) => createdMs(b) - createdMs(a) || failuresBefore(b) - failuresBefore(a));
  if (last === undefined) return { waitMs: 0, failures: 0, after: '', last: [] };
  const endedMs = endedMsOf(last);
  const isYoung = endedMs - createdMs(last) < youngMs;
  const failures = isYoung ? failuresBefore(last) + 1 : 0;
  const after = ended
    .map(({ metadata }) => metadata.uid)
    .sort()
    .join(' ');
  if (failures <= 1) return { waitMs: 0, failures, after, last: [] };
  const pauseMs = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 2, 20));
  const waitMs = Math.max(0, Math.min(pauseMs, endedMs + pauseMs - nowMs)); // whatever was done to the clock
  return { waitMs, failures, after, last: waitMs > 0 ? [last] : [] };
}

const createdMs = ({ metadata }: Pod): number => Date.parse(metadata.creationTimestamp);

/** The last that its conditions and containers tell of; for one that never ran, when it was made. */
function endedMsOf({ metadata, status }: Pod): number {
  const moments = [
    ...(status.conditions ?? []).map(({ lastTransitionTime }) => lastTransitionTime),
    ...(status.containerStatuses ?? []).map(({ state }) => state?.terminated?.finishedAt),
  ].map((text) => Date.parse(text ?? ''));
  return Math.max(Date.parse(metadata.creationTimestamp), ...moments.filter((ms) => !Number.isNaN(ms)));
}
