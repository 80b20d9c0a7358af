import type { Pod } from '../../lib/api/objects.ts';
import { isTerminal } from '../../lib/api/pods.ts';

/** Pods that have ended keep their containers for what these printed; so many of a node, the newest. */
export const keptEnded = 100;

/** The pods whose remains are too many: the oldest of those that ended. */
export function tooManyEnded(pods: readonly Pod[], kept = keptEnded): readonly Pod[] {
  return pods
    .filter(isTerminal)
    .toSorted((a, b) => endedAt(b) - endedAt(a))
    .slice(kept);
}

const endedAt = ({ status, metadata }: Pod): number => {
  const times = (status.containerStatuses ?? []).map(
    ({ state }) => Date.parse(state?.terminated?.finishedAt ?? '') || 0,
  );
  return Math.max(Date.parse(status.startTime ?? metadata.creationTimestamp ?? '') || 0, ...times);
};
