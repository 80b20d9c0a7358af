import { filters, type Filter } from './filters.ts';
import { packing, spreading, type Penalty } from './scores.ts';

/** How a scheduler chooses. Its rules are pure: what they answer depends on their arguments alone. */
export interface Profile {
  /** In the order in which they are asked. */
  readonly filters: readonly Filter[];
  readonly penalties: readonly Penalty[];
  /** Every search begins at the first node, so that nodes fill one after another; else it begins where the last one ended. */
  readonly fills: boolean;
  /** What is best may be on any node: all are compared, not a sample. */
  readonly comparesAll: boolean;
  /**
   * Runs the decision over one pod, where rules are not all our own: throws when it takes too long. Such rules may look at anything of a
   * pod, so that no two pods are taken for alike.
   */
  readonly within?: <T>(decide: () => T) => T;
}

/** Pods apart from their likes, and load evenly. */
export const spread: Profile = { filters, penalties: spreading, fills: false, comparesAll: false };
/** As few nodes as will do. */
export const pack: Profile = { filters, penalties: packing, fills: true, comparesAll: false };

export const profiles = { spread, pack } as const;
export type ProfileName = keyof typeof profiles;
