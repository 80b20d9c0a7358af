import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { deletionCostOf } from '../../lib/api/pods.ts';

/** The lower deletion cost first, then the younger: what has served for long has more to lose. The key breaks ties, so that two looks never disagree. */
export const cheapestFirst = (pods: readonly Pod[]): readonly Pod[] =>
  pods.toSorted(
    (a, b) => deletionCostOf(a) - deletionCostOf(b) || madeMs(b) - madeMs(a) || (keyOf(a) < keyOf(b) ? -1 : 1),
  );

const madeMs = ({ metadata }: Pod): number => Date.parse(metadata.creationTimestamp);
